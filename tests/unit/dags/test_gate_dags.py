"""The DAGs around the gate: what leads where."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from airflow import __version__ as airflow_version
from airflow.sdk import DAG, AssetAll
from packaging.version import Version

from airflow_provider_lmeval.operators.promote import LMEvalPromoteOperator, baseline_asset
from airflow_provider_lmeval.spec import EvalSpec

DAGS = Path(__file__).resolve().parents[3] / "dags"

pytestmark = pytest.mark.skipif(
    Version(airflow_version) < Version("3.3"), reason="the approval's response_timeout came with Airflow 3.3"
)


def dag(name: str) -> DAG:
    return getattr(import_module(name), name)()


def downstream(dag: DAG, task_id: str) -> set[str]:
    return set(dag.get_task(task_id).downstream_task_ids)


@pytest.mark.parametrize(
    "name",
    [
        "calibrate_baseline",
        "gate_with_approval",
        "nightly_regate",
        "gate_on_gpu",
        "nightly_matrix",
        "lmeval_maintenance",
        "offline",
    ],
)
def test_parsing_loads_nothing_heavy(name: str) -> None:
    heavy = ["torch", "lm_eval", "transformers", "kubernetes", "kubernetes_asyncio", "numpy", "scipy"]
    code = f"import sys, {name}; print([m for m in {heavy!r} if m in sys.modules])"

    done = subprocess.run([sys.executable, "-c", code], cwd=DAGS, capture_output=True, text=True, timeout=120)

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_a_model_is_promoted_after_the_gate_or_after_a_person() -> None:
    found = dag("gate_with_approval")

    assert downstream(found, "gate") == {"what_next", "approve", "hold", "promote"}
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
    assert downstream(found, "newest_results") == {"gate"}
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


def test_on_a_gpu_training_and_evaluation_share_a_pool_and_the_gate_stands_before_promotion() -> None:
    found = dag("gate_on_gpu")

    assert {task.task_id for task in found.tasks if task.pool == "gpu"} == {"train", "evaluate"}
    assert downstream(found, "evaluate") == {"gate", "promote"}
    assert downstream(found, "gate") == {"promote"}


@pytest.mark.parametrize("name", ["gate_with_approval", "nightly_regate", "gate_on_gpu"])
def test_the_baseline_is_named_as_what_is_promoted_so_that_its_calibration_counts(name: str) -> None:
    gate = dag(name).get_task("gate")
    baseline = gate.partial_kwargs["baseline"] if gate.is_mapped else gate.baseline

    assert baseline == ("promoted:heavier/demo" if name == "gate_on_gpu" else "promoted:chat/post_training")


def test_the_matrix_has_a_valid_spec_for_every_model_and_suite() -> None:
    matrix = dag("nightly_matrix").get_task("matrix").python_callable
    suites = {"maths": ["gsm8k"], "language": ["arc_easy", "hellaswag"]}

    specs = matrix({"models": ["/models/a", "/models/b"], "suites": suites, "options": {"batch_size": "auto"}})

    parsed = [EvalSpec.parse(spec) for spec in specs]
    assert len({spec.content_hash for spec in parsed}) == 4
    assert {str(spec["model"]["pretrained"]) for spec in specs} == {"/models/a", "/models/b"}
    assert matrix({"models": [], "suites": suites, "options": {}}) == []


def test_the_matrix_is_mapped_and_waits_in_the_pool() -> None:
    found = dag("nightly_matrix").get_task("evaluate")

    assert found.is_mapped
    assert found.pool == "gpu"


def test_every_promotion_leads_to_a_second_evaluation_of_the_model() -> None:
    found = dag("calibrate_baseline")

    assert found.timetable.asset_condition == AssetAll(baseline_asset("chat", "post_training"))
    assert downstream(found, "evaluation") == {"evaluate_again"}
    assert downstream(found, "evaluate_again") == {"calibrate"}
