"""One list and watch for all runs of a kind in a namespace that a triggerer follows: pods, or LMEvalJob resources.

A trigger that polls its pod costs a request every two seconds and learns of its end two seconds late. All triggers of a
triggerer share one event loop, so they share one watch: a thousand runs cost the API server as much as one, and each learns
of its pod's end at once. The watch resumes where it broke off, lists again when the server has forgotten that point, and
says when it is not well, so that its followers look for themselves (``poller.py``).
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import random
import time
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Generic

from airflow_provider_lmeval.backends.kubernetes.api import Api, Call, lines
from airflow_provider_lmeval.backends.kubernetes.clock import ServerClock
from airflow_provider_lmeval.backends.kubernetes.cluster import Cluster
from airflow_provider_lmeval.backends.kubernetes.refusal import retry_after
from airflow_provider_lmeval.backends.kubernetes.resources import Resource, V
from airflow_provider_lmeval.errors import ClusterError
from airflow_provider_lmeval.wire import Status

SILENCE_S = 90.0
"""Bookmarks come about every minute; after so long without a byte the connection is dead."""
CONNECT_S = 10.0
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
DENIED_PAUSE_S = 300.0
"""Between attempts at what the cluster does not allow."""
UNWELL_AFTER_S = 5.0
"""A broken connection is normal; only one that does not come back makes followers look for themselves."""
LINGER_S = 30.0
"""How long a watch that nobody follows goes on: the next trigger often comes in a moment."""

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Follower(Generic[V]):
    """One trigger's place at the watch.

    :param resource: what kind of object it follows, below called pod.
    :param uid: of its pod. :param view: the pod as it was seen last; None before.
    :param driver: what the run's driver said last, or None.
    :param missing: a list did not have the pod; it may be gone.
    :param looked: when it was looked at by a request of its own, in the event loop's seconds; 0: never.
    :param trouble: why it cannot be looked at, or None; ``trouble_since`` in the event loop's seconds.
    :param notices: what its task's log should say, once.
    :param clock: of the server that dates the pod.
    """

    resource: Resource[V]
    namespace: str
    name: str
    uid: str
    run_id: str
    view: V | None = None
    driver: Status | None = None
    missing: bool = False
    looked: float = 0.0
    trouble: ClusterError | None = None
    trouble_since: float = 0.0
    notices: list[str] = field(default_factory=list)
    clock: ServerClock = field(default_factory=ServerClock)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def see(self, view: V) -> None:
        """Take a newer view of the pod. What was seen to end has ended: then an answer that was overtaken is an old one."""
        if self.view is not None and self.view.ended and not view.ended:
            return
        self.view, self.missing, self.trouble = self.resource.remember(view, self.view, self.clock.now()), False, None
        self.wake()

    def wake(self) -> None:
        """Make the trigger look."""
        self._changed.set()

    async def changed(self, timeout_s: float | None) -> None:
        """Return when there is something new, or after the time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            return
        self._changed.clear()


