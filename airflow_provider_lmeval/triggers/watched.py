"""Waiting by the watch that all of a triggerer's runs share: what triggers of pods and of LMEvalJobs have in common.

The end is seen at once and without asking for it. What was seen last goes into the event, so that the run can be concluded
when the object has been deleted meanwhile. Rules for stopping a run are ``LMEvalTrigger``'s.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import TriggerEvent

from airflow_provider_lmeval.backends import Backend
from airflow_provider_lmeval.triggers.lmeval import LMEvalTrigger
from airflow_provider_lmeval.triggers.progress import ProgressLog
from airflow_provider_lmeval.wire import State, Status

if TYPE_CHECKING:
    from airflow_provider_lmeval.backends.kubernetes.watch import Follower

STARTING_S = 5.0
"""Longest wait between two thoughts about a run that has not begun yet, or is on its way out: its limits are time, too."""
RUNNING_S = 60.0


class WatchTrigger(LMEvalTrigger):
    """Fires once, when a watched object has ended or its time is up.

    The event's payload is ``LMEvalTrigger``'s, and ``seen``: the object as it was seen last.
    """

    blind_s = 60.0
    """How long an object may be out of reach for lack of permissions before the trigger says so."""
    heavy: tuple[str, ...] = ("kubernetes_asyncio.config", "airflow_provider_lmeval.backends.kubernetes.poller")
    """What takes a while to import, in a thread: the triggerer's other triggers must not wait for it."""

    _seen: Any = None

    def _event(
        self, *, status: dict[str, Any] | None = None, error: str | None = None, timed_out: bool = False
    ) -> TriggerEvent:
        event = super()._event(status=status, error=error, timed_out=timed_out)
        event.payload["seen"] = self._seen.to_json() if self._seen else None
        return event

    async def _backend(self) -> Backend:
        for name in self.heavy:
            await asyncio.to_thread(import_module, name)
        return await super()._backend()

    async def _follow(self, follower: Follower[Any]) -> Status:
        """Return the status of the ended run, or the last one when the deadline has passed."""
        progress = ProgressLog()
        while True:
            status = self._look(follower)
            if line := progress.line(status):
                self.log.info("%s", line)
            self._tell(follower)
            if State(status.state).ended or self._time_left() <= 0:
                return status
            await follower.changed(min(self._time_left(), RUNNING_S if self._settled() else STARTING_S))

    def _look(self, follower: Follower[Any]) -> Status:
        """Return what is known.

        :raises ClusterError: Kubernetes does not let this triggerer look.
        """
        trouble, now = follower.trouble, asyncio.get_running_loop().time()
        if trouble is not None and not trouble.transient and now - follower.trouble_since > self.blind_s:
            raise trouble
        if follower.view is None:
            noun = follower.resource.noun
            return Status(run_id=follower.run_id, message=str(trouble) if trouble else f"looking for the {noun}")
        self._seen = follower.view
        return self._judge(follower)

    @abstractmethod
    def _judge(self, follower: Follower[Any]) -> Status:
        """Return what the newest view means."""

    @abstractmethod
    def _settled(self) -> bool:
        """Whether nothing but news can change what is known."""

    def _tell(self, follower: Follower[Any]) -> None:
        """Show in the task's log what has come in."""
        while follower.notices:
            self.log.warning("%s", follower.notices.pop())
