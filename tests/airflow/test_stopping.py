from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.airflow.conftest import is_running, lasting, processes_of
from tests.support.airflow_api import TASK_ENDED, AirflowAPI, wait_until

DAG, TASK = "e2e_evaluate", "evaluate"
PROGRESS = re.compile("Running: evaluating").match
SOON = 20
"""Seconds within which a stopped evaluation is gone: two heartbeats of the triggerer and the grace period."""


def status_of(handle: dict[str, Any]) -> dict[str, Any]:
    path = Path(handle["where"]["directory"], "status.json")
    return json.loads(path.read_text()) if path.exists() else {}


def evaluating(api: AirflowAPI, run: str, after: dict[str, Any] | None = None) -> dict[str, Any]:
    """Wait until the task is deferred and its model being evaluated; return the handle of that run."""

    def there() -> dict[str, Any] | None:
        assert api.task_state(DAG, run, TASK) not in TASK_ENDED, api.log(DAG, run, TASK)
        handle = api.xcom(DAG, run, TASK, "handle")
        fresh = handle and (after is None or handle["run_id"] != after["run_id"])
        return handle if fresh and status_of(handle).get("phase") == "evaluating" else None

    handle = wait_until(there, "the evaluation goes on", 90)
    api.wait_task(DAG, run, TASK, "deferred")
    return handle


def assert_cancelled(handle: dict[str, Any]) -> None:
    wait_until(lambda: not processes_of(handle), "the evaluation's processes are gone", SOON)
    assert (status_of(handle)["state"], status_of(handle)["cause"]) == ("Cancelled", "cancelled")


def test_a_deferred_task_tells_its_progress_and_marking_it_failed_ends_its_evaluation(airflow):
    api = airflow.api
    run = api.trigger(DAG, {"spec": lasting(tokens=100, repeats=50)})
    handle = evaluating(api, run)
    assert len(processes_of(handle)) >= 2, "a driver and its evaluation"
    wait_until(lambda: any(map(PROGRESS, api.log(DAG, run, TASK))), "progress in the task's log", 20)
    assert api.task_state(DAG, run, TASK) == "deferred"

    api.set_task_state(DAG, run, TASK, "failed")

    assert_cancelled(handle)


def test_clearing_a_deferred_task_ends_the_old_evaluation_and_starts_a_new_one(airflow):
    api = airflow.api
    run = api.trigger(DAG, {"spec": lasting(tokens=100, repeats=50)})
    first = evaluating(api, run)

    api.clear_task(DAG, run, TASK)

    assert_cancelled(first)
    second = evaluating(api, run, after=first)
    assert is_running(second)
    api.set_task_state(DAG, run, TASK, "failed")
    assert_cancelled(second)


def test_a_triggerer_that_is_killed_loses_nothing_and_repeats_nothing(airflow):
    api = airflow.api
    run = api.trigger(DAG, {"spec": lasting(tokens=40)})
    handle = evaluating(api, run)

    airflow.kill("triggerer")
    assert is_running(handle), "the evaluation does not depend on the triggerer"
    airflow.restart("triggerer")

    assert api.wait_run(DAG, run) == "success"
    assert api.tasks(DAG, run)[TASK]["try_number"] == 1
    assert api.xcom(DAG, run, TASK)["run_id"] == handle["run_id"]
    assert status_of(handle)["pid"] == handle["where"]["pid"], "one driver did it all"
    prefix = handle["run_id"].rpartition("-")[0]
    assert len(list(Path(handle["where"]["directory"]).parent.glob(f"{prefix}-*"))) == 1
