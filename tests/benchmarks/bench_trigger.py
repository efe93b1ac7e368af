"""What waiting for many evaluations costs a triggerer: ours against the same number of KubernetesPodTriggers.

Both wait for pods of the same making on the same server, one process after the other. The pods are real manifests that no
scheduler takes; their status is patched to *Running*, and to *Succeeded* when the measured window is over. The time between
sending that patch and the trigger's event is how late an end is noticed. Progress polls are on and answered (``drivers``).

``KUBECONFIG`` chooses a real API server, ``NAMESPACE`` a namespace, ``DRIVER_ADDRESS`` an address of this machine that the
server reaches; without that one polls go unanswered. Else the test server is started; it speaks TLS, as clusters do.

One JSON line per number of pods. Fails above the limits, or if one trigger of either side ever was not waiting.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.support.certificates import self_signed

NUMBERS = (400, 1000)
WINDOW_S = 20.0
CREATE_AT_ONCE = 8
LIMITS = {"cpu_ratio": 0.05, "requests_ratio": 0.05, "memory_ratio": 0.5, "notice_p95_s": 0.1}
GROWTH_LIMIT = 1.1
"""Our requests per second with the most pods, relative to the fewest."""
SPEC = {"model": {"type": "hf", "pretrained": "/models/candidate"}, "tasks": ["arc_easy"]}
LOOPBACK = "127.0.0.2"
"""Where drivers answer the test server. A real API server refuses to dial loopback addresses."""
NOWHERE = "192.0.2.1"
"""Of pods whose drivers nobody can ask (RFC 5737)."""
LEAST_POLLS = 1.0
"""Answered polls a second, where drivers can be asked: about four are due."""

Json = dict[str, Any]


class Pods:
    """The pods of one measurement: created, running, ended one by one, removed.

    :param api: an open connection (``backends.kubernetes.api.Api``). :param address: of all of them.
    :param handles: pod name → its run's handle.
    """

    def __init__(self, api: Any, backend: Any, namespace: str, address: str) -> None:
        self.api, self.backend, self.namespace, self.address = api, backend, namespace, address
        self.handles: dict[str, Json] = {}
        self._gate = asyncio.Semaphore(CREATE_AT_ONCE)

    async def create(self, count: int) -> None:
        """Create that many, all running."""
        stem = f"bench-{secrets.token_hex(3)}"
        await asyncio.gather(*(self._create(f"{stem}-{number}") for number in range(count)))

    async def _create(self, name: str) -> None:
        from airflow_provider_lmeval.plan import Grants
        from airflow_provider_lmeval.spec import EvalSpec

        async with self._gate:
            manifest = self.backend.prepare(EvalSpec.parse(SPEC), name, Grants()).manifest(name, self.namespace)
            manifest["spec"]["schedulerName"] = "nobody"
            pod = await self.api.create_pod(manifest)
            self.handles[name] = self.backend.handle(name, pod).to_json()
            await self._patch(name, _status("Running", {"running": {"startedAt": _now()}}, self.address))

    async def end(self) -> dict[str, float]:
        """Let each succeed, one after the other, and return when its end was sent, in the monotonic clock's seconds."""
        sent = {}
        for name in self.handles:
            sent[name] = time.monotonic()
            end = {"exitCode": 0, "reason": "Completed", "startedAt": _now(), "finishedAt": _now()}
            await self._patch(name, _status("Succeeded", {"terminated": end}, self.address))
        return sent

    async def remove(self) -> None:
        """Delete all."""
        await asyncio.gather(*(self._remove(name) for name in self.handles))
        self.handles = {}

    async def _remove(self, name: str) -> None:
        async with self._gate:
            await self.api.delete_pod(self.namespace, name, self.handles[name]["where"]["uid"], grace_s=0)

    async def _patch(self, name: str, status: Json) -> None:
        from airflow_provider_lmeval.backends.kubernetes.api import MERGE_PATCH, Call

        path = f"/api/v1/namespaces/{self.namespace}/pods/{name}/status"
        await self.api.send(Call("PATCH", path, body={"status": status}, content_type=MERGE_PATCH))


