"""What is said against a served model before anybody asks the server."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_lmeval.plan import Grants, check, plan_request
from airflow_provider_lmeval.plan.request import Placement
from airflow_provider_lmeval.spec import EvalSpec

DIGEST = f"sha256:{'a' * 64}"
MODEL = {
    "type": "local-completions",
    "model": "granite",
    "base_url": "https://vllm/v1/completions",
    "tokenizer": "ibm-granite/granite",
}
GRANTS = Grants(online=True, env=frozenset({"KEY"}))


def found(model: dict[str, Any], **fields: Any) -> set[tuple[str, str]]:
    spec = EvalSpec.parse({"model": MODEL | model, "tasks": ["arc_easy"], "allow_online": True, **fields})
    return {(problem.id, problem.level) for problem in check(spec, GRANTS)}


def test_a_complete_description_has_nothing_against_it() -> None:
    assert found({"digest": DIGEST}) == set()


@pytest.mark.parametrize(
    ("model", "fields", "expected"),
    [
        ({"tokenizer": None}, {}, ("tokenizer", "warning")),
        ({"tokenizer": "granite"}, {}, ("tokenizer", "warning")),
        ({"verify_certificate": False}, {}, ("certificate-unverified", "warning")),
        ({"header": {"X-Team": "a"}}, {"env": {"OPENAI_API_KEY": {"env": "KEY"}}}, ("header-replaces-key", "warning")),
        ({}, {"use_cache": "/cache/answers"}, ("cache-identity", "error")),
    ],
)
def test_what_silently_means_something_else_is_named(
    model: dict[str, Any], fields: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert found(model, **fields) == {expected}


@pytest.mark.parametrize(
    ("model", "fields"),
    [({"tokenizer": None, "tokenizer_backend": "remote"}, {}), ({"digest": DIGEST}, {"use_cache": "/cache/answers"})],
)
def test_what_is_well_defined_is_not(model: dict[str, Any], fields: dict[str, Any]) -> None:
    assert found(model, **fields) == set()


def test_the_run_is_told_what_was_declared_beside_lm_evals_arguments() -> None:
    spec = EvalSpec.parse({"model": MODEL | {"digest": DIGEST}, "tasks": ["arc_easy"]})

    request = plan_request(spec, "run-1", GRANTS, Placement())

    assert request.model_digest == DIGEST
    assert "digest" not in request.model_args
    assert DIGEST not in " ".join(request.equivalent_command)
