"""``LMEvalTrigger``: waits for a run to end, tells its progress, stops it when a person says so.

Only a person stops a run. Airflow calls ``on_kill`` also when a trigger merely moves to another triggerer, and cancels
``on_kill`` itself after a second. So the task's state is read first, nothing is stopped while it is still *deferred*, and
the work goes on in a task of its own when ``on_kill`` is cut short. A trigger's ``cleanup`` runs at every exit, a restart
of the triggerer included; only Airflow before 3.3, which has no ``on_kill``, makes it look at the task's state as well.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_lmeval import _compat
from airflow_provider_lmeval.backends import Backend, Handle
from airflow_provider_lmeval.errors import LMEvalError
from airflow_provider_lmeval.hooks.lmeval import LMEvalHook, make_backend
from airflow_provider_lmeval.triggers.progress import ProgressLog
from airflow_provider_lmeval.wire import State, Status

MOVED_STATES = frozenset({"deferred"})
"""States of a task whose run must go on although its trigger is told to stop."""
TRANSIENT_LIMIT = 5
"""Failed looks at a run in a row before the trigger gives up on it."""

_BACKGROUND: set[asyncio.Task[None]] = set()
"""Keeps references to work that outlives ``on_kill``: the event loop holds only weak ones."""


class LMEvalTrigger(BaseTrigger):
    """Fires once, when a run has ended or its time is up.

    The event's payload: ``{"run_id", "status": Status as JSON, "error": str | None, "timed_out": bool}``.

    :param handle: the run, as :meth:`Handle.to_json` gave it; plain data without secrets.
    :param lmeval_conn_id: connection whose settings lead to the backend, or None.
    :param poll_interval: seconds between two looks.
    :param deadline: POSIX time at which waiting ends (from ``execution_timeout``), or None.
    :param owns_run: whether the run is stopped with the task or at the deadline; a sensor's is not.
    :param not_before: POSIX time before which it does not fire; see :func:`_compat.deferral_settles_s`.
    """

    def __init__(
        self,
        handle: dict[str, Any],
        lmeval_conn_id: str | None = None,
        poll_interval: float = 5.0,
        deadline: float | None = None,
        owns_run: bool = True,
        not_before: float = 0.0,
    ) -> None:
        super().__init__()
        self.handle = handle
        self.lmeval_conn_id = lmeval_conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.owns_run = owns_run
        self.not_before = not_before

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments, all plain data."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "handle": self.handle,
                "lmeval_conn_id": self.lmeval_conn_id,
                "poll_interval": self.poll_interval,
                "deadline": self.deadline,
                "owns_run": self.owns_run,
                "not_before": self.not_before,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the one event."""
        event = await self._end()
        await asyncio.sleep(max(self.not_before - time.time(), 0.0))
        yield event

    async def _end(self) -> TriggerEvent:
        try:
            backend, handle = await self._backend(), Handle.parse(self.handle)
            status = await self._wait(backend, handle)
            timed_out = not State(status.state).ended
            if timed_out and self.owns_run:
                self.log.error("execution_timeout: stopping run %s", handle.run_id)
                status = await self._stopped(backend, handle)
            return self._event(status=status.to_json(), timed_out=timed_out)
        except LMEvalError as error:
            return self._event(error=str(error))

    def _event(
        self, *, status: dict[str, Any] | None = None, error: str | None = None, timed_out: bool = False
    ) -> TriggerEvent:
        run_id = self.handle.get("run_id")
        return TriggerEvent({"run_id": run_id, "status": status, "error": error, "timed_out": timed_out})

    async def _stopped(self, backend: Backend, handle: Handle) -> Status:
        """Stop the run and return what became of it."""
        await backend.acancel(handle)
        return await backend.astatus(handle)

    async def _wait(self, backend: Backend, handle: Handle) -> Status:
        """Return the status of the ended run, or the last one when the deadline has passed."""
        progress, failures = ProgressLog(), 0
        while True:
            try:
                status = await backend.astatus(handle)
                failures = 0
            except OSError as error:
                failures += 1
                self.log.warning("run %s: cannot read its status (%s), attempt %d", handle.run_id, error, failures)
                if failures >= TRANSIENT_LIMIT:
                    raise LMEvalError(f"run {handle.run_id}: its status cannot be read: {error}") from error
                status = None
            if status is not None:
                if line := progress.line(status):
                    self.log.info("%s", line)
                if State(status.state).ended or self._time_left() <= 0:
                    return status
            await asyncio.sleep(min(self.poll_interval, max(self._time_left(), 0.0)))

    def _time_left(self) -> float:
        return float("inf") if self.deadline is None else self.deadline - time.time()

    async def _backend(self) -> Backend:
        settings = await LMEvalHook(self.lmeval_conn_id).asettings()
        return make_backend(settings, str(self.handle.get("backend")))

    async def on_kill(self) -> None:
        """Stop the run if a person has acted on the task; finish even if this call is cut short."""
        if not self.owns_run:
            return
        work = asyncio.get_running_loop().create_task(self._stop_unless_moved())
        _BACKGROUND.add(work)
        work.add_done_callback(_BACKGROUND.discard)
        await asyncio.shield(work)

    async def cleanup(self) -> None:
        """Before Airflow 3.3, do what :meth:`on_kill` does from then on."""
        if not _compat.triggers_have_on_kill():
            await self.on_kill()

    async def _stop_unless_moved(self) -> None:
        state = await _compat.task_state(self)
        if state is None or state in MOVED_STATES:
            self.log.info("run %s goes on (task state: %s)", self.handle.get("run_id"), state or "unknown")
            return
        handle, backend = Handle.parse(self.handle), await self._backend()
        if not State((await backend.astatus(handle)).state).ended:
            self.log.info("task is %s: stopping run %s", state, handle.run_id)
            await backend.acancel(handle)