def _now() -> str:
    return datetime.now(tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _status(phase: str, state: Json, address: str) -> Json:
    container = {"name": "base", "image": "lmeval", "imageID": "", "restartCount": 0, "state": state}
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": _now()}
    return {
        "phase": phase,
        "podIP": address,
        "podIPs": [{"ip": address}],
        "conditions": [scheduled],
        "containerStatuses": [container | {"ready": phase == "Running"}],
    }


async def measure(kind: str, pods: Pods, home: Path) -> Json:
    """Return what one kind of trigger costs; ``notice_p95_s`` is None if one was not waiting throughout."""
    waited = [{"name": name, "namespace": pods.namespace, "handle": found} for name, found in pods.handles.items()]
    plan = home / "plan.json"
    plan.write_text(json.dumps({"kind": kind, "window_s": WINDOW_S, "pods": waited}))
    command = [sys.executable, "-m", "tests.benchmarks.triggerer", str(plan)]
    with (home / f"{kind}-{len(waited)}.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=subprocess.PIPE, stderr=log, limit=2**24, env=_without_kubeconfig()
        )
    try:
        assert process.stdout is not None
        found = json.loads(await process.stdout.readline())
        sent = await pods.end()
        ends = json.loads(await process.stdout.readline())
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
    late = [ends["ended"][name] - when for name, when in sent.items() if name in ends["ended"]]
    whole = found["settled"] and found["alive"] == len(waited) == len(late) and not ends["problems"]
    p95 = statistics.quantiles(late, n=20)[-1] if whole else None
    return found | {"problems": ends["problems"], "notice_p95_s": p95}


def compare(n: int, ours: Json, peer: Json) -> Json:
    """Return the line about ``n`` pods; ratios are None where a side was not waiting throughout."""
    whole = ours["notice_p95_s"] is not None and peer["notice_p95_s"] is not None
    sizes = {"cpu_ratio": "cpu", "requests_ratio": "requests_per_s", "memory_ratio": "peak_rss_mb"}
    ratios = {name: round(ours[size] / peer[size], 4) if whole else None for name, size in sizes.items()}
    notice = ours["notice_p95_s"]
    line = {"bench": "trigger", "n": n, **ratios, "notice_p95_s": None if notice is None else round(notice, 4)}
    return line | {"ours": _rounded(ours), "peer": _rounded(peer)}


def _rounded(found: Json) -> Json:
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in found.items()}


def failures(lines: Sequence[Json]) -> list[str]:
    """Return which limits do not hold."""
    found = [
        f"n={line['n']}: {name} is {line[name]}, limit {limit}"
        for line in lines
        for name, limit in LIMITS.items()
        if line[name] is None or line[name] > limit
    ]
    rates = [line["ours"]["requests_per_s"] for line in lines]
    if rates[-1] > GROWTH_LIMIT * rates[0]:
        found.append(f"our requests grow from {rates[0]} to {rates[-1]} a second")
    for line in lines:
        polls = line["ours"]["polls_answered"]
        if polls is not None and polls < LEAST_POLLS * WINDOW_S:
            found.append(f"n={line['n']}: only {polls} polls were answered")
    return found


def _without_kubeconfig() -> dict[str, str]:
    """KubernetesPodTrigger refuses a connection that names a file while this variable names one, too."""
    return {name: value for name, value in os.environ.items() if name != "KUBECONFIG"}


@contextmanager
def cluster(home: Path) -> Iterator[Path]:
    """Yield the kubeconfig of the server to measure with."""
    if given := os.environ.pop("KUBECONFIG", ""):
        yield Path(given).absolute()
        return
    path = home / "kubeconfig"
    certificate = map(str, self_signed(home))
    command = [sys.executable, "-m", "tests.kube", "--kubeconfig", str(path), "--scripted", "--tls", *certificate]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()  # it serves
        os.environ.setdefault("DRIVER_ADDRESS", LOOPBACK)
        try:
            yield path
        finally:
            process.terminate()


def connect(home: Path, kubeconfig: Path) -> None:
    """Define Airflow's connections ``kube`` and ``eval``, for this process and those it starts."""
    kube = {"conn_type": "kubernetes", "extra": {"kube_config_path": str(kubeconfig)}}
    extra = {
        "backend": "kubernetes",
        "kubernetes_conn_id": "kube",
        "image": "lmeval",
        "results_uri": str(home / "results"),
    }
    evaluation = {"conn_type": "lmeval", "password": secrets.token_hex(16), "extra": extra}
    os.environ["AIRFLOW_CONN_KUBE"], os.environ["AIRFLOW_CONN_EVAL"] = json.dumps(kube), json.dumps(evaluation)


async def run(home: Path) -> list[Json]:
    """Measure both kinds at each number of pods, and print a line about each."""
    from airflow_provider_lmeval.hooks.lmeval import LMEvalHook

    backend: Any = LMEvalHook("eval").get_conn()
    address = os.environ.get("DRIVER_ADDRESS")
    lines = []
    async with backend.cluster.open() as api, _answering(address) as drivers:
        for n in NUMBERS:
            found = {}
            for kind in ("ours", "peer"):
                pods = Pods(api, backend, os.environ.get("NAMESPACE", "default"), address or NOWHERE)
                before = drivers.answered if drivers else 0
                try:
                    await pods.create(n)
                    found[kind] = await measure(kind, pods, home)
                finally:
                    await pods.remove()
                found[kind]["polls_answered"] = drivers.answered - before if drivers else None
            lines.append(compare(n, found["ours"], found["peer"]))
            print(json.dumps(lines[-1]), flush=True)
    return lines


def _answering(address: str | None) -> AbstractAsyncContextManager[Any]:
    from tests.benchmarks.drivers import answering

    return answering(address) if address else nullcontext()


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        os.environ |= {"AIRFLOW_HOME": name, "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING"}
        with cluster(home) as kubeconfig:
            connect(home, kubeconfig)
            wrong = failures(asyncio.run(run(home)))
    for each in wrong:
        print(f"bench-trigger: {each}", file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
