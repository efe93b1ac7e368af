"""Outputs: what is refused before anything is evaluated, with the field and the remedy."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_lmeval.errors import SpecError
from airflow_provider_lmeval.spec.outputs import HuggingFaceCard, MlflowRun, OciArtifact, WandbRun, parse_outputs

OCI = {"type": "oci", "conn_id": "quay", "repository": "team/evals"}


def test_each_type_becomes_its_model() -> None:
    found = parse_outputs(
        [
            OCI,
            {"type": "mlflow", "conn_id": "mlflow"},
            {"type": "model_card", "path": "/models/chat"},
            {"type": "wandb", "conn_id": "wandb", "wandb_args": {"project": "evals", "tags": ["a", "b"]}},
        ]
    )
    assert [type(each) for each in found] == [OciArtifact, MlflowRun, HuggingFaceCard, WandbRun]
    assert parse_outputs(OCI) == parse_outputs(found[0]) == found[:1]


@pytest.mark.parametrize(
    ("output", "told"),
    [
        (OCI | {"repository": "Team/Evals"}, "outputs.0.oci.repository"),
        (OCI | {"repository": "../evals"}, "repository"),
        (OCI | {"tag": "-x"}, "tag"),
        (OCI | {"subject": "a b"}, "subject"),
        (OCI | {"password": "x"}, "password"),
        ({"type": "s3"}, "`type` says what it is, one of .oci."),
        ({"conn_id": "x"}, "type"),
        ({"type": "mlflow", "conn_id": "m", "run_id": "../../x"}, "run_id"),
        ({"type": "model_card"}, "give one of them"),
        ({"type": "model_card", "path": "/m", "repo_id": "a/b"}, "give one of them"),
        ({"type": "model_card", "repo_id": "a/b"}, "its password is the token"),
        ({"type": "model_card", "path": "/m", "create_pr": True}, "for a model on the Hub"),
        ({"type": "model_card", "path": "relative"}, "path"),
        ({"type": "wandb"}, "unless wandb_args has mode: offline"),
        ({"type": "wandb", "conn_id": "w", "wandb_args": {"settings": "x"}}, "settings cannot be passed on"),
    ],
)
def test_a_wrong_output_is_refused_by_name(output: dict[str, Any], told: str) -> None:
    with pytest.raises(SpecError, match=told):
        parse_outputs([output])
