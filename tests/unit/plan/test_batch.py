"""The administrator's batch sizes hold for every backend, and every change is told."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_lmeval.errors import SpecError
from airflow_provider_lmeval.plan.batch import OPERATOR, BatchRules, administered, allowed_batch
from airflow_provider_lmeval.spec import EvalSpec

API = {"type": "local-completions", "model": "m", "base_url": "http://h/v1/completions"}


def spec(**fields: Any) -> EvalSpec:
    return EvalSpec.parse({"model": {"type": "hf", "pretrained": "m"}, "tasks": ["arc_easy"]} | fields)


@pytest.mark.parametrize(
    ("fields", "rules", "sizes", "told"),
    [
        ({}, BatchRules(), (None, None), 0),
        ({}, BatchRules(maximum=24), (None, 24), 1),
        ({}, OPERATOR, (8, None), 1),
        ({"batch_size": 1}, OPERATOR, (1, None), 0),
        ({"batch_size": 24}, OPERATOR, (24, None), 0),
        ({"batch_size": 32}, OPERATOR, (24, None), 1),
        ({"batch_size": 32, "max_batch_size": 64}, OPERATOR, (24, 24), 2),
        ({"batch_size": "auto"}, OPERATOR, ("auto", 24), 1),
        ({"batch_size": "auto:4", "max_batch_size": 16}, OPERATOR, ("auto:4", 16), 0),
        ({"batch_size": "auto", "max_batch_size": 64}, OPERATOR, ("auto", 24), 1),
    ],
)
def test_what_a_spec_gets(fields, rules, sizes, told) -> None:
    found, lines = allowed_batch(spec(**fields), rules)
    assert (found.batch_size, found.max_batch_size) == sizes
    assert len(lines) == told
    assert EvalSpec.parse(found.to_data()) == found


def test_the_log_names_the_setting_that_capped() -> None:
    _, (line,) = allowed_batch(spec(batch_size=32), OPERATOR)
    assert line == "batch_size: 32 is above [lmeval] max_batch_size 24; capped to 24 (batch_size_policy is cap)"


@pytest.mark.parametrize("fields", [{"batch_size": 32}, {"batch_size": "auto", "max_batch_size": 32}])
def test_the_policy_error_refuses(fields) -> None:
    with pytest.raises(SpecError, match=r"32 is above \[lmeval\] max_batch_size 24, and batch_size_policy is error"):
        allowed_batch(spec(**fields), BatchRules(maximum=24, policy="error"))


def test_a_default_above_the_spec_s_own_maximum_is_not_taken() -> None:
    found, _ = allowed_batch(spec(max_batch_size=4), OPERATOR)
    assert (found.batch_size, found.max_batch_size) == (4, 4)


@pytest.mark.parametrize(
    ("fields", "device"),
    [({}, "cuda"), ({"device": "cpu"}, "cpu"), ({"model": API}, None), ({"model": {"type": "gguf"}}, None)],
)
def test_without_detection_local_models_take_cuda_or_fail(fields, device) -> None:
    assert administered(spec(**fields), BatchRules(), detect_device=False)[0].device == device
    assert administered(spec(**fields), BatchRules())[0].device == fields.get("device")
