"""A job that somebody else has created: waited for, collected, left alone."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import AirflowException, TaskDeferred

from airflow_provider_lmeval.sensors.lmeval import LMEvalSensor
from airflow_provider_lmeval.store import open_result
from tests.kube import KubeServer
from tests.kube.trustyai import FINALIZER
from tests.kube_backend.conftest import NAMESPACE, context, fire
from tests.kube_backend.lmevaljob.jobs import foreign, jobs


@pytest.mark.parametrize("deferrable", [True, False])
@pytest.mark.usefixtures("trusty")
def test_a_sensor_waits_for_somebody_elses_job_and_leaves_it(server: KubeServer, deferrable: bool) -> None:
    foreign(server)
    sensor = LMEvalSensor(
        task_id="wait", lmevaljob=f"{NAMESPACE}/theirs", lmeval_conn_id="eval", deferrable=deferrable, poke_interval=0.1
    )
    ctx = context()
    if deferrable:
        with pytest.raises(TaskDeferred) as caught:
            sensor.execute(ctx)
        caught.value.trigger.not_before = 0.0
        found = sensor.resume(ctx, event=fire(caught.value), **caught.value.kwargs)
    else:
        found = sensor.execute(ctx)
    assert found["results"]["arc_easy"]["acc,none"] == 0.9
    assert open_result(found["result_uri"]).succeeded
    (job,) = jobs(server)
    assert job["metadata"]["finalizers"] == [FINALIZER]


@pytest.mark.usefixtures("trusty")
def test_a_sensor_for_a_job_that_is_not_there_says_so() -> None:
    sensor = LMEvalSensor(task_id="wait", lmevaljob="nobodys", lmeval_conn_id="eval")
    with pytest.raises(AirflowException, match=f"there is no LMEvalJob {NAMESPACE}/nobodys"):
        sensor.execute(context())
