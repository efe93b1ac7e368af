"""Before a GPU is paid for it: whether the gate will be able to decide."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_lmeval.gate import RuleSet
from airflow_provider_lmeval.gate.preflight import preflight
from airflow_provider_lmeval.results import EvalResult
from airflow_provider_lmeval.spec import EvalSpec
from tests.support.evidence import document, group, metric, task


def spec(**fields: Any) -> EvalSpec:
    return EvalSpec.parse({"model": {"type": "hf", "pretrained": "/m"}, "tasks": ["arc_easy"]} | fields)


def past(**sizes: int) -> EvalResult:
    """Return an evaluation of tasks with so many documents."""
    entries = {name: task({"acc,none": metric(0.5, n=n)}, n=n) for name, n in sizes.items()}
    return EvalResult.parse(document(entries | {"both": group({}, list(sizes))}))


def test_a_limit_that_decides_nothing_is_worth_a_warning() -> None:
    assert "at most 100 documents" in preflight(spec(limit=100))[0]
    assert "at most 5,700 documents" in preflight(spec(limit=100, tasks=["mmlu"]))[0]
    assert preflight(spec(limit=1000, tasks=["mmlu"])) == []


@pytest.mark.parametrize("fields", [{}, {"limit": 0.5}, {"limit": 5, "tasks": ["no_such_task"]}])
def test_where_the_number_of_documents_is_not_known_nothing_is_said(fields: dict[str, Any]) -> None:
    assert preflight(spec(**fields)) == []


def test_a_past_evaluation_knows_the_documents() -> None:
    (warning,) = preflight(spec(), past=past(arc_easy=2376))

    assert "2,376 documents" in warning
    assert "at most" not in warning
    assert "proved less than 0.01 worse" in warning
    assert "about 6,500 would do" in warning
    assert preflight(spec(), past=past(arc_easy=9000)) == []


@pytest.mark.parametrize(
    ("fields", "n"),
    [
        ({"limit": 100}, "100"),
        ({"limit": 0.5}, "1,188"),
        ({"samples": {"arc_easy": [1, 2, 3]}}, "3"),
        ({"limit": 9000}, "2,376"),
    ],
)
def test_a_part_of_the_documents_is_a_part(fields: dict[str, Any], n: str) -> None:
    (warning,) = preflight(spec(**fields), past=past(arc_easy=2376))

    assert f" {n} documents" in warning


def test_tasks_that_are_not_evaluated_do_not_count() -> None:
    assert " 500 documents" in preflight(spec(), past=past(arc_easy=500, hellaswag=10_000))[0]


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"task": "arc_easy", "max_drop": 0.01}, "500 documents"),
        ({"task": "arc_*", "max_drop": 0.2}, None),
        ({"task": "arc_easy", "max_relative_drop": 0.02}, "less than 0.01 worse"),
        ({"task": "arc_easy", "max_relative_drop": 0.5}, None),
        ({"task": "both", "max_drop": 0.01}, "500 documents"),
        ({"task": "arc_easy", "max_drop": 0.01, "tier": "info"}, None),
        ({"task": "arc_easy", "floor": 0.9}, None),
        ({"task": "arc_easy", "max_drop": 0.01, "metric": "f1"}, "500 documents"),
        ({"task": "arc_easy", "max_relative_drop": 0.01, "metric": "f1"}, None),
        ({"task": "other", "max_drop": 0.01}, None),
    ],
)
def test_every_rule_that_compares_is_asked(rule: dict[str, Any], said: str | None) -> None:
    found = preflight(spec(), RuleSet.parse([{"metric": "acc"} | rule]), past(arc_easy=500))

    assert len(found) == (said is not None)
    assert all(said in each for each in found if said)
