"""Looks at runs one after the other: asks drivers for progress, and Kubernetes for pods when the watch is not well.

All of a triggerer's runs share a budget of about four requests a second, so a thousand runs cost no more than forty: each
has its turn every ten seconds, or every quarter second per run if that is longer. Runs that nothing is known of come first,
and one that is about to finish gets another turn when it should be done.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from airflow_provider_lmeval.backends.kubernetes.api import Api
from airflow_provider_lmeval.backends.kubernetes.resources import V
from airflow_provider_lmeval.backends.kubernetes.watch import Follower, SharedWatch
from airflow_provider_lmeval.errors import ClusterError
from airflow_provider_lmeval.wire import Status

RATE = 4.0
"""Requests a second, for all runs of an event loop together."""
SHORTEST_S = 10.0
"""Least time between two turns of a run."""
SOON_S = 2.0
"""Until a run whose pod was missing from a list is looked at: most likely it has ended."""
GRACE_S = 10.0
"""How long after it began to be followed a pod may be unknown to the watch."""
CLOSED_S = 600.0
"""How long drivers are not asked after the way to them turned out to be closed."""
ASKED_RATE = 500.0
"""Runs a second that are asked when their turn is."""
NEVER = float("inf")
ViewT_contra = TypeVar("ViewT_contra", contravariant=True)

log = logging.getLogger(__name__)


class Probe(Protocol[ViewT_contra]):
    """What is asked of a run that the watch does not tell."""

    @property
    def lack(self) -> str:
        """What people miss while the way to it is closed."""

    def can_ask(self, view: ViewT_contra) -> bool:
        """Whether there is anybody to ask."""

    async def status(self, api: Api, view: ViewT_contra) -> Status | None:
        """Ask.

        :raises ClusterError: the way is closed.
        """


@dataclass(eq=False)
class Turn(Generic[V]):
    """One run in the round.

    :param began: when it came, in the event loop's seconds. :param busy: a request for it is under way.
    :param asked: when its driver was asked last; 0: never. :param closed_until: when it may be asked again.
    """

    follower: Follower[V]
    watch: SharedWatch[V]
    probe: Probe[V]
    began: float
    busy: bool = False
    asked: float = 0.0
    closed_until: float = 0.0

    def due(self, interval_s: float) -> float:
        """Return when the run should be looked at next, in the event loop's seconds."""
        follower, view = self.follower, self.follower.view
        if self.busy or (view is not None and view.ended):
            return NEVER
        if view is None and not follower.missing and follower.looked == 0 and self.watch.well:
            return self.began + GRACE_S
        if self.needs_pod:
            return follower.looked + (SOON_S if follower.missing else interval_s)
        if view is None or not self.probe.can_ask(view):
            return NEVER
        return max(self.closed_until, self._progress_due(interval_s))

    @property
    def needs_pod(self) -> bool:
        """Whether the watch cannot be relied on for this run."""
        return self.follower.view is None or self.follower.missing or not self.watch.well

    def _progress_due(self, interval_s: float) -> float:
        driver = self.follower.driver
        if self.asked == 0:
            return 0.0
        remaining = driver.progress.get("eta_s") if driver else None
        return self.asked + (interval_s if remaining is None else min(interval_s, max(SHORTEST_S, float(remaining))))


class Poller:
    """Gives each run its turn."""

    def __init__(self) -> None:
        self._turns: set[Turn[Any]] = set()
        self._queue: list[tuple[float, int, Turn[Any]]] = []
        self._queued = -NEVER
        self._work: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None

    @property
    def interval_s(self) -> float:
        """Seconds between two turns of a run."""
        return max(SHORTEST_S, len(self._turns) / RATE)

    def add(self, turn: Turn[Any]) -> None:
        """Let a run take part."""
        self._turns.add(turn)
        self._queued = -NEVER
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), context=contextvars.Context())

    def remove(self, turn: Turn[Any]) -> None:
        """Let a run leave."""
        self._turns.discard(turn)

    async def _run(self) -> None:
        now = asyncio.get_running_loop().time
        while self._turns:
            if (turn := self._next(now())) is not None:
                turn.busy = True
                work = asyncio.create_task(self._look(turn))
                self._work.add(work)
                work.add_done_callback(self._work.discard)
            await asyncio.sleep(1 / RATE)

    def _next(self, now: float) -> Turn[Any] | None:
        """Return the run that has waited longest for its turn, or None if none is due.

        What a run's turn depends on changes all the time, and asking a thousand runs four times a second would be most of
        what they cost: so many queue up anew only every other second, and the one at the front is asked again.
        """
        interval = self.interval_s
        if now - self._queued >= len(self._turns) / ASKED_RATE:
            self._queue = sorted(((turn.due(interval), id(turn), turn) for turn in self._turns), reverse=True)
            self._queued = now
        while self._queue and self._queue[-1][0] <= now:
            _, _, turn = self._queue.pop()
            if turn in self._turns and turn.due(interval) <= now:
                return turn
        return None

    async def _look(self, turn: Turn[Any]) -> None:
        now = asyncio.get_running_loop().time
        try:
            if turn.needs_pod:
                await _pod(turn)
                turn.follower.looked = now()
            else:
                await _progress(turn)
                turn.asked = now()
        except Exception:
            log.exception("looking at run %s failed", turn.follower.run_id)
            turn.follower.looked = turn.asked = now()
        finally:
            turn.busy = False


async def _pod(turn: Turn[Any]) -> None:
    """Read the pod itself."""
    follower = turn.follower
    try:
        view = await _with_api(turn, follower)
    except ClusterError as error:
        if follower.trouble is None:
            follower.trouble_since = asyncio.get_running_loop().time()
        follower.trouble = error
        follower.wake()
        return
    turn.watch.show(view)


async def _with_api(turn: Turn[V], follower: Follower[V]) -> V:
    if turn.watch.api is not None:
        return await _read(turn.watch.api, follower)
    async with turn.watch.cluster.open(patience_s=0, clock=turn.watch.clock) as api:
        return await _read(api, follower)


async def _read(api: Api, follower: Follower[V]) -> V:
    kind, namespace, name = follower.resource, follower.namespace, follower.name
    known = follower.view or kind.unseen(namespace, name, follower.uid, follower.run_id)
    try:
        found = kind.look(await api.patient(0).get(kind.path(namespace, name)), False)
    except ClusterError as error:
        if error.status != 404 or error.cause:
            raise
        return known.lost()
    return found if found.uid == follower.uid else known.lost()


async def _progress(turn: Turn[Any]) -> None:
    """Ask the driver."""
    follower, api = turn.follower, turn.watch.api
    if api is None or follower.view is None:
        return
    try:
        driver = await turn.probe.status(api, follower.view)
    except ClusterError as error:
        turn.closed_until = asyncio.get_running_loop().time() + CLOSED_S
        follower.notices.append(f"{turn.probe.lack}: {error}")
        follower.wake()
        return
    if driver is not None:
        follower.driver = driver
        follower.wake()


_POLLERS: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Poller] = weakref.WeakKeyDictionary()


@contextmanager
def taking_turns(follower: Follower[V], watch: SharedWatch[V], probe: Probe[V]) -> Iterator[None]:
    """Let a run take part in the event loop's round."""
    loop = asyncio.get_running_loop()
    poller = _POLLERS.setdefault(loop, Poller())
    turn = Turn(follower, watch, probe, loop.time())
    poller.add(turn)
    try:
        yield
    finally:
        poller.remove(turn)