class SharedWatch(Generic[V]):
    """Watches all objects of a kind in a namespace.

    :param cluster: where. :param resource: the kind, with the labels. :param namespace: of the objects.
    """

    def __init__(self, cluster: Cluster, resource: Resource[V], namespace: str) -> None:
        self.cluster = cluster
        self.resource = resource
        self.api: Api | None = None
        """The open connection, for others to use; None while there is none."""
        self.clock = ServerClock()
        self._namespace = namespace
        self._views: dict[str, V] = {}
        self._followers: dict[str, set[Follower[V]]] = {}
        self._version: str | None = None
        self._unused = False
        """The version is a list's, and no watch has got anywhere from it."""
        self._unwell_since: float | None = 0.0
        self._denied: str | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def well(self) -> bool:
        """Whether followers may rely on being told."""
        since = self._unwell_since
        return since is None or (since > 0 and time.monotonic() - since < UNWELL_AFTER_S)

    @property
    def followed(self) -> bool:
        """Whether anybody still needs it."""
        return bool(self._followers)

    def follow(self, follower: Follower[V]) -> None:
        """Tell a follower of every change of its pod from now on."""
        follower.clock = self.clock
        self._followers.setdefault(follower.uid, set()).add(follower)
        if (view := self._views.get(follower.uid)) is not None:
            follower.see(view)
        if self._denied:
            follower.notices.append(self._denied)
        if self._task is None:
            # in a context of its own: its log lines must not go to the task whose trigger happened to come first
            self._task = asyncio.get_running_loop().create_task(self._run(), context=contextvars.Context())

    def unfollow(self, follower: Follower[V]) -> None:
        """Forget a follower."""
        others = self._followers.get(follower.uid, set())
        others.discard(follower)
        if not others:
            self._followers.pop(follower.uid, None)

    def stop(self) -> None:
        """End the watch."""
        if self._task is not None:
            self._task.cancel()

    def show(self, view: V) -> None:
        """Tell followers of a view of their pod, from wherever it comes."""
        for follower in self._followers.get(view.uid, ()):
            follower.see(view)

    def _keep(self, view: V) -> None:
        """Take what list and watch say, in their order, for those who follow later."""
        if view.deleted:
            self._views.pop(view.uid, None)
        else:
            self._views[view.uid] = view
        self.show(view)

    async def _run(self) -> None:
        pause = FIRST_PAUSE_S
        while True:
            began = time.monotonic()
            try:
                async with self.cluster.open(patience_s=0, clock=self.clock) as self.api:
                    while True:
                        await self._once(self.api)
                        pause = pause if self._unused else FIRST_PAUSE_S
            except ClusterError as error:
                trouble = error
            except Exception as error:
                log.exception("the watch of the %s of namespace %s failed", self.resource.plural, self._namespace)
                trouble = ClusterError(f"{type(error).__name__}: {error}")
            finally:
                self.api = None
            if time.monotonic() - began > LONGEST_PAUSE_S:
                pause = FIRST_PAUSE_S
            wait = self._suffer(trouble, pause)
            await asyncio.sleep(wait * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def _suffer(self, error: ClusterError, pause: float) -> float:
        """Note a failure and return how long to wait."""
        if self._unwell_since is None:
            self._unwell_since = time.monotonic()
        log.warning("the watch of the %s of namespace %s: %s", self.resource.plural, self._namespace, error)
        if error.status in (401, 403):
            self._unwell_since = 0.0
            self._tell_denied(
                f"the {self.resource.noun} is not watched, only looked at from time to time, and no progress is shown: "
                f"{error}"
            )
            return DENIED_PAUSE_S if error.status == 403 else LONGEST_PAUSE_S
        return retry_after(error) or pause

    def _tell_denied(self, notice: str) -> None:
        """Let the tasks' logs say, once, what only the triggerer's would."""
        if self._denied is None:
            for follower in [each for group in self._followers.values() for each in group]:
                follower.notices.append(notice)
                follower.wake()
        self._denied = notice

    async def _once(self, api: Api) -> None:
        """List if need be, then watch until the server ends it."""
        if self._version is None:
            await self._list(api)
        began = time.monotonic()
        await self._stream(api)
        if time.monotonic() - began < FIRST_PAUSE_S:  # a proxy that cuts every connection at once
            await asyncio.sleep(FIRST_PAUSE_S)

    async def _list(self, api: Api) -> None:
        resource = self.resource
        items, version = await api.list_all(resource.path(self._namespace), resource.selector, resource.page)
        views = [resource.look(item, False) for item in items]
        for view in views:
            self._keep(view)
        listed = {view.uid for view in views}
        self._views = {uid: view for uid, view in self._views.items() if uid in listed}
        for uid in self._followers.keys() - listed:
            for follower in self._followers[uid]:
                follower.missing = True
                follower.wake()
        self._version, self._unused = version, True

    async def _stream(self, api: Api) -> None:
        import aiohttp

        query: dict[str, Any] = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": random.randint(240, 480),  # noqa: S311 - spreads reconnections
        }
        query |= {"labelSelector": self.resource.selector} if self.resource.selector else {}
        limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENCE_S)
        call = Call("GET", self.resource.path(self._namespace), query)
        try:
            async with api.opened(call, limits) as response:
                self._unwell_since = self._denied = None
                async for line in lines(response.content):
                    self._take(json.loads(line))
        except ClusterError as error:
            if error.status != 410:
                raise
            self._forgotten(error)

    def _forgotten(self, error: ClusterError) -> None:
        """Begin anew with a list: the server does not know the version any more.

        :raises ClusterError: it does not know that of the list just made either; asking at once again would only load it.
        """
        self._version = None
        if self._unused:
            raise error

    def _take(self, event: dict[str, Any]) -> None:
        kind, thing = event["type"], event["object"]
        if kind == "ERROR":
            raise ClusterError(f"the watch was ended: {thing.get('message')}", int(thing.get("code") or 0))
        self._version, self._unused = thing["metadata"]["resourceVersion"], False
        if kind != "BOOKMARK":
            self._keep(self.resource.look(thing, kind == "DELETED"))


_Key = tuple[Cluster, Resource[Any], str]
_WATCHES: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_Key, SharedWatch[Any]]]
_WATCHES = weakref.WeakKeyDictionary()


@asynccontextmanager
async def watching(cluster: Cluster, follower: Follower[V]) -> AsyncIterator[SharedWatch[V]]:
    """Follow an object with the event loop's shared watch of its kind in its namespace."""
    loop = asyncio.get_running_loop()
    watches, key = _WATCHES.setdefault(loop, {}), (cluster, follower.resource, follower.namespace)
    watch: SharedWatch[V] = watches.setdefault(key, SharedWatch(*key))
    watch.follow(follower)
    try:
        yield watch
    finally:
        watch.unfollow(follower)
        loop.call_later(LINGER_S, _leave, watches, key)


def _leave(watches: dict[_Key, SharedWatch[Any]], key: _Key) -> None:
    watch = watches.get(key)
    if watch is not None and not watch.followed:
        del watches[key]
        watch.stop()
