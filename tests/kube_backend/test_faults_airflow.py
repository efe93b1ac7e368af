"""Airflow's own side fails: triggers move, time runs out, tries overlap. One pod, ended by nobody but who may."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException
from airflow.sdk.exceptions import TaskDeferralTimeout

from airflow_provider_lmeval.triggers.pod import EvalPodTrigger
from tests.kube import KubeServer, Script
from tests.kube_backend.acts import SCORES, Act, Ended, Worker, created, gone, play, stored, succeeded
from tests.kube_backend.conftest import NAMESPACE, Airflow, context, defer, documented, finish, fire, handle_of
from tests.support.context import TaskInstance


@pytest.fixture(autouse=True)
def endless(server: KubeServer) -> None:
    server.script(Script())


# -- a trigger that moves


def reassigned(trigger: EvalPodTrigger) -> EvalPodTrigger:
    """Return the trigger as a second triggerer makes it from its row in the database."""
    _, arguments = trigger.serialize()
    found = EvalPodTrigger(**arguments)
    found.task_instance = TaskInstance()
    return found


class Triggerer:
    """Runs one trigger in a thread and an event loop of its own, until it fires or is told to stop."""

    def __init__(self, trigger: EvalPodTrigger) -> None:
        self.trigger = trigger
        self.event: dict[str, Any] | None = None
        self._worker = Worker(lambda: asyncio.run(self._run()))

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.ensure_future(anext(aiter(self.trigger.run())))
        try:
            self.event = (await self._task).payload
        except asyncio.CancelledError:
            await self.trigger.on_kill()  # Airflow asks, whether a person has acted or the trigger only moves
            await self.trigger.cleanup()

    def hand_over(self) -> None:
        """Stop as a triggerer does whose trigger belongs to another one by now."""
        self._loop.call_soon_threadsafe(self._task.cancel)
        self.join()

    def join(self) -> dict[str, Any] | None:
        """Wait for its end, and return the event."""
        self._worker.join()
        return self.event


def sees(trigger: EvalPodTrigger) -> Callable[[], bool]:
    return lambda: trigger._seen is not None and trigger._seen.running


@pytest.mark.usefixtures("supervisor")
def test_a_trigger_that_is_reassigned_ends_no_run_and_the_second_triggerer_sees_its_end(
    server: KubeServer, airflow: Airflow, capsys: Any
) -> None:
    task, ctx = airflow.operator(), context()
    deferral = defer(task, ctx)
    deferral.trigger.task_instance = TaskInstance()
    first, second = Triggerer(deferral.trigger), Triggerer(reassigned(deferral.trigger))
    server.wait(lambda: sees(first.trigger)() and sees(second.trigger)(), 20)
    first.hand_over()
    assert first.event is None
    assert documented("goes on (task state: deferred)") in capsys.readouterr().out
    assert [pod["status"]["phase"] for pod in server.pods(NAMESPACE)] == ["Running"]
    deleted = server.requests.count("delete", "pods")
    Act(server, deferral, handle_of(ctx)).succeed()
    event = second.join()
    assert event is not None
    finish(task, ctx, deferral, event)
    succeeded(server, airflow, Ended(ctx["ti"].xcoms["return_value"], None, deleted))


@pytest.mark.usefixtures("supervisor")
def test_two_triggerers_that_both_fire_conclude_one_run(server: KubeServer, airflow: Airflow) -> None:
    """The first is only slow, not dead: Airflow takes one event and forgets the other."""
    task, ctx = airflow.operator(), context()
    deferral = defer(task, ctx)
    both = [Triggerer(deferral.trigger), Triggerer(reassigned(deferral.trigger))]
    server.wait(lambda: all(sees(each.trigger)() for each in both), 20)
    Act(server, deferral, handle_of(ctx)).succeed()
    events = [each.join() for each in both]
    assert [event["status"]["reason"] for event in events if event] == ["Succeeded"] * 2
    finish(task, ctx, deferral, events[0] or {})
    succeeded(server, airflow, Ended(ctx["ti"].xcoms["return_value"], None, 0))


# -- time that runs out


def test_execution_timeout_stops_the_pod(server: KubeServer, airflow: Airflow) -> None:
    task, ctx = airflow.operator(execution_timeout=timedelta(seconds=1.5)), context()
    deferral = defer(task, ctx)
    event = fire(deferral)
    with pytest.raises(AirflowException, match=rf"{documented('execution_timeout: run')} .* was stopped after 0:00:01"):
        finish(task, ctx, deferral, event)
    assert (event["timed_out"], ctx["ti"].xcoms["return_value"]["cause"]) == (True, "cancelled")
    gone(server)


def test_a_result_that_is_stored_while_the_time_runs_out_counts(server: KubeServer, airflow: Airflow) -> None:
    server.script(Script(stops=False))

    def during(act: Act) -> None:
        server.wait(lambda: "deletionTimestamp" in str(server.pod(act.pod, NAMESPACE)), 20)
        stored(airflow)
        act.succeed(exit_code=143)

    ended = play(airflow, during, execution_timeout=timedelta(seconds=1.0))
    assert ended.event["timed_out"]
    assert (ended.error, ended.found["reason"]) == (None, "Succeeded")
    gone(server)


def test_what_a_pod_says_that_succeeds_in_its_grace_counts(server: KubeServer, airflow: Airflow) -> None:
    """Its log goes with it, and no store has anything: what the watch saw last is all there is."""
    server.script(Script(stops=False))

    def during(act: Act) -> None:
        server.wait(lambda: "deletionTimestamp" in str(server.pod(act.pod, NAMESPACE)), 20)
        act.succeed()
        gone(server)

    ended = play(airflow, during, execution_timeout=timedelta(seconds=1.0))
    assert ended.event["timed_out"]
    assert (ended.error, ended.found["reason"]) == (None, "Succeeded")
    assert ended.found["results"] == SCORES


def test_a_deferral_that_airflow_times_out_stops_the_pod(server: KubeServer, airflow: Airflow) -> None:
    """A triggerer that is away cannot end the wait itself, so Airflow does."""
    task, ctx = airflow.operator(execution_timeout=timedelta(hours=1)), context()
    deferral = defer(task, ctx)
    assert deferral.timeout is not None
    assert timedelta(hours=1) < deferral.timeout < timedelta(hours=1, minutes=2)
    with pytest.raises(TaskDeferralTimeout):
        airflow.operator().resume_execution("__fail__", {"error": "Trigger timeout"}, ctx)
    gone(server)


# -- tries that overlap


def test_two_tries_that_race_share_one_pod_and_one_result(server: KubeServer, airflow: Airflow) -> None:
    slow = server.faults.slow(0.3, verb="create", resource="pods")
    contexts = [context(), context()]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda ctx: defer(airflow.operator(), ctx), contexts))
    server.faults.lift(slow)
    assert handle_of(contexts[0]) == handle_of(contexts[1])
    ended = play(airflow, lambda act: (act.until_seen(), act.succeed()))
    assert ended.event["run_id"] == handle_of(contexts[0]).run_id
    succeeded(server, airflow, ended)


def test_a_worker_that_is_killed_leaves_the_pod_to_the_next_try(
    server: KubeServer, airflow: Airflow, caplog: Any
) -> None:
    lost = context()
    defer(airflow.operator(), lost)  # and nobody ever hears of this deferral
    with caplog.at_level(logging.INFO):
        ended = play(airflow, lambda act: (act.until_seen(), act.succeed()))
    assert documented("adopting pod") in caplog.text
    succeeded(server, airflow, ended)


def test_a_reattach_that_meets_a_terminating_pod_starts_another(server: KubeServer, airflow: Airflow) -> None:
    server.script(Script(stops=False))
    old = context()
    defer(airflow.operator(kubernetes={"grace_period": 20}), old)
    name = handle_of(old).where["pod"]
    server.wait_for_phase(name, "Running", namespace=NAMESPACE)
    server.faults.evict(name, NAMESPACE)
    ended = play(airflow, lambda act: (act.until_seen(), act.succeed()))
    assert (ended.error, ended.found["reason"]) == (None, "Succeeded")
    assert created(server) == 2
    assert [pod["metadata"]["name"] for pod in server.pods(NAMESPACE)] == [name]  # until its own grace is over
    server.finish(name, NAMESPACE, exit_code=143)
    gone(server)


def test_a_task_killed_in_the_moment_its_pod_is_created_leaves_none(server: KubeServer, airflow: Airflow) -> None:
    task = airflow.operator()
    server.faults.slow(0.5, verb="create", resource="pods")
    worker = Worker(lambda: task.execute(context()))
    server.wait(lambda: server.requests.count("create", "pods"), 20)
    task.on_kill()
    with pytest.raises(AirflowException, match="killed"):
        worker.join()
    gone(server)
