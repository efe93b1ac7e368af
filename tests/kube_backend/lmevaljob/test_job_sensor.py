"""A job that somebody else has created: waited for, collected, left alone."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, TaskDeferred

from airflow_provider_lmeval.sensors.lmeval import LMEvalSensor
from airflow_provider_lmeval.store import open_result
from tests.kube import KubeServer
from tests.kube.custom import LMEVALJOBS
from tests.kube.trustyai import FINALIZER, TrustyAI
from tests.kube_backend.conftest import NAMESPACE, context, fire
from tests.kube_backend.lmevaljob.jobs import foreign, jobs, results, state


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


def test_a_job_that_was_edited_has_another_result(server: KubeServer, trusty: TrustyAI) -> None:
    """The operator evaluates it once more: what was stored before is not its result any more."""
    foreign(server)

    def wait() -> dict[str, Any]:
        sensor = LMEvalSensor(
            task_id="wait", lmevaljob="theirs", lmeval_conn_id="eval", deferrable=False, poke_interval=0.1
        )
        found: dict[str, Any] = sensor.execute(context())
        return found

    assert wait()["results"]["arc_easy"]["acc,none"] == 0.9

    def edited(job: dict[str, Any]) -> dict[str, Any]:
        return job | {"spec": job["spec"] | {"numFewShot": 5}}

    server.call(lambda: server.cluster.registry.change(LMEVALJOBS, (NAMESPACE, "theirs"), edited))
    trusty.set("theirs", NAMESPACE, results=results(arc_easy=0.7))
    assert wait()["results"]["arc_easy"]["acc,none"] == 0.7


def test_results_of_before_an_edit_are_not_taken(server: KubeServer, trusty: TrustyAI) -> None:
    foreign(server)
    server.wait(lambda: state(server) == "Complete")

    def edited(job: dict[str, Any]) -> dict[str, Any]:
        note = {"trustyai.opendatahub.io/last-scheduled-generation": "1"}
        meta = job["metadata"] | {"annotations": note}
        return job | {"metadata": meta, "spec": job["spec"] | {"numFewShot": 5}}

    server.call(lambda: server.cluster.registry.change(LMEVALJOBS, (NAMESPACE, "theirs"), edited))
    sensor = LMEvalSensor(task_id="wait", lmevaljob="theirs", lmeval_conn_id="eval", deferrable=False)
    assert not sensor.poke(context()).is_done
