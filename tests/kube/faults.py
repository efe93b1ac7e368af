"""What can go wrong on a cluster, at the wish of a test: answers fail, watches break, pods and nodes are lost.

Everything here is called from the test's thread and has happened when it returns.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from aiohttp import web

from tests.kube import nodes
from tests.kube.cluster import Cluster
from tests.kube.containers import Runner
from tests.kube.errors import ApiError, internal, unavailable
from tests.kube.kinds import NAMESPACES, NODES, PODS
from tests.kube.routes import Request
from tests.kube.watch import Stream

Json = dict[str, Any]
T = TypeVar("T")

Effect = Callable[[web.Request], Any]
"""Awaited before a request is answered; may raise what is answered instead."""

TOO_MANY = "Too many requests, please try again later."


class Call(Protocol):
    """Runs something in the server's loop and returns its result."""

    def __call__(self, function: Callable[[], T], /) -> T: ...


@dataclass(eq=False)
class Fault:
    """Something that happens to matching requests; ``lift`` ends it and lets go of what hangs.

    :param verb: of RBAC, None all. :param resource: plural with subresource, None all. :param path: searched in the path.
    :param times: how often; None: until lifted. :param until: monotonic time of its end. :param lasts: seconds from the
        first request it happens to. :param after: the request has been carried out by then.
    """

    effect: Effect
    verb: str | None = None
    resource: str | None = None
    path: str | None = None
    times: int | None = None
    until: float | None = None
    lasts: float | None = None
    after: bool = False
    lifted: asyncio.Event = field(default_factory=asyncio.Event)
    hits: int = 0

    def concerns(self, request: Request) -> bool:
        target = request.target
        resource = "" if target is None else "/".join(filter(None, (target.plural, target.subresource)))
        return (
            not self.lifted.is_set()
            and (self.times is None or self.hits < self.times)
            and (self.until is None or time.monotonic() < self.until)
            and self.verb in (None, request.verb)
            and self.resource in (None, resource)
            and (self.path is None or re.search(self.path, request.path) is not None)
        )


