"""Who may end a pod: a person, and nobody who merely passes it on. Always by UID."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from airflow_provider_lmeval.triggers.pod import EvalPodTrigger
from tests.kube import KubeServer, Script
from tests.kube_backend.conftest import NAMESPACE, Airflow, context, defer, handle_of
from tests.support.context import TaskInstance
from tests.unit.triggers.conftest import Supervisor


def trigger(server: KubeServer, airflow: Airflow, **kubernetes: Any) -> EvalPodTrigger:
    """Start a run and return the trigger that waits for it, as the triggerer holds it."""
    server.script(Script())
    ctx = context()
    found = defer(airflow.operator(kubernetes=kubernetes), ctx).trigger
    found.task_instance = TaskInstance()
    server.wait_for_phase(handle_of(ctx).where["pod"], "Running", namespace=NAMESPACE)
    return found


@pytest.mark.parametrize(("state", "left"), [("deferred", 1), ("failed", 0), ("success", 0), ("queued", 0), (None, 0)])
def test_only_what_a_person_does_to_the_task_ends_the_pod(
    server: KubeServer, airflow: Airflow, supervisor: Supervisor, state: str | None, left: int
) -> None:
    found = trigger(server, airflow)
    supervisor.state = state
    asyncio.run(found.on_kill())
    server.wait(lambda: len(server.pods(NAMESPACE)) == left)


def test_a_kill_that_airflow_cuts_short_is_finished(
    server: KubeServer, airflow: Airflow, supervisor: Supervisor
) -> None:
    found = trigger(server, airflow)
    supervisor.state, supervisor.delay = "failed", 0.3

    async def cut_short() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(found.on_kill(), 0.1)
        async with asyncio.timeout(10):
            while server.pods(NAMESPACE):
                await asyncio.sleep(0.05)

    asyncio.run(cut_short())


@pytest.mark.usefixtures("supervisor")
def test_a_triggerer_that_shuts_down_leaves_the_pod(server: KubeServer, airflow: Airflow) -> None:
    found = trigger(server, airflow)

    async def shut_down() -> None:
        run = asyncio.ensure_future(anext(aiter(found.run())))
        async with asyncio.timeout(10):
            while found._seen is None:
                await asyncio.sleep(0.02)
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
        await found.cleanup()

    asyncio.run(shut_down())
    assert [pod["status"]["phase"] for pod in server.pods(NAMESPACE)] == ["Running"]


def test_on_kill_action_keeps_the_pod(server: KubeServer, airflow: Airflow, supervisor: Supervisor) -> None:
    found = trigger(server, airflow, on_kill_action="keep_pod")
    supervisor.state = "failed"
    asyncio.run(found.on_kill())
    assert [pod["status"]["phase"] for pod in server.pods(NAMESPACE)] == ["Running"]


def test_a_pod_of_the_same_name_is_not_mistaken_for_it(
    server: KubeServer, airflow: Airflow, supervisor: Supervisor
) -> None:
    found = trigger(server, airflow)
    supervisor.state = "failed"
    found.handle["where"]["uid"] = "00000000-0000-0000-0000-000000000000"
    asyncio.run(found.on_kill())
    assert [pod["status"]["phase"] for pod in server.pods(NAMESPACE)] == ["Running"]
