"""Every option of ``lm-eval run`` is a field of the spec or refused by name: held against lm-eval's own parser."""

from __future__ import annotations

import argparse

import pytest

from airflow_provider_lmeval.errors import SpecError
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.spec.evaluation import REFUSED

ELSEWHERE = {"model_args": "the fields and `args` of the model", "include_path": "include_paths"}
"""Options that go by another name, because they hold more here."""


@pytest.fixture(scope="module")
def options() -> set[str]:
    run = pytest.importorskip("lm_eval._cli.run", reason="needs lm-eval (the driver extra)")
    subparsers = argparse.ArgumentParser().add_subparsers()
    run.Run(subparsers)
    return {action.dest for action in subparsers.choices["run"]._actions} - {"help"}


def test_every_option_is_a_field_or_refused(options: set[str]) -> None:
    assert options - set(EvalSpec.model_fields) - set(REFUSED) - set(ELSEWHERE) == set()


def test_nothing_is_refused_that_lm_eval_does_not_have(options: set[str]) -> None:
    assert set(REFUSED) <= options


@pytest.mark.parametrize("option", sorted(REFUSED))
def test_a_refused_option_says_why(option: str) -> None:
    with pytest.raises(SpecError) as caught:
        EvalSpec.parse({"model": {"type": "hf", "pretrained": "/m"}, "tasks": ["arc_easy"], option: "x"})
    assert REFUSED[option] in str(caught.value)
