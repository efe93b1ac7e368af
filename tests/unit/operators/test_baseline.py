"""The baseline operator: a stored evaluation of the promoted weights is used again; else there is a new one, or a reason."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_lmeval.operators.baseline import LMEvalBaselineOperator
from airflow_provider_lmeval.operators.calibrate import LMEvalCalibrateOperator, second_evaluation
from airflow_provider_lmeval.store import Store
from airflow_provider_lmeval.store.baselines import Baselines
from airflow_provider_lmeval.store.promotion import Override
from tests.support.context import context
from tests.support.evidence import document, sha, write_run
from tests.support.scripts import GOLDEN, success

SPEC = {"model": {"type": "hf", "pretrained": "/models/candidate"}, "tasks": ["arc_easy"], "batch_size": 16}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with a candidate, and a promoted model that was evaluated in the same way."""
    found = Store(tmp_path / "store")
    for run_id in ("candidate-1", "production-7"):
        found.put_run(write_run(tmp_path / run_id, document(run_id=run_id)))
    return found


def promote(store: Store, run_id: str = "production-7") -> None:
    now = time.time()
    override = Override(approver="ada", reason="the first one", at=now, expires=now + 60)
    Baselines(store).promote("chat", "mmlu", run_id, by="ada", reason="first", override=override)


def changed(store: Store, tmp_path: Path) -> str:
    """Store a candidate that answered other questions than the promoted model; return where."""
    data = document(run_id="candidate-2")
    data["fingerprint"]["tasks"]["tiny_mc"]["documents"] = sha("new questions")
    store.put_run(write_run(tmp_path / "candidate-2", data))
    return store.uri("candidate-2")


def operator(store: Store, conn_id: str | None = None, **fields: Any) -> LMEvalBaselineOperator:
    defaults = {
        "task_id": "baseline", "name": "chat", "suite": "mmlu", "candidate": {"result_uri": store.uri("candidate-1")},
        "spec": SPEC, "results_uri": store.url, "lmeval_conn_id": conn_id,
    }  # fmt: skip
    return LMEvalBaselineOperator(**defaults | fields)


def test_before_the_first_promotion_there_is_no_baseline(store: Store) -> None:
    assert operator(store).execute(context()) is None


def test_a_stored_evaluation_that_can_be_compared_is_used_again(store: Store) -> None:
    promote(store)

    found = operator(store).execute(context())

    assert found["result_uri"] == store.uri("production-7")
    assert found["results"]["tiny_mc"]["acc,none"] == 0.85


def test_without_leave_to_evaluate_it_says_what_is_missing(store: Store, tmp_path: Path) -> None:
    promote(store)

    with pytest.raises(AirflowFailException, match="tiny_mc: documents differs"):
        operator(store, candidate=changed(store, tmp_path), evaluate=False).execute(context())


def test_the_promoted_model_is_evaluated_as_the_candidate_was(store: Store, tmp_path: Path, scripted: Any) -> None:
    promote(store)
    task = operator(store, scripted(success(), allowed_env="HF_TOKEN"), candidate=changed(store, tmp_path))

    with pytest.raises(TaskDeferred):
        task.execute(context())

    assert task.spec["model"]["pretrained"] == "/models/production-7"
    assert {name: value for name, value in task.spec.items() if name != "model"} == {
        "tasks": ["arc_easy"], "batch_size": 16
    }  # fmt: skip


def test_other_weights_under_the_promoted_path_are_no_baseline(store: Store, tmp_path: Path, scripted: Any) -> None:
    promote(store)
    task = operator(
        store, scripted(success(), allowed_env="HF_TOKEN"), candidate=changed(store, tmp_path), deferrable=False
    )

    with pytest.raises(AirflowFailException, match="not those that were promoted"):
        task.execute(context())


def test_the_promoted_weights_are(store: Store, tmp_path: Path, scripted: Any) -> None:
    identity = json.loads(GOLDEN.read_text())["model"]["identity"]
    data = document(run_id="golden")
    data["model"]["identity"] = data["fingerprint"]["model"]["identity"] = identity
    store.put_run(write_run(tmp_path / "golden", data))
    promote(store, "golden")
    task = operator(
        store, scripted(success(), allowed_env="HF_TOKEN"), candidate=changed(store, tmp_path), deferrable=False
    )

    assert task.execute(context())["reason"] == "Succeeded"


def test_a_served_model_is_evaluated_again_as_what_it_was_declared_to_be(
    store: Store, tmp_path: Path, scripted: Any
) -> None:
    data = document(run_id="served")
    args = {"model": "granite", "base_url": "http://vllm/v1/completions", "tokenizer": "ibm-granite/granite"}
    data["model"] |= {"type": "local-completions", "args": args}
    store.put_run(write_run(tmp_path / "served", data))
    promote(store, "served")
    task = operator(store, scripted(success()), candidate=changed(store, tmp_path))

    with pytest.raises(TaskDeferred):
        task.execute(context())

    assert task.spec["model"] == {"type": "local-completions", **args, "digest": data["model"]["identity"]}


@pytest.mark.parametrize("candidate", [None, "", {"result_uri": None}])
def test_a_candidate_that_left_no_result_has_no_baseline(store: Store, candidate: Any) -> None:
    with pytest.raises(AirflowFailException, match="names no stored result"):
        operator(store, candidate=candidate).execute(context())


# --- calibration


def test_the_second_evaluation_is_of_the_promoted_model_in_another_way(store: Store, scripted: Any) -> None:
    promote(store)

    found = second_evaluation("chat", "mmlu", SPEC, lmeval_conn_id=scripted(success(), results_uri=store.url))

    assert found["model"]["pretrained"] == "/models/production-7"
    assert (found["seed"], found["batch_size"]) == ([0, 1234, 1234, 1235], 8)


def test_without_a_promotion_there_is_nothing_to_calibrate(store: Store) -> None:
    task = LMEvalCalibrateOperator(
        task_id="calibrate", name="chat", suite="mmlu", second=store.uri("candidate-1"), results_uri=store.url
    )
    with pytest.raises(AirflowFailException, match="nothing was promoted"):
        task.execute(context())


def test_two_models_are_not_compared_for_noise(store: Store) -> None:
    promote(store)
    task = LMEvalCalibrateOperator(
        task_id="calibrate",
        name="chat",
        suite="mmlu",
        second={"result_uri": store.uri("candidate-1")},
        results_uri=store.url,
    )
    with pytest.raises(AirflowFailException, match="different models"):
        task.execute(context())
