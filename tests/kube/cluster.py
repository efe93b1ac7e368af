"""A cluster: its objects, its nodes, and the controllers and kubelets that react to every write.

Controllers run after a write and not within it, so that all watchers see the writes in their order.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.kube import clock, controllers, nodes, scheduler
from tests.kube.errors import ApiError
from tests.kube.kinds import BUILT_IN, EVENTS, NAMESPACES, NODES, PODS
from tests.kube.kubelet import PodWorker
from tests.kube.nodes import Node
from tests.kube.processes import Image, ProcessSandbox
from tests.kube.registry import ENDED, Registry
from tests.kube.scripted import Script, ScriptedSandbox
from tests.kube.selectors import Predicate
from tests.kube.status import condition, with_condition
from tests.kube.store import Event, Key, Store

Json = dict[str, Any]


@dataclass
class Settings:
    """How the cluster behaves; can be changed at any time.

    :param runs: bind and run pods; otherwise they stay Pending and tests write their status.
    :param storage_class: the default StorageClass, which makes volumes on demand; None: there is none.
    :param unschedulable: why no node takes any pod; None: they do.
    :param kubelet_delay_s: between the end of the containers and the pod's final phase (a second on a real node).
    :param pull_backoff_s: between two tries to pull an image.
    :param registry_says: of an image that is not there. :param restart_backoff_s: before the first restart.
    :param log_bytes: size at which a container's log is rotated. :param garbage_delay_s: before orphans are collected.
    :param unreachable_s: until the proxy gives up on a pod that has ended.
    :param reachable: ports of this machine's loopback that pods find on theirs.
    """

    runs: bool = True
    storage_class: str | None = "standard"
    unschedulable: str | None = None
    kubelet_delay_s: float = 0.1
    pull_backoff_s: float = 1.0
    registry_says: str = "not found"
    restart_backoff_s: float = 1.0
    log_bytes: int = 10 * 1024 * 1024
    garbage_delay_s: float = 0.3
    unreachable_s: float = 3.0
    reachable: frozenset[int] = frozenset()


class Cluster:
    """Everything behind the API. Lives in one event loop.

    :param home: a directory of its own, for volumes. :param images: by name, tag included.
    :param capacity: resources of its one node beyond the usual, such as ``{"nvidia.com/gpu": "2"}``.
    """

    def __init__(self, home: Path, settings: Settings, images: dict[str, Image], capacity: Mapping[str, str]) -> None:
        self.home, self.settings, self.images = home, settings, images
        self.store = Store()
        self.registry = Registry(self.store, BUILT_IN)
        self.nodes = {"node1": Node("node1", "192.0.2.2", capacity)}
        self.workers: dict[str, PodWorker] = {}
        self.scripts: list[tuple[Predicate, Script]] = []
        self.problems: list[BaseException] = []
        self._addresses = 0
        self._collect_at: float | None = None
        self._writes: asyncio.Queue[Event] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, namespaces: tuple[str, ...]) -> None:
        self.store.listeners.append(self._writes.put_nowait)
        for name in namespaces:
            self.registry.create(NAMESPACES, {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name}})
            controllers.furnish(self, name)
        for node in self.nodes.values():
            self.store.put(NODES, {**self.registry.create(NODES, node.to_json()), "status": node.to_json()["status"]})
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(work) for work in (self._control(), nodes.evict_from_lost(self))]

    async def stop(self) -> None:
        """End all pods and tasks."""
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        self.problems += [one for one in ended if isinstance(one, Exception)]
        for worker in self.workers.values():
            worker.changed(None)
        await asyncio.gather(*(worker.join() for worker in self.workers.values()))

    @staticmethod
    def key(found: Json) -> Key:
        return found["metadata"].get("namespace", ""), found["metadata"]["name"]

    async def _control(self) -> None:
        while True:
            event = None
            left = None if self._collect_at is None else max(self._collect_at - time.monotonic(), 0)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):  # wait_for can swallow a cancellation before Python 3.12
                    event = await self._writes.get()
            if event is None:
                self._collect_at = None
                controllers.collect_garbage(self)
            elif event.kind is not EVENTS:
                self._react(event)

    def _react(self, event: Event) -> None:
        """Do what a write calls for."""
        created = event.old is None
        if event.new is None or (created and event.new["metadata"].get("ownerReferences")):
            self._collect_at = self._collect_at or time.monotonic() + self.settings.garbage_delay_s
        if event.kind is NAMESPACES and created and event.new and self.store.find(NAMESPACES, event.key):
            controllers.furnish(self, event.key[1])
        controllers.empty_namespaces(self)
        controllers.bind_claims(self)
        controllers.release_claims(self)
        if event.kind is PODS:
            self._tell_worker(event)
        if self.settings.runs:
            self._schedule()

    def _tell_worker(self, event: Event) -> None:
        found = event.new or event.old
        assert found is not None
        uid = found["metadata"]["uid"]
        if worker := self.workers.get(uid):
            worker.changed(event.new)
        elif event.new and self._to_run(event.new):
            self.workers[uid] = PodWorker(self, event.new, self.home / "pods" / uid)

    def _to_run(self, pod: Json) -> bool:
        node = self.nodes.get(pod["spec"].get("nodeName", ""))
        return self.settings.runs and node is not None and pod["status"].get("phase") not in ENDED

    def _schedule(self) -> None:
        for pod in self.store.all(PODS):
            if scheduler.waits(pod):
                scheduler.schedule(self, pod)

    def worker_ended(self, task: asyncio.Task[None]) -> None:
        """Keep what went wrong in a kubelet: a defect of this server, not of a test."""
        if not task.cancelled() and (problem := task.exception()):
            self.problems.append(problem)

    def new_sandbox(self, pod: Json) -> ProcessSandbox | ScriptedSandbox:
        """Return a pod's sandbox: a pretended one where a script matches."""
        self._addresses += 1
        address = f"10.88.{self._addresses // 250}.{self._addresses % 250 + 2}"
        for matches, script in reversed(self.scripts):
            if matches(pod):
                return ScriptedSandbox(address, script)
        first = pod["spec"]["containers"][0]
        security = {**(pod["spec"].get("securityContext") or {}), **(first.get("securityContext") or {})}
        image = self.images.get(first["image"]) or Image()
        user = security.get("runAsUser", image.user), security.get("runAsGroup", 0)
        return ProcessSandbox(address, user, self.settings.reachable)

    def set_status(self, pod: Json, status: Json) -> None:
        """Write a pod's status, unless the pod is gone."""
        with contextlib.suppress(ApiError):
            self.registry.change(PODS, self.key(pod), lambda old: {**old, "status": status}, status=True)

    def disrupt(self, pod: Json, reason: str, message: str, options: Json | None = None) -> None:
        """Mark a pod as disrupted, with its cause, and delete it."""
        new = condition("DisruptionTarget", True, reason, message)
        self.set_status(pod, with_condition(self.store.get(PODS, self.key(pod)), new))
        self.registry.delete(PODS, self.key(pod), options)

    def event(self, pod: Json, level: str, reason: str, message: str, container: str = "") -> None:
        """Record an Event about a pod; one that was recorded already is counted."""
        metadata, now = pod["metadata"], clock.timestamp()
        for old in self.store.all(EVENTS, metadata["namespace"]):
            if (old["involvedObject"]["uid"], old["reason"], old["message"]) == (metadata["uid"], reason, message):
                if old["lastTimestamp"] != now:
                    self.store.put(EVENTS, {**old, "count": old["count"] + 1, "lastTimestamp": now})
                return
        part = {"fieldPath": f"spec.containers{{{container}}}"} if container else {}
        about = {
            **part,
            "kind": "Pod",
            "apiVersion": "v1",
            "namespace": metadata["namespace"],
            "name": metadata["name"],
        }
        new = {
            "kind": "Event", "apiVersion": "v1",
            "metadata": {"generateName": f"{metadata['name'][:240]}.", "namespace": metadata["namespace"]},
            "involvedObject": {**about, "uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]},
            "type": level, "reason": reason, "message": message, "count": 1, "firstTimestamp": now, "lastTimestamp": now,
            "source": {"component": "default-scheduler" if "chedul" in reason else "kubelet"},
        }  # fmt: skip
        with contextlib.suppress(ApiError):  # the namespace is being deleted
            self.registry.create(EVENTS, new)
