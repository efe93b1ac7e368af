"""A controller that does what TrustyAI's operator does with ``LMEvalJob`` resources, and evaluates nothing.

A job gets the operator's finalizer, goes through *New*, *Scheduled* (there is a pod, named like the job, with the container
*main*) and *Running*, and ends as *Complete*: with results, or with reason *Failed* and little to say. A suspended one
waits. A deleted one loses its pod, then the finalizer. What a job does at which moment is a :class:`JobScript`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.kube import clock
from tests.kube.custom import LMEVALJOBS
from tests.kube.errors import ApiError
from tests.kube.kinds import PODS
from tests.kube.processes import Image
from tests.kube.scripted import Script
from tests.kube.server import KubeServer
from tests.kube.store import Event

Json = dict[str, Any]

FINALIZER = "trustyai.opendatahub.io/lmes-finalizer"
POD_IMAGE = "quay.io/trustyai/ta-lmes-job:latest"
POD_LABELS = {"app": "lm-eval-job"}


@dataclass(frozen=True)
class JobScript:
    """What becomes of every job.

    :param bars: counts of its progress bar, one after the other, such as ``84/228``.
    :param log: what its pod writes while it runs.
    :param stays: the state in which it stays until the test says otherwise; empty: it goes to its end.
    :param results: ``status.results``; None leaves none. :param failure: the message of one that fails; None: it succeeds.
    """

    bars: Sequence[str] = ()
    log: bytes = b""
    stays: str = ""
    results: str | None = None
    failure: str | None = None


@dataclass(eq=False)
class TrustyAI:
    """The operator of one server; jobs that were there before are taken up as well.

    :param script: what jobs do; can be changed at any time.
    """

    server: KubeServer
    script: JobScript = field(default_factory=JobScript)
    _tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    def start(self) -> None:
        """Begin to look after jobs."""
        self.server.images.setdefault(POD_IMAGE, Image())
        self.server.script(Script(), ",".join(f"{key}={value}" for key, value in POD_LABELS.items()))

        def begin() -> None:
            self.server.cluster.store.listeners.append(self._react)
            for job in self.server.cluster.store.all(LMEVALJOBS):
                self._react(Event(0, LMEVALJOBS, self.server.cluster.key(job), job, None))

        self.server.call(begin)

    def end(self, name: str, namespace: str, **status: Any) -> None:
        """Let a job end now, with this status."""
        self.set(name, namespace, completeTime=clock.timestamp(), **status)

    def set(self, name: str, namespace: str, **status: Any) -> None:
        """Let a job say this of itself now."""
        self.server.call(lambda: self._status(namespace, name, **status))

    def say(self, name: str, namespace: str, log: bytes) -> None:
        """Let the pod of a job write to its log. To be called in the server's loop."""
        pod = self.server.cluster.store.get(PODS, (namespace, name))
        self.server.cluster.workers[pod["metadata"]["uid"]].runners["main"].current.say(log, None)

    def _react(self, event: Event) -> None:
        """Take up a job that is new or released, let go of a deleted one."""
        if event.kind is not LMEVALJOBS or event.new is None:
            return
        meta = event.new["metadata"]
        if "deletionTimestamp" in meta:
            self._start(meta["uid"] + "-", self._remove(meta["namespace"], meta["name"]))
        elif not event.new["spec"].get("suspend"):
            self._start(meta["uid"], self._run(meta["namespace"], meta["name"]))
        elif (event.new.get("status") or {}).get("state") != "Suspended":
            self._start(meta["uid"] + "+", self._suspend(meta["namespace"], meta["name"]))

    def _start(self, key: str, work: Any) -> None:
        if key in self._tasks:
            work.close()
            return
        self._tasks[key] = task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(self.server.cluster.worker_ended)

    async def _suspend(self, namespace: str, name: str) -> None:
        self._status(namespace, name, state="Suspended")

    async def _run(self, namespace: str, name: str) -> None:
        with contextlib.suppress(ApiError):  # the job is deleted meanwhile
            self._hold(namespace, name)
            for state in ("New", "Scheduled", "Running"):
                self._status(namespace, name, state=state, **self._enter(state, namespace, name))
                if self.script.stays == state:
                    await self._play(namespace, name) if state == "Running" else None
                    return
            await self._play(namespace, name)
            self._finish(namespace, name)

    def _hold(self, namespace: str, name: str) -> None:
        def held(job: Json) -> Json:
            return job | {"metadata": job["metadata"] | {"finalizers": [FINALIZER]}}

        self.server.cluster.registry.change(LMEVALJOBS, (namespace, name), held)

    def _enter(self, state: str, namespace: str, name: str) -> Json:
        if state != "Scheduled":
            return {}
        registry = self.server.cluster.registry
        job = self.server.cluster.store.get(LMEVALJOBS, (namespace, name))
        registry.create(PODS, registry.decode(PODS, _pod(job), namespace)[0])
        return {"podName": name, "lastScheduleTime": clock.timestamp()}

    async def _play(self, namespace: str, name: str) -> None:
        """Write the log as soon as the pod runs, and move the bar."""
        current = await self._container(namespace, name)
        if self.script.log:
            current.say(self.script.log, None)
        for count in self.script.bars:
            done, _, total = count.partition("/")
            bar = {"message": "Requesting API", "percent": f"{100 * int(done) // int(total)}%", "count": count}
            bar |= {"elapsedTime": "0:00:39", "remainingTimeEstimate": "0:01:05"}
            self._status(namespace, name, progressBars=[bar])
            await asyncio.sleep(0)

    async def _container(self, namespace: str, name: str) -> Any:
        cluster = self.server.cluster
        while True:
            pod = cluster.store.get(PODS, (namespace, name))
            worker = cluster.workers.get(pod["metadata"]["uid"])
            if pod["status"].get("phase") == "Running" and worker is not None:
                return worker.runners["main"].current
            await asyncio.sleep(0.01)

    def _finish(self, namespace: str, name: str) -> None:
        script = self.script
        ending: Json = {"reason": "Succeeded", "message": "job completed"}
        if script.failure is not None:
            ending = {"reason": "Failed", "message": script.failure}
        ending |= {"results": script.results} if script.results is not None else {}
        self._status(namespace, name, state="Complete", completeTime=clock.timestamp(), **ending)

    def _status(self, namespace: str, name: str, **fields: Any) -> None:
        def changed(job: Json) -> Json:
            return job | {"status": (job.get("status") or {}) | fields}

        self.server.cluster.registry.change(LMEVALJOBS, (namespace, name), changed, status=True)

    async def _remove(self, namespace: str, name: str) -> None:
        registry = self.server.cluster.registry
        with contextlib.suppress(ApiError):
            registry.delete(PODS, (namespace, name), {"gracePeriodSeconds": 0})
        with contextlib.suppress(ApiError):
            registry.change(LMEVALJOBS, (namespace, name), _released)


def _released(job: Json) -> Json:
    return job | {"metadata": {key: value for key, value in job["metadata"].items() if key != "finalizers"}}


def _pod(job: Json) -> Json:
    """Return the operator's pod of a job, which has the job's labels and annotations, too."""
    meta = job["metadata"]
    owner = {"apiVersion": job["apiVersion"], "kind": job["kind"], "name": meta["name"], "uid": meta["uid"]}
    container = {
        "name": "main",
        "image": POD_IMAGE,
        "command": ["/opt/app-root/src/bin/driver"],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    pod = {
        "name": meta["name"],
        "namespace": meta["namespace"],
        "labels": POD_LABELS | (meta.get("labels") or {}),
        "annotations": dict(meta.get("annotations") or {}),
        "ownerReferences": [owner | {"controller": True}],
    }
    security = {"runAsNonRoot": True, "runAsUser": 1001, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {"restartPolicy": "Never", "securityContext": security, "containers": [container]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": pod, "spec": spec}
