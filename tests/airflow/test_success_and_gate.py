from __future__ import annotations

from airflow_provider_lmeval.store import open_result
from tests.support.airflow_api import wait_until
from tests.support.tiny import untrained_model

SUMMARY = {
    "schema_version", "run_id", "backend", "state", "reason", "cause", "results", "higher_is_better", "n_samples",
    "result_uri", "fingerprint", "seconds",
}  # fmt: skip


def test_an_evaluation_succeeds_through_deferral_and_opens_the_gate(airflow, quick):
    api = airflow.api
    run = api.trigger("e2e_gate", {"spec": quick})

    api.wait_task("e2e_gate", run, "evaluate", "deferred")
    pool = api.call("GET", "pools/default_pool")
    assert (pool["occupied_slots"], pool["deferred_slots"]) == (0, 1), "a deferred evaluation holds no worker slot"
    wait_until(lambda: not airflow.busy_workers(), "a deferred evaluation holds no worker process", 2)
    assert api.task_state("e2e_gate", run, "evaluate") == "deferred"

    assert api.wait_run("e2e_gate", run) == "success"
    found = api.xcom("e2e_gate", run, "evaluate")
    assert set(found) == SUMMARY
    assert (found["backend"], found["state"], found["reason"], found["cause"]) == (
        "local",
        "Complete",
        "Succeeded",
        None,
    )
    assert 0.85 <= found["results"]["tiny_mc"]["acc,none"] < 1
    assert 0 < found["results"]["tiny_mc"]["acc_stderr,none"] < 0.1
    assert found["n_samples"]["tiny_mc"] == {"original": 40, "effective": 40}
    assert api.xcom("e2e_gate", run, "gate")["outcome"] == "PASS"
    assert api.xcom("e2e_gate", run, "promote") == "promoted"

    stored = open_result(found["result_uri"])
    assert stored.run_id == found["run_id"]
    assert stored.metric("tiny_mc", "acc").value == found["results"]["tiny_mc"]["acc,none"]


def test_an_untrained_model_is_held_by_the_gate_and_both_xcoms_are_there(airflow, quick):
    api = airflow.api
    run = api.trigger("e2e_gate", {"spec": quick | {"model": {"type": "hf", "pretrained": str(untrained_model())}}})

    assert api.wait_run("e2e_gate", run) == "failed"
    states = {name: task["state"] for name, task in api.tasks("e2e_gate", run).items()}
    assert states == {"evaluate": "success", "gate": "failed", "promote": "upstream_failed"}
    score = api.xcom("e2e_gate", run, "evaluate")["results"]["tiny_mc"]["acc,none"]
    verdict = api.xcom("e2e_gate", run, "gate")
    assert score < 0.5
    assert verdict["outcome"] == "FAIL"
    assert any("tiny_mc" in reason and "floor" in reason for reason in verdict["reasons"]), verdict["reasons"]


def test_a_model_that_is_not_there_fails_without_another_try_and_says_so(airflow, quick):
    api = airflow.api
    run = api.trigger("e2e_evaluate", {"spec": quick | {"model": {"type": "hf", "pretrained": "/no/such/model"}}})

    assert api.wait_run("e2e_evaluate", run) == "failed"
    assert any(
        "/no/such/model" in line and "not a directory" in line for line in api.log("e2e_evaluate", run, "evaluate")
    )
