"""``LMEvalOperator``: evaluates a model as a task.

It holds a spec and builds nothing until it executes. A constant spec is validated when the DAG file is parsed, a templated
one after rendering. While the evaluation runs the task is deferred and holds no worker slot; the run itself does not
depend on Airflow being up.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from airflow.sdk import BaseOperator

from airflow_provider_lmeval import _compat
from airflow_provider_lmeval.backends import Backend, Handle
from airflow_provider_lmeval.errors import BackendError, LMEvalError
from airflow_provider_lmeval.hooks.lmeval import LMEvalHook, make_backend
from airflow_provider_lmeval.operators.outcome import conclude, fail
from airflow_provider_lmeval.operators.specs import is_constant, parse_constant, parse_spec
from airflow_provider_lmeval.plan import equivalent_command, run_id
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.triggers.lmeval import LMEvalTrigger
from airflow_provider_lmeval.triggers.progress import ProgressLog
from airflow_provider_lmeval.wire import State, Status

REDEFERS = 2
"""How often a task waits again after its trigger crashed, before the run is stopped."""
TIMEOUT_MARGIN = timedelta(seconds=60)
"""How much later than the trigger's own deadline Airflow may end the deferral, should the trigger not do it."""


class LMEvalOperator(BaseOperator):
    """Evaluate a model with lm-evaluation-harness.

    XCom ``return_value``: ``{schema_version, run_id, backend, state, reason, cause, results: {task: {"metric,filter": value,
    "metric_stderr,filter": …}}, higher_is_better, n_samples, result_uri, fingerprint, seconds}``, pushed before anything
    raises. XCom ``handle``: names the run for :class:`~airflow_provider_lmeval.sensors.lmeval.LMEvalSensor`.

    :param spec: what to evaluate: an :class:`~airflow_provider_lmeval.spec.EvalSpec`, a mapping, or YAML text. (templated)
    :param backend: where to run it: ``local`` or ``memory``; default: the connection's or ``[lmeval] backend``. (templated)
    :param lmeval_conn_id: connection of type *LM Eval* that overrides the configuration.
    :param results_uri: where results are kept, instead of the configured place. (templated)
    :param wait_for_completion: wait for the run to end; otherwise return its handle for a sensor.
    :param deferrable: wait without holding a worker slot.
    :param poll_interval: seconds between two looks at the run; default ``[lmeval] poll_interval``.
    :raises SpecError: at parse time, for a constant spec that cannot be right.
    """

    template_fields: Sequence[str] = ("spec", "backend", "results_uri", "lmeval_conn_id")
    template_fields_renderers = {"spec": "json"}
    ui_color = "#e8f0fe"

    def __init__(
        self,
        *,
        spec: EvalSpec | Mapping[str, Any] | str,
        backend: str | None = None,
        lmeval_conn_id: str | None = None,
        results_uri: str | None = None,
        wait_for_completion: bool = True,
        deferrable: bool = True,
        poll_interval: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.spec = spec.to_data() if isinstance(spec, EvalSpec) else spec
        self.backend = backend
        self.lmeval_conn_id = lmeval_conn_id
        self.results_uri = results_uri
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self._run_id: str | None = None
        self._handle: Handle | None = None
        self._killed = False
        if is_constant(self.spec):
            parse_constant(self.spec)

    def execute(self, context: Any) -> Any:
        """Start the run, or find the one an earlier try has started, and wait for it."""
        try:
            handle = self._submit(context)
        except LMEvalError as error:
            fail(error)
        context["ti"].xcom_push(key="handle", value=handle.to_json())
        if not self.wait_for_completion:
            return handle.to_json()
        if self.deferrable:
            self._defer(context, handle)
        return self._wait(context, handle)

    def _submit(self, context: Any) -> Handle:
        spec, settings = parse_spec(self.spec), LMEvalHook(self.lmeval_conn_id).settings
        backend, ti = self._backend(), context["ti"]
        self._run_id = run_id(ti.dag_id, ti.run_id, ti.task_id, ti.map_index, ti.max_tries, spec.content_hash)
        self._refuse_if_killed()
        for problem in backend.check(spec, settings.grants):
            self.log.warning("%s [%s]", problem.message, problem.id)
        self._handle = handle = backend.submit(spec, self._run_id, settings.grants)
        self._refuse_if_killed()
        self.log.info("run %s on backend %s, results in %s", handle.run_id, backend.name, handle.result_uri)
        self.log.info("the same scores by hand: %s", shlex.join(equivalent_command(spec)))
        return handle

    def _backend(self) -> Backend:
        return make_backend(LMEvalHook(self.lmeval_conn_id).settings, self.backend, self.results_uri)

    def _refuse_if_killed(self) -> None:
        """Stop what was started while the task was being killed: Airflow calls ``on_kill`` and lets ``execute`` go on."""
        if self._killed:
            self._stop()
            raise BackendError("the task was killed; the run was stopped")

    def _defer(self, context: Any, handle: Handle) -> None:
        deadline = self._deadline(context)
        timeout = None
        if deadline is not None:
            timeout = timedelta(seconds=max(deadline - time.time(), 0)) + TIMEOUT_MARGIN
        try:
            self._refuse_if_killed()
        except BackendError as error:
            fail(error)
        settled = time.time() + _compat.deferral_settles_s()
        trigger = LMEvalTrigger(handle.to_json(), self.lmeval_conn_id, self._interval(), deadline, not_before=settled)
        self.defer(trigger=trigger, method_name="resume", kwargs={"handle": handle.to_json()}, timeout=timeout)

    def _deadline(self, context: Any) -> float | None:
        """Return the POSIX time at which ``execution_timeout`` ends, which Airflow does not enforce while deferred."""
        if self.execution_timeout is None:
            return None
        return float(context["ti"].start_date.timestamp() + self.execution_timeout.total_seconds())

    def _interval(self) -> float:
        return self.poll_interval or LMEvalHook(self.lmeval_conn_id).settings.poll_interval

    def resume(self, context: Any, event: dict[str, Any], handle: dict[str, Any]) -> Any:
        """Take over from the trigger: collect the result and push it."""
        self._handle = Handle.parse(handle)
        if event.get("run_id", self._handle.run_id) != self._handle.run_id:
            # SQLite gives a deleted trigger's id to the next one, so after a clear the old run's event may wake the new try
            self.log.info("that was about run %s; run %s goes on, waiting again", event["run_id"], self._handle.run_id)
            self._defer(context, self._handle)
        if event["error"]:
            self._give_up()
            fail(BackendError(event["error"]))
        status = Status.from_json(event["status"])
        try:
            found = conclude(context, self._backend(), self._handle, status)
        except Exception:
            if event["timed_out"]:
                fail(
                    BackendError(
                        f"execution_timeout: run {self._handle.run_id} was stopped after {self.execution_timeout}"
                    )
                )
            raise
        self._log_scores(found)
        return found

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Any) -> Any:
        """Handle a deferral that Airflow ended itself: wait again after a trigger's crash, else stop the run."""
        if next_method != "__fail__":
            return super().resume_execution(next_method, next_kwargs, context)
        handle = self._known_handle(context)
        crashed = "timeout" not in str((next_kwargs or {}).get("error", "")).lower()
        waited = int(context["ti"].xcom_pull(task_ids=self.task_id, key="redefers") or 0)
        if handle is not None:
            self._handle = handle
            if crashed and waited < REDEFERS:
                self.log.warning("the trigger crashed; run %s goes on, waiting again", handle.run_id)
                context["ti"].xcom_push(key="redefers", value=waited + 1)
                self._defer(context, handle)
            self._stop()
        return super().resume_execution(next_method, next_kwargs, context)

    def _known_handle(self, context: Any) -> Handle | None:
        data = context["ti"].xcom_pull(task_ids=self.task_id, key="handle")
        return Handle.parse(data) if data else None

    def _wait(self, context: Any, handle: Handle) -> Any:
        """Wait in the worker, for those who do not defer."""
        backend, progress = self._backend(), ProgressLog()
        try:
            while not State((status := backend.status(handle)).state).ended:
                if line := progress.line(status):
                    self.log.info("%s", line)
                time.sleep(self._interval())
        except LMEvalError as error:
            fail(error)
        found = conclude(context, backend, handle, status)
        self._log_scores(found)
        return found

    def _log_scores(self, found: dict[str, Any]) -> None:
        for task, metrics in found["results"].items():
            for name, value in metrics.items():
                if "_stderr" in name or value is None:
                    continue
                stderr = metrics.get(name.replace(",", "_stderr,", 1))
                self.log.info("%s %s = %.4f%s", task, name, value, "" if stderr is None else f" ± {stderr:.4f}")

    def on_kill(self) -> None:
        """Stop the run when the task is killed while it executes."""
        self._killed = True
        self._stop()

    def _give_up(self) -> None:
        """Stop a run that could not be followed any more, as far as it can be reached."""
        try:
            self._stop()
        except LMEvalError as error:
            self.log.warning("the run could not be stopped: %s", error)

    def _stop(self) -> None:
        backend = self._backend()
        handle = self._handle or (backend.find(self._run_id) if self._run_id else None)
        if handle is not None:
            self.log.info("stopping run %s", handle.run_id)
            backend.cancel(handle)