class Faults:
    """All misbehaviour of one server.

    :param call: reaches the loop that the cluster lives in.
    """

    def __init__(self, cluster: Cluster, call: Call) -> None:
        self._cluster, self._call = cluster, call
        self._faults: list[Fault] = []
        self._cutter: asyncio.Task[None] | None = None
        self.streams: set[Stream] = set()

    # -- requests

    async def strike(self, request: Request, raw: web.Request, *, after: bool = False) -> None:
        """Do to a request what was asked for, before or after it is carried out."""
        for fault in list(self._faults):
            if fault.after is after and fault.concerns(request):
                fault.hits += 1
                if fault.lasts is not None and fault.until is None:
                    fault.until = time.monotonic() + fault.lasts
                await fault.effect(raw)

    def fail(self, code: int, *, retry_after: int | None = None, message: str | None = None, **where: Any) -> Fault:
        """Answer with an error: 429, 500, 503, 504 or any other.

        :param retry_after: seconds, for the header. :param where: fields of ``Fault``, and ``seconds`` from now on.
        """

        async def effect(raw: web.Request) -> None:
            raise _failure(code, message, retry_after)

        return self._add(effect, where)

    def hang(self, **where: Any) -> Fault:
        """Leave requests unanswered until the fault is lifted or its time is over; then they are answered."""
        made: list[Fault] = []

        async def effect(raw: web.Request) -> None:
            until = made[0].until
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if until is None else until - time.monotonic()):
                    await made[0].lifted.wait()

        made.append(self._add(effect, where))
        return made[0]

    def slow(self, delay_s: float, **where: Any) -> Fault:
        """Answer later."""

        async def effect(raw: web.Request) -> None:
            await asyncio.sleep(delay_s)

        return self._add(effect, where)

    def reset(self, **where: Any) -> Fault:
        """Break the connection instead of answering."""

        async def effect(raw: web.Request) -> None:
            if raw.transport is not None:
                raw.transport.abort()
            raise asyncio.CancelledError

        return self._add(effect, where)

    def lose_answers(self, **where: Any) -> Fault:
        """Do what is asked, and break the connection instead of saying so."""
        return self.reset(after=True, **where)

    def _add(self, effect: Effect, where: dict[str, Any]) -> Fault:
        seconds = where.pop("seconds", None)
        until = None if seconds is None else time.monotonic() + seconds

        def add() -> Fault:
            fault = Fault(effect, **where, until=until)
            self._faults.append(fault)
            return fault

        return self._call(add)

    def lift(self, fault: Fault | None = None) -> None:
        """End one fault of requests, or all of them."""

        def lift() -> None:
            for one in list(self._faults) if fault is None else [fault]:
                one.lifted.set()
                self._faults.remove(one)

        self._call(lift)

    # -- watches

    def cut_watches(self, *, abruptly: bool = False) -> int:
        """End all watches now, properly or by breaking the connection, and return how many there were."""
        return self._call(lambda: self._cut(abruptly))

    def cut_watches_every(self, seconds: float | None, *, abruptly: bool = False) -> None:
        """End all watches again and again; None stops that."""

        def start() -> None:
            if self._cutter is not None:
                self._cutter.cancel()
                self._cutter = None
            if seconds is not None:
                self._cutter = asyncio.get_running_loop().create_task(self._cut_forever(seconds, abruptly))

        self._call(start)

    async def _cut_forever(self, seconds: float, abruptly: bool) -> None:
        while True:
            await asyncio.sleep(seconds)
            self._cut(abruptly)

    def _cut(self, abruptly: bool) -> int:
        for stream in list(self.streams):
            stream.cut(abruptly=abruptly)
        return len(self.streams)

    def compact(self) -> None:
        """Make every resourceVersion seen so far too old."""
        self._call(self._cluster.store.compact)

    async def close(self) -> None:
        """Let everything go that hangs or runs on, watches too: their handlers must not be left to the garbage collector."""
        self._cut(abruptly=False)
        for fault in self._faults:
            fault.lifted.set()
        if self._cutter is not None:
            self._cutter.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._cutter

    # -- pods

    def evict(self, name: str, namespace: str = "default") -> None:
        """Evict a pod as ``kubectl drain`` does."""
        self._disrupt(name, namespace, "EvictionByEvictionAPI", "Eviction API: evicting")

    def preempt(self, name: str, namespace: str = "default") -> None:
        """Take a pod's place for one of higher priority."""
        why = "default-scheduler: preempting to accommodate a higher priority pod"
        self._disrupt(name, namespace, "PreemptionByScheduler", why)

    def _disrupt(self, name: str, namespace: str, reason: str, message: str) -> None:
        cluster = self._cluster
        self._call(lambda: cluster.disrupt(cluster.store.get(PODS, (namespace, name)), reason, message))

    def oom_kill(self, name: str, namespace: str = "default", *, container: str = "base", child: bool = False) -> None:
        """Kill a container for lack of memory: all of it (cgroup v2), or the largest child of its main process."""
        self._kill(name, namespace, container, child=child, for_memory=True)

    def kill(self, name: str, namespace: str = "default", *, container: str = "base", child: bool = False) -> None:
        """Kill a container as ``kill -9`` does: all of it, or the largest child of its main process."""
        self._kill(name, namespace, container, child=child, for_memory=False)

    def _kill(self, name: str, namespace: str, container: str, *, child: bool, for_memory: bool) -> None:
        def kill() -> None:
            current = self._runner(name, namespace, container).current
            current.oom_killed = for_memory
            if child:
                current.kill_child()
            else:
                current.kill()

        self._call(kill)

    def _runner(self, name: str, namespace: str, container: str) -> Runner:
        uid = self._cluster.store.get(PODS, (namespace, name))["metadata"]["uid"]
        return self._cluster.workers[uid].runners[container]

    def never_schedule(self, reason: str | None = "1 Insufficient nvidia.com/gpu") -> None:
        """Let no node take any further pod; None ends that."""

        def set_reason() -> None:
            self._cluster.settings.unschedulable = reason
            if reason is None:
                self._touch_nodes()

        self._call(set_reason)

    def _touch_nodes(self) -> None:
        for node in self._cluster.store.all(NODES):
            self._cluster.store.put(NODES, node)  # a write makes the scheduler look again

    def lose_image(self, image: str) -> None:
        """Let pulling an image fail from now on; put it back into ``server.images`` to end that."""
        self._call(lambda: self._cluster.images.pop(image, None))

    # -- nodes, namespaces, storage

    def lose_node(self, name: str = "node1") -> None:
        """Cut a node off: its pods stay Running, deletions hang, by taint it evicts what does not tolerate it."""
        self._call(lambda: nodes.lose(self._cluster, self._cluster.nodes[name]))

    def restore_node(self, name: str = "node1") -> None:
        """Let a lost node come back."""
        self._call(lambda: nodes.restore(self._cluster, self._cluster.nodes[name]))

    def delete_namespace(self, name: str) -> None:
        """Delete a namespace with all that is in it; pods end with their grace."""
        self._call(lambda: self._cluster.registry.delete(NAMESPACES, ("", name)))

    def no_storage_class(self) -> None:
        """Leave claims Pending, as where no StorageClass is the default."""
        self._call(lambda: setattr(self._cluster.settings, "storage_class", None))

    def rotate_log(self, name: str, namespace: str = "default", *, container: str = "base") -> None:
        """Begin a new log file, as the kubelet does at 10 MiB."""

        def rotate() -> None:
            log = self._runner(name, namespace, container).log
            assert log is not None
            log.rotate()

        self._call(rotate)


def _failure(code: int, message: str | None, retry_after: int | None) -> Exception:
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    if code == 429:  # priority and fairness answers in plain words
        return web.HTTPTooManyRequests(text=message or TOO_MANY, headers={"Retry-After": "1", **headers})
    if code == 500:
        failure = internal(message or "etcdserver: request timed out")
    elif code == 503:
        failure = unavailable(message) if message else unavailable()
    elif code == 504:
        failure = ApiError(504, "Timeout", message or "Timeout: request did not complete within the allotted timeout")
    else:
        failure = ApiError(code, "Unknown", message or "an error of the test's wish")
    failure.headers |= headers
    return failure
