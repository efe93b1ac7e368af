"""A job that goes on: its progress and its log in the task's log, its states, one watch for all."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_lmeval.sensors.lmeval import LMEvalSensor
from tests.kube import KubeServer, clock
from tests.kube.custom import LMEVALJOBS
from tests.kube.trustyai import JobScript, TrustyAI
from tests.kube_backend.acts import Worker
from tests.kube_backend.conftest import NAMESPACE, Airflow, context, defer, finish, fire
from tests.kube_backend.lmevaljob.jobs import GROUP, Shown, foreign, jobs, play, results, role, state, without


def test_progress_and_the_pods_log_are_shown(
    server: KubeServer, airflow: Airflow, trusty: TrustyAI, shown: Shown
) -> None:
    trusty.script = JobScript(
        stays="Running", bars=("84/228",), log=b"Loading model\nRequesting API:   1%\rRequesting API:  37%\n"
    )

    def end() -> None:
        server.wait(lambda: "evaluating Requesting API, 84/228" in shown.text)
        server.wait(lambda: "Loading model" in shown.text, 20)
        trusty.end(
            jobs(server)[0]["metadata"]["name"], NAMESPACE, state="Complete", reason="Succeeded", results=results()
        )

    _, error = play(airflow, end)
    assert error is None
    assert shown.text.count("Loading model") == 1
    assert "Requesting API:  37%" in shown.text
    assert "Requesting API:   1%" not in shown.text


def test_a_worker_that_waits_shows_the_log_as_well(
    server: KubeServer, airflow: Airflow, trusty: TrustyAI, shown: Shown
) -> None:
    trusty.script = JobScript(stays="Running", log=b"Loading model\n")

    def end() -> None:
        server.wait(lambda: "Loading model" in shown.text, 20)
        name = jobs(server)[0]["metadata"]["name"]
        server.call(lambda: trusty.say(name, NAMESPACE, b"Saving results\n"))
        trusty.end(name, NAMESPACE, state="Complete", reason="Succeeded", results=results())

    worker = Worker(end)
    found = airflow.operator(deferrable=False, poll_interval=0.2).execute(context())
    worker.join()
    assert found["reason"] == "Succeeded"
    assert [shown.text.count(line) for line in ("Loading model", "Saving results")] == [1, 1]


def test_a_sensor_that_pokes_shows_the_log_as_well(server: KubeServer, trusty: TrustyAI, shown: Shown) -> None:
    trusty.script = JobScript(stays="Running", log=b"Loading model\n")
    foreign(server)

    def end() -> None:
        server.wait(lambda: "Loading model" in shown.text, 20)
        trusty.end("theirs", NAMESPACE, state="Complete", reason="Succeeded", results=results())

    worker = Worker(end)
    sensor = LMEvalSensor(
        task_id="wait", lmevaljob="theirs", lmeval_conn_id="eval", deferrable=False, poke_interval=0.2
    )
    assert sensor.execute(context())["reason"] == "Succeeded"
    worker.join()
    assert shown.text.count("Loading model") == 1


def test_a_worker_without_the_right_to_logs_says_so_once(
    server: KubeServer, airflow: Airflow, trusty: TrustyAI, shown: Shown
) -> None:
    trusty.script = JobScript(stays="Running")
    server.user("airflow", [rule for rule in role() if rule.resources != ("pods/log",)])

    def end() -> None:
        name = "'get' on 'pods/log'"
        server.wait(lambda: name in shown.text, 20)
        seen = server.requests.count("get", "lmevaljobs")
        server.wait(lambda: server.requests.count("get", "lmevaljobs") > seen + 1)
        trusty.end(
            jobs(server)[0]["metadata"]["name"], NAMESPACE, state="Complete", reason="Succeeded", results=results()
        )

    worker = Worker(end)
    assert airflow.operator(deferrable=False, poll_interval=0.2).execute(context())["reason"] == "Succeeded"
    worker.join()
    assert shown.text.count("the pod's log is not shown") == 1


def test_the_states_of_a_suspended_job(server: KubeServer, airflow: Airflow, trusty: TrustyAI, shown: Shown) -> None:

    def release() -> None:
        server.wait(lambda: "Suspended: suspended: waiting for Kueue" in shown.text)
        name = jobs(server)[0]["metadata"]["name"]
        spec = {**jobs(server)[0]["spec"], "suspend": False}
        registry = server.cluster.registry
        server.call(lambda: registry.change(LMEVALJOBS, (NAMESPACE, name), lambda job: job | {"spec": spec}))

    _, error = play(airflow, release, lmevaljob={"suspend": True, "pickup_timeout": 0.5})
    assert error is None


def test_many_runs_share_one_watch(server: KubeServer, airflow: Airflow, trusty: TrustyAI) -> None:
    import asyncio

    trusty.script = JobScript(results=results())
    tries = [(airflow.operator(task_id=f"evaluate_{n}"), context(task_id=f"evaluate_{n}")) for n in range(5)]
    triggers = [defer(task, ctx).trigger for task, ctx in tries]

    async def all_of_them() -> list[Any]:
        async def first(trigger: Any) -> Any:
            async for event in trigger.run():
                return event.payload["status"]["reason"]

        return await asyncio.gather(*map(first, triggers))

    assert asyncio.run(all_of_them()) == ["Succeeded"] * 5
    assert server.requests.count("watch", "lmevaljobs") == 1


@pytest.mark.usefixtures("hurry")
def test_the_right_to_watch_that_goes_missing_costs_the_run_nothing_and_is_named(
    server: KubeServer, airflow: Airflow, trusty: TrustyAI, shown: Shown
) -> None:
    trusty.script = JobScript(stays="Running")

    def deny() -> None:
        server.wait(lambda: "Running" in shown.text)
        server.user("airflow", without("watch"))
        server.faults.cut_watches()
        server.wait(lambda: f"Grant the verb 'watch' on 'lmevaljobs' of API group '{GROUP}'" in shown.text, 20)
        seen = server.requests.count("get", "lmevaljobs")
        server.wait(lambda: server.requests.count("get", "lmevaljobs") > seen, 20)
        trusty.end(
            jobs(server)[0]["metadata"]["name"], NAMESPACE, state="Complete", reason="Succeeded", results=results()
        )

    found, error = play(airflow, deny, within_s=300)
    assert error is None
    assert found["reason"] == "Succeeded"
    assert "is not watched, only looked at from time to time" in shown.text


@pytest.mark.usefixtures("hurry")
def test_a_job_that_may_not_be_seen_any_more_ends_the_task_with_the_verb(
    server: KubeServer, airflow: Airflow, trusty: TrustyAI, shown: Shown
) -> None:
    trusty.script = JobScript(stays="Running")
    task, ctx = airflow.operator(), context()
    deferral = defer(task, ctx)

    def deny() -> None:
        server.wait(lambda: "Running" in shown.text)
        server.user("airflow", without("watch", "get"))
        server.faults.cut_watches()

    worker = Worker(deny)
    event = fire(deferral, 300)
    worker.join()
    assert f"Grant the verb 'get' on 'lmevaljobs' of API group '{GROUP}'" in event["error"]
    with pytest.raises(AirflowException, match="Grant the verb 'get'"):
        finish(task, ctx, deferral, event)


def test_a_watch_that_the_server_has_forgotten_begins_anew(
    server: KubeServer, airflow: Airflow, trusty: TrustyAI, shown: Shown
) -> None:
    trusty.script = JobScript(stays="Running")

    def forget() -> None:
        server.wait(lambda: "Running" in shown.text)
        server.faults.compact()
        server.faults.cut_watches(abruptly=True)
        trusty.end(
            jobs(server)[0]["metadata"]["name"], NAMESPACE, state="Complete", reason="Succeeded", results=results()
        )

    found, error = play(airflow, forget)
    assert (error, found["reason"]) == (None, "Succeeded")


def test_a_job_that_the_operator_tries_again_is_waited_for(
    server: KubeServer, airflow: Airflow, trusty: TrustyAI, shown: Shown
) -> None:
    """It calls a job failed whose pod the quota refuses, and creates the pod when there is room."""
    trusty.script = JobScript(stays="New")
    refused = 'pods "j" is forbidden: exceeded quota: gpus'

    def flap() -> None:
        server.wait(lambda: state(server) == "New")
        name = jobs(server)[0]["metadata"]["name"]
        trusty.set(name, NAMESPACE, state="Complete", reason="Failed", message=refused)
        server.wait(lambda: f"tries again: {refused}" in shown.text)
        trusty.set(name, NAMESPACE, state="Running", reason="NoReason", message="")
        trusty.end(name, NAMESPACE, state="Complete", reason="Succeeded", results=results())

    found, error = play(airflow, flap)
    assert (error, found["reason"]) == (None, "Succeeded")
    assert server.requests.count("create", "lmevaljobs") == 1


@pytest.mark.usefixtures("trusty", "hurry")
def test_a_job_that_kueue_never_lets_go_is_given_up(server: KubeServer, airflow: Airflow) -> None:
    found, error = play(airflow, within_s=300, lmevaljob={"suspend": True, "queueing_timeout": 1})
    assert found["cause"] == "unschedulable"
    assert "does its LocalQueue exist" in str(error)
    server.wait(lambda: not jobs(server))


def test_a_server_whose_clock_is_behind_does_not_make_a_job_late(
    server: KubeServer, airflow: Airflow, trusty: TrustyAI, shown: Shown
) -> None:
    trusty.script = JobScript(stays="New")

    def end() -> None:
        server.wait(lambda: "New: waiting for TrustyAI's operator" in shown.text)
        name = jobs(server)[0]["metadata"]["name"]
        trusty.end(name, NAMESPACE, state="Complete", reason="Succeeded", results=results())

    with clock.slow(3600):
        found, error = play(airflow, end)
    assert (error, found["reason"]) == (None, "Succeeded")
