"""Who stops a job: the task, its time limit, a person."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import AirflowFailException

from tests.kube import KubeServer
from tests.kube.custom import LMEVALJOBS
from tests.kube.trustyai import JobScript, TrustyAI
from tests.kube_backend.conftest import NAMESPACE, Airflow, context, defer, finish, fire
from tests.kube_backend.lmevaljob.jobs import jobs, play, results, state


def test_a_killed_task_deletes_its_job(server: KubeServer, airflow: Airflow, trusty: TrustyAI) -> None:
    trusty.script = JobScript(stays="Running")
    task = airflow.operator()
    defer(task, context())
    server.wait(lambda: state(server) == "Running")
    task.on_kill()
    assert jobs(server) == []
    server.wait(lambda: not server.pods(NAMESPACE))


def test_execution_timeout_deletes_the_job(server: KubeServer, airflow: Airflow, trusty: TrustyAI) -> None:
    trusty.script = JobScript(stays="Running")
    _, error = play(airflow, execution_timeout=timedelta(seconds=1))
    assert "execution_timeout" in str(error)
    assert jobs(server) == []


def test_a_job_that_a_person_deletes_is_cancelled(server: KubeServer, airflow: Airflow, trusty: TrustyAI) -> None:
    trusty.script = JobScript(stays="Running")

    def delete() -> None:
        server.wait(lambda: state(server) == "Running")
        (job,) = jobs(server)
        server.call(lambda: server.cluster.registry.delete(LMEVALJOBS, (NAMESPACE, job["metadata"]["name"])))

    found, error = play(airflow, delete)
    assert (found["state"], found["reason"], found["cause"]) == ("Cancelled", "Cancelled", "cancelled")
    assert isinstance(error, AirflowFailException)


def test_a_job_that_succeeds_while_it_is_stopped_has_succeeded(
    server: KubeServer, airflow: Airflow, trusty: TrustyAI
) -> None:
    """Its time is up when the trigger looks first; its results would be gone with it."""
    trusty.script = JobScript(results=results())
    task, ctx = airflow.operator(execution_timeout=timedelta(seconds=0.001)), context()
    deferral = defer(task, ctx)
    server.wait(lambda: state(server) == "Complete")
    finish(task, ctx, deferral, fire(deferral))
    assert ctx["ti"].xcoms["return_value"]["reason"] == "Succeeded"
