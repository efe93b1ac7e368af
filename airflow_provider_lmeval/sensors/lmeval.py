"""``LMEvalSensor``: waits for a run by its handle, deferring by default."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from airflow.sdk import BaseSensorOperator, PokeReturnValue

from airflow_provider_lmeval import _compat
from airflow_provider_lmeval.backends import Backend, Handle
from airflow_provider_lmeval.errors import BackendError, LMEvalError, SpecError
from airflow_provider_lmeval.hooks.lmeval import LMEvalHook, make_backend
from airflow_provider_lmeval.operators.outcome import conclude, fail
from airflow_provider_lmeval.triggers.choice import make_trigger
from airflow_provider_lmeval.triggers.progress import ProgressLog
from airflow_provider_lmeval.wire import State, Status

if TYPE_CHECKING:
    from airflow_provider_lmeval.backends.lmevaljob.backend import LMEvalJobBackend


class LMEvalSensor(BaseSensorOperator):
    """Wait for a run that an :class:`LMEvalOperator` with ``wait_for_completion=False`` started, or for an ``LMEvalJob``.

    Pushes the same XCom ``return_value`` as the operator. The run is the other task's: ending the sensor (a timeout, a
    person) leaves the run alone.

    :param handle: output of the task that started the run. (templated)
    :param lmevaljob: instead: an ``LMEvalJob`` that somebody else has created, ``name`` or ``namespace/name``. (templated)
    :param results_uri: where the results of that job are kept, instead of the configured place. (templated)
    :param lmeval_conn_id: connection of type *LM Eval*, as for the operator.
    :param deferrable: wait without holding a worker slot; otherwise the sensor pokes.
    """

    _job: Handle | None = None
    _poked: Backend | None = None

    template_fields: Sequence[str] = ("handle", "lmevaljob", "results_uri", "lmeval_conn_id")
    ui_color = "#e6f4ea"

    def __init__(
        self,
        *,
        handle: Mapping[str, Any] | Any = None,
        lmevaljob: str | None = None,
        results_uri: str | None = None,
        lmeval_conn_id: str | None = None,
        deferrable: bool = True,
        poke_interval: float = 5.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=poke_interval, **kwargs)
        if (handle is None) == (lmevaljob is None):
            raise SpecError("LMEvalSensor: give either handle, the output of an LMEvalOperator, or lmevaljob, a name")
        self.handle = handle
        self.lmevaljob = lmevaljob
        self.results_uri = results_uri
        self.lmeval_conn_id = lmeval_conn_id
        self.deferrable = deferrable
        self._progress = ProgressLog()

    def execute(self, context: Any) -> Any:
        """Defer until the run has ended, or poke."""
        if not self.deferrable:
            return super().execute(context)
        try:
            handle = self._found()
        except LMEvalError as error:
            fail(error)
        deadline = time.time() + self.timeout if self.timeout else None
        interval = float(self.poke_interval)
        settled = time.time() + _compat.deferral_settles_s()
        trigger = make_trigger(handle, self.lmeval_conn_id, interval, deadline, owns_run=False, not_before=settled)
        margin = None if deadline is None else timedelta(seconds=self.timeout + 60)
        self.defer(trigger=trigger, method_name="resume", kwargs={"handle": handle.to_json()}, timeout=margin)

    def poke(self, context: Any) -> PokeReturnValue:
        """Look once."""
        try:
            handle = self._found()
            self._poked = backend = self._poked or self._backend(handle.backend)
            status = backend.status(handle)
            news = [] if self.reschedule else backend.news(handle)  # another process would show all of it again
        except LMEvalError as error:
            fail(error)
        for line in filter(None, (self._progress.line(status), *news)):
            self.log.info("%s", line)
        if not State(status.state).ended:
            return PokeReturnValue(is_done=False)
        return PokeReturnValue(is_done=True, xcom_value=self._conclude(context, handle, status))

    def resume(self, context: Any, event: dict[str, Any], handle: dict[str, Any] | None = None) -> Any:
        """Take over from the trigger."""
        # a task that was deferred by an earlier release has no handle here
        known = Handle.parse(handle or self.handle)
        if event.get("run_id", known.run_id) != known.run_id:
            # SQLite gives a deleted trigger's id to the next one, so after a clear the old run's event may come here
            self.log.info("that was about run %s; run %s is still waited for", event["run_id"], known.run_id)
            return self.execute(context)
        if event["error"]:
            fail(BackendError(event["error"]))
        if event["timed_out"]:
            fail(BackendError(f"the run did not end within {self.timeout} s; it goes on"))
        return self._conclude(context, known.after(event), Status.from_json(event["status"]))

    def _conclude(self, context: Any, handle: Handle, status: Status) -> dict[str, Any]:
        backend = self._backend(handle.backend)
        found = conclude(context, backend, handle, status)
        try:
            backend.release(handle)
        except LMEvalError as error:
            self.log.warning("run %s: what it has left cannot be removed: %s", handle.run_id, error)
        return found

    def _found(self) -> Handle:
        """Return the run's handle.

        :raises BackendError: it is none, or there is no such LMEvalJob.
        """
        if self.lmevaljob is None:
            return Handle.parse(self.handle)
        if self._job is None:
            self._job = cast("LMEvalJobBackend", self._backend("lmevaljob")).foreign(self.lmevaljob)
        return self._job

    def _backend(self, name: str) -> Backend:
        return make_backend(LMEvalHook(self.lmeval_conn_id).settings, name, self.results_uri)
