"""The DAGs around the gate: what leads where."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from airflow import __version__ as airflow_version
from airflow.sdk import DAG
from packaging.version import Version

from airflow_provider_lmeval.operators.promote import LMEvalPromoteOperator, baseline_asset

DAGS = Path(__file__).resolve().parents[3] / "dags"

pytestmark = pytest.mark.skipif(
    Version(airflow_version) < Version("3.3"), reason="the approval's response_timeout came with Airflow 3.3"
)


def dag(name: str) -> DAG:
    return getattr(import_module(name), name)()


def downstream(dag: DAG, task_id: str) -> set[str]:
    return set(dag.get_task(task_id).downstream_task_ids)


@pytest.mark.parametrize("name", ["gate_with_approval", "nightly_regate"])
def test_parsing_loads_nothing_heavy(name: str) -> None:
    heavy = ["torch", "lm_eval", "transformers", "kubernetes", "kubernetes_asyncio", "numpy", "scipy"]
    code = f"import sys, {name}; print([m for m in {heavy!r} if m in sys.modules])"

    done = subprocess.run([sys.executable, "-c", code], cwd=DAGS, capture_output=True, text=True, timeout=120)

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_a_model_is_promoted_after_the_gate_or_after_a_person() -> None:
    found = dag("gate_with_approval")

    assert downstream(found, "gate") == {"what_next", "hold", "promote"}
    assert downstream(found, "what_next") == {"approve", "hold", "promote"}
    assert downstream(found, "approve") == {"promote"}
    assert downstream(found, "promote") == downstream(found, "hold") == set()


@pytest.mark.parametrize(
    ("verdict", "way"),
    [
        ({"action": "allow"}, "promote"),
        ({"action": "ask"}, "approve"),
        ({"action": "block"}, "hold"),
        ({}, "hold"),
        (None, "hold"),
    ],
)
def test_the_verdict_shows_the_way_and_without_one_the_model_is_held(verdict: Any, way: str) -> None:
    branch = dag("gate_with_approval").get_task("what_next")

    assert branch.python_callable(verdict) == way


def test_promotions_are_announced_as_events_of_one_asset() -> None:
    promote = dag("gate_with_approval").get_task("promote")

    assert isinstance(promote, LMEvalPromoteOperator)
    assert promote.outlets == [baseline_asset("chat", "post_training")]


def test_every_stored_result_is_gated_again_by_itself() -> None:
    found = dag("nightly_regate")

    assert found.get_task("gate").is_mapped
    assert downstream(found, "newest_results") == downstream(found, "model_in_production") == {"gate"}
    assert downstream(found, "gate") == {"overview"}


def test_the_overview_sorts_runs_by_what_the_gate_says_today() -> None:
    overview = dag("nightly_regate").get_task("overview").python_callable
    verdicts = [
        {"outcome": outcome, "reasons": [], "candidate": {"run_id": run_id}}
        for run_id, outcome in (("a", "PASS"), ("b", "FAIL"), ("c", "PASS"))
    ]
    unreadable = {"outcome": "ERROR", "reasons": ["gone"], "checks": []}

    assert overview([*verdicts, unreadable]) == {"PASS": ["a", "c"], "FAIL": ["b"], "ERROR": ["unreadable"]}
    assert overview(None) == {}
