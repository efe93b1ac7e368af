"""One process that waits for many pods as a triggerer does: all triggers in one event loop. For ``bench_trigger``.

``python -m tests.benchmarks.triggerer PLAN``: the plan is a JSON file, ``{"kind", "window_s", "pods": [{"name", "namespace",
"handle"}]}``. Two JSON lines come back: what waiting cost, measured over the window, and when each pod's end was noticed.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import aiohttp
from airflow.sdk import BaseHook
from airflow.triggers.base import BaseTrigger

from airflow_provider_lmeval.triggers.pod import EvalPodTrigger

SETTLE_S = 90.0
"""How long it may take until every pod has been seen once."""
ENDS_S = 90.0
STARTING = 3
"""Reads of its pod with which KubernetesPodTrigger starts; from then on it polls."""
BEAT_S = 0.1
"""Sleep whose overshoot is the event loop's lag; shorter ones would be a part of what is measured."""

Json = dict[str, Any]


class Traffic:
    """Counts requests where they leave this process, whatever server they go to.

    Neither hook lets its caller name a session's ``trace_configs``, so every new session gets one: it only counts.
    """

    def __init__(self) -> None:
        self.count = 0
        self.pods: Counter[str] = Counter()
        create = aiohttp.ClientSession.__init__

        def traced(session: aiohttp.ClientSession, *args: Any, **options: Any) -> None:
            trace = aiohttp.TraceConfig()
            trace.on_request_start.append(self._count)
            create(session, *args, **{**options, "trace_configs": [trace]})

        aiohttp.ClientSession.__init__ = traced  # type: ignore[method-assign]

    async def _count(self, _: Any, __: Any, request: aiohttp.TraceRequestStartParams) -> None:
        self.count += 1
        if found := re.search(r"/pods/([^/:]+)$", request.url.path):
            self.pods[found[1]] += 1


class Triggerer:
    """Runs the triggers of one kind and keeps what came of each.

    :param ended: pod name → when its event came, in the monotonic clock's seconds, which all processes share.
    :param problems: what ended otherwise than by its pod's success.
    """

    def __init__(self, kind: str, pods: list[Json]) -> None:
        self.traffic = Traffic()
        self.ended: dict[str, float] = {}
        self.problems: list[str] = []
        make = {"ours": _ours, "peer": _peer}[kind]
        self._triggers = {pod["name"]: make(pod) for pod in pods}
        self._tasks: list[asyncio.Task[None]] = []
        self._lag = 0.0

    def start(self) -> None:
        """Let all begin to wait."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._follow(name, each)) for name, each in self._triggers.items()]
        self._beating = loop.create_task(self._beat())

    async def _follow(self, name: str, trigger: BaseTrigger) -> None:
        try:
            async for event in trigger.run():
                self.ended[name] = time.monotonic()
                if not _succeeded(event.payload):
                    self.problems.append(f"{name}: {event.payload}")
        except Exception as error:
            self.problems.append(f"{name}: {error!r}")

    async def _beat(self) -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(BEAT_S)
            self._lag = max(self._lag, time.monotonic() - began - BEAT_S)

    @property
    def alive(self) -> int:
        """How many still wait."""
        return sum(not task.done() for task in self._tasks)

    def settled(self) -> bool:
        """Whether each trigger has seen its pod running, or has ended."""
        return self.alive < len(self._tasks) or all(self._has_seen(name) for name in self._triggers)

    def _has_seen(self, name: str) -> bool:
        trigger = self._triggers[name]
        if isinstance(trigger, EvalPodTrigger):
            return trigger._seen is not None and trigger._seen.running
        return self.traffic.pods[name] > STARTING

    async def measure(self, window_s: float) -> Json:
        """Return what waiting costs."""
        self._lag, requests, cpu, began = 0.0, self.traffic.count, time.process_time(), time.monotonic()
        await asyncio.sleep(window_s)
        took = time.monotonic() - began
        return {
            "cpu": (time.process_time() - cpu) / took,
            "requests_per_s": (self.traffic.count - requests) / took,
            "peak_rss_mb": _peak_rss_mb(),
            "max_lag_s": self._lag,
            "alive": self.alive,
            "problems": self.problems[:3],
        }


def _ours(pod: Json) -> BaseTrigger:
    return EvalPodTrigger(pod["handle"], "eval")


def _peer(pod: Json) -> BaseTrigger:
    """Return the trigger as KubernetesPodOperator creates it. Imported here: a process of ours pays only for its own."""
    from airflow.providers.cncf.kubernetes.triggers.pod import KubernetesPodTrigger

    return KubernetesPodTrigger(
        pod_name=pod["name"],
        pod_namespace=pod["namespace"],
        trigger_start_time=datetime.now(tz=UTC),
        base_container_name="base",
        kubernetes_conn_id="kube",
        connection_extras=BaseHook.get_connection("kube").extra_dejson,
    )


def _succeeded(payload: Json) -> bool:
    status = payload["status"]
    return status == "success" if isinstance(status, str) else bool(status and status["reason"] == "Succeeded")


def _peak_rss_mb() -> float:
    """Return the peak of this program's memory; ``ru_maxrss`` would start at that of the process it was forked from."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


async def _until(condition: Callable[[], bool], timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            while not condition():
                await asyncio.sleep(0.1)
    except TimeoutError:
        return


async def wait_for_pods(plan: Json, out: TextIO) -> None:
    """Do what the plan says."""
    triggerer = Triggerer(plan["kind"], plan["pods"])
    triggerer.start()
    await _until(triggerer.settled, SETTLE_S)
    seen = triggerer.settled()
    print(json.dumps(await triggerer.measure(plan["window_s"]) | {"settled": seen}), file=out, flush=True)
    await _until(lambda: triggerer.alive == 0, ENDS_S)
    ends = {"ended": triggerer.ended, "alive": triggerer.alive, "problems": triggerer.problems[:3]}
    print(json.dumps(ends), file=out, flush=True)


def main() -> None:
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what Airflow prints and logs is not an answer
    asyncio.run(wait_for_pods(json.loads(Path(sys.argv[1]).read_text()), out))
    os._exit(0)  # triggers that still wait after all would only log their cancellation


if __name__ == "__main__":
    main()
