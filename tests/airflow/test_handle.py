from __future__ import annotations


def test_a_sensor_waits_for_a_run_that_another_task_has_started(airflow, quick):
    api = airflow.api
    run = api.trigger("e2e_handle", {"spec": quick})

    api.wait_task("e2e_handle", run, "wait", "deferred")
    assert api.task_state("e2e_handle", run, "start") == "success", "the starting task does not wait"

    assert api.wait_run("e2e_handle", run) == "success"
    handle, found = api.xcom("e2e_handle", run, "start"), api.xcom("e2e_handle", run, "wait")
    assert found["run_id"] == handle["run_id"]
    assert found["results"]["tiny_gen"]["exact_match,whole"] > 0.8
