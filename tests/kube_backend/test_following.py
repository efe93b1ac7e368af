"""Waiting for pods: one watch for all, ends seen at once, progress within its budget, trouble survived."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_lmeval.backends.kubernetes import poller
from airflow_provider_lmeval.backends.kubernetes.backend import KubernetesBackend
from airflow_provider_lmeval.hooks.lmeval import LMEvalHook
from airflow_provider_lmeval.plan import Grants, run_id
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.triggers.pod import EvalPodTrigger
from airflow_provider_lmeval.wire import DRIVER_HEADER, TOKEN_HEADER
from tests.kube import KubeServer, Script
from tests.kube.kinds import SECRETS
from tests.kube_backend import pods
from tests.kube_backend.conftest import NAMESPACE, Airflow, spec, tls_secret
from tests.kube_backend.hurry import FACTOR, hurried

SPEC = EvalSpec.parse(spec())


def backend() -> KubernetesBackend:
    found = LMEvalHook("eval").get_conn()
    assert isinstance(found, KubernetesBackend)
    return found


def name(index: int = 0) -> str:
    return run_id("dag", f"run-{index}", "evaluate", -1, 0, SPEC.content_hash)


def trigger(index: int = 0, **fields: Any) -> EvalPodTrigger:
    return EvalPodTrigger(backend().submit(SPEC, name(index), Grants()).to_json(), "eval", **fields)


async def event(trigger: EvalPodTrigger) -> dict[str, Any]:
    async for fired in trigger.run():
        return fired.payload
    raise AssertionError("the trigger ended without an event")


def follow(
    *triggers: EvalPodTrigger, during: Callable[[], Awaitable[None]] | None = None, within_s: float = 30
) -> list[dict[str, Any]]:
    """Run triggers in one event loop, as a triggerer does, until all have fired.

    :param during: what happens meanwhile.
    """

    async def run() -> list[dict[str, Any]]:
        async with asyncio.timeout(within_s), asyncio.TaskGroup() as group:
            waiting = [group.create_task(event(each)) for each in triggers]
            if during is not None:
                group.create_task(during())
        return [task.result() for task in waiting]

    return asyncio.run(run())


def running(server: KubeServer, count: int = 1) -> Callable[[], Awaitable[None]]:
    async def until() -> None:
        await asyncio.to_thread(server.wait, lambda: phases(server).count("Running") == count)

    return until


async def seen_running(trigger: EvalPodTrigger) -> None:
    async with asyncio.timeout(10):
        while trigger._seen is None or not trigger._seen.running:
            await asyncio.sleep(0.02)


def finish(server: KubeServer, *triggers: EvalPodTrigger) -> None:
    for each in triggers:
        server.finish(each.handle["where"]["pod"], NAMESPACE)


def phases(server: KubeServer) -> list[str]:
    return [pod["status"].get("phase", "") for pod in server.pods(NAMESPACE)]


def requests(server: KubeServer, verb: str) -> int:
    return len([seen for seen in server.requests.log if seen.user == "airflow" and seen.verb == verb])


@pytest.mark.usefixtures("airflow")
def test_many_triggers_share_one_watch_and_each_sees_its_own_end(server: KubeServer) -> None:
    server.script(Script())
    triggers = [trigger(index) for index in range(10)]
    lists = requests(server, "list")

    async def end() -> None:
        for each in triggers:
            await seen_running(each)
        await asyncio.to_thread(finish, server, *triggers)

    events = follow(*triggers, during=end)
    assert [found["run_id"] for found in events] == [name(index) for index in range(10)]
    assert {found["status"]["reason"] for found in events} == {"Succeeded"}
    assert requests(server, "watch") == 1
    assert requests(server, "list") == lists + 1


@pytest.mark.usefixtures("airflow")
def test_an_end_is_noticed_at_once(server: KubeServer) -> None:
    server.script(Script())
    found = trigger()
    ended = 0.0

    async def end() -> None:
        nonlocal ended
        await running(server)()
        await asyncio.to_thread(server.faults.oom_kill, found.handle["where"]["pod"], NAMESPACE)
        await asyncio.to_thread(server.wait, lambda: "Failed" in phases(server))
        ended = time.monotonic()

    (payload,) = follow(found, during=end)
    assert payload["status"]["cause"] == "out_of_memory"
    assert time.monotonic() - ended < 2.0  # looking for oneself takes ten seconds


@pytest.mark.usefixtures("airflow")
def test_the_event_carries_what_was_seen_last_of_a_pod_that_is_gone(server: KubeServer) -> None:
    server.script(Script(message=pods.last_words(name(), metrics={"t": {"acc,none": 0.5}})))
    found = trigger()

    async def evict() -> None:
        await seen_running(found)
        await asyncio.to_thread(server.faults.evict, found.handle["where"]["pod"], NAMESPACE)

    (payload,) = follow(found, during=evict)
    assert payload["status"]["cause"] == "evicted"
    assert payload["seen"]["disruption"] == "EvictionByEvictionAPI"
    assert "acc,none" in payload["seen"]["last_words"]


@pytest.mark.usefixtures("airflow")
def test_a_pod_that_went_while_nobody_watched_is_missed(server: KubeServer) -> None:
    server.script(Script())
    found = trigger()

    async def vanish() -> None:
        await running(server)()
        await asyncio.sleep(0.2)
        pod = found.handle["where"]["pod"]
        down = await asyncio.to_thread(lambda: server.faults.fail(503, verb="watch"))
        await asyncio.to_thread(lambda: server.faults.cut_watches(abruptly=True))
        await asyncio.to_thread(
            lambda: backend().call(lambda api: api.delete_pod(NAMESPACE, pod, found.handle["where"]["uid"]))
        )
        await asyncio.to_thread(server.wait_until_gone, pod, NAMESPACE)
        await asyncio.to_thread(server.faults.compact)
        await asyncio.to_thread(server.faults.lift, down)

    (payload,) = follow(found, during=vanish)
    assert payload["status"]["cause"] == "killed"


def test_a_triggerer_that_may_not_look_at_all_says_which_right_it_lacks(server: KubeServer, airflow: Airflow) -> None:
    server.script(Script())
    found = trigger()
    server.user("airflow", [])
    with hurried():
        (payload,) = follow(found, within_s=30 * FACTOR)
    assert "Grant the verb 'get' on 'pods'" in payload["error"]


def driver(token_of: Callable[[dict[str, str]], None]) -> Any:
    count = 0

    def answer(method: str, path: str, headers: Any) -> tuple[int, dict[str, str], bytes]:
        nonlocal count
        count += 1
        token_of(dict(headers))
        return 200, {DRIVER_HEADER: "1"}, pods.status(name(), count)

    return answer


def follow_until_progress_is_shown(server: KubeServer, capsys: Any) -> None:
    found, shown = trigger(), ""

    async def watch_it() -> None:
        nonlocal shown
        async with asyncio.timeout(20):
            while "evaluating tiny_mc, 1/100 requests" not in shown:
                await asyncio.sleep(0.05)
                shown += capsys.readouterr().out
        await asyncio.to_thread(server.finish, found.handle["where"]["pod"], NAMESPACE)

    follow(found, during=watch_it)


@pytest.mark.usefixtures("airflow")
def test_progress_comes_from_the_driver_with_the_runs_token(server: KubeServer, capsys: Any) -> None:
    seen: list[dict[str, str]] = []
    server.script(Script(serves=driver(seen.append)))
    follow_until_progress_is_shown(server, capsys)
    tokens = {value for headers in seen for name_, value in headers.items() if name_.lower() == TOKEN_HEADER.lower()}
    assert len(tokens) == 1
    assert not {name_ for headers in seen for name_ in headers if name_.lower() == "authorization"}


def test_progress_of_a_driver_that_speaks_tls_comes_the_same_way(
    server: KubeServer, airflow: Airflow, tmp_path: Path, capsys: Any
) -> None:
    server.create(tls_secret(tmp_path), SECRETS)
    airflow.connect(pod={"status_tls_secret": "driver-tls"})
    server.script(Script(serves=driver(lambda headers: None), tls=True))
    follow_until_progress_is_shown(server, capsys)
    assert {"https:" in seen.path for seen in server.requests.log if "/proxy/" in seen.path} == {True}


@pytest.mark.usefixtures("airflow")
def test_the_deadline_stops_the_pod(server: KubeServer) -> None:
    server.script(Script())
    found = trigger(deadline=time.time() + 1.0)
    (payload,) = follow(found)
    assert (payload["timed_out"], payload["status"]["state"]) == (True, "Cancelled")
    server.wait(lambda: not server.pods(NAMESPACE))


@pytest.mark.usefixtures("airflow")
def test_a_sensors_trigger_leaves_the_pod_alone(server: KubeServer) -> None:
    server.script(Script())
    found = trigger(deadline=time.time() + 2.0, owns_run=False)
    (payload,) = follow(found)
    assert (payload["timed_out"], payload["status"]["state"]) == (True, "Running")
    assert phases(server) == ["Running"]


@pytest.mark.usefixtures("airflow")
def test_progress_of_many_keeps_within_the_budget_and_nobody_is_left_out(server: KubeServer) -> None:
    asked: list[str] = []

    def answer(method: str, path: str, headers: Any) -> tuple[int, dict[str, str], bytes]:
        asked.append({key.lower(): value for key, value in headers.items()}[TOKEN_HEADER.lower()])
        return 200, {DRIVER_HEADER: "1"}, pods.status(name(), 1)

    server.script(Script(serves=answer))
    triggers = [trigger(index) for index in range(12)]

    async def end() -> None:
        await asyncio.to_thread(server.wait, lambda: len(set(asked)) == 12, 25)
        await asyncio.to_thread(finish, server, *triggers)

    follow(*triggers, during=end)
    assert len(set(asked)) == len(asked) == 12
    times = [seen.time for seen in server.requests.log if "/proxy/" in seen.path]
    assert max(times) - min(times) >= 0.9 * 11 / poller.RATE
