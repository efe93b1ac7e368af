"""Pod settings: mistakes are named before anything is created."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_lmeval.errors import SpecError
from airflow_provider_lmeval.spec.docs import field_docs
from airflow_provider_lmeval.spec.pod import PodSettings
from airflow_provider_lmeval.spec.pod_parts import Claim, Gpu, SecretKey


def test_a_number_of_gpus_is_enough() -> None:
    assert PodSettings.parse({"gpu": 2}).gpu == Gpu(count=2, resource="nvidia.com/gpu")
    assert PodSettings.parse({"gpu": 0}).gpu is None
    assert PodSettings.parse({"gpu": None}).gpu is None


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"memroy": "1Gi"}, "kubernetes.memroy"),
        ({"memory": "1 GB"}, "kubernetes.memory"),
        ({"gpu": -1}, "kubernetes.gpu"),
        ({"namespace": "No_Such"}, "kubernetes.namespace"),
        ({"cache": {"claim": "c", "path": "relative"}}, "kubernetes.cache.path"),
        ({"claims": [{"claim": "c", "path": "/x", "sub_path": "../y"}]}, "leads out of the volume"),
        ({"claims": [{"claim": "a", "path": "/x"}, {"claim": "b", "path": "/x/"}]}, "mounted at one path"),
        ({"results": {"claim": "c", "path": "/r", "read_only": True}}, "results are written there"),
        ({"env_secrets": {"HF_TOKEN": "hf_abc"}}, "kubernetes.env_secrets"),
    ],
)
def test_a_mistake_is_named(data: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        PodSettings.parse(data)


@pytest.mark.parametrize("model", [Claim, Gpu, PodSettings, SecretKey])
def test_every_field_is_documented(model: type) -> None:
    assert set(model.model_fields) == set(field_docs(model))
