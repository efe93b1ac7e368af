"""What the operators that run an evaluation have in common: starting it, deferring, waking up, giving up, being killed."""

from __future__ import annotations

import shlex
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_lmeval import _compat
from airflow_provider_lmeval.backends import Backend, Handle
from airflow_provider_lmeval.errors import BackendError, LMEvalError, SpecError
from airflow_provider_lmeval.hooks.lmeval import LMEvalHook, make_backend
from airflow_provider_lmeval.operators.outcome import conclude, fail
from airflow_provider_lmeval.operators.specs import parse_spec
from airflow_provider_lmeval.plan import Grants, run_id
from airflow_provider_lmeval.plan.batch import administered
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.triggers.choice import make_trigger
from airflow_provider_lmeval.triggers.progress import ProgressLog
from airflow_provider_lmeval.wire import State, Status

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator as _Operator
else:
    _Operator = object

Preflight = bool | Literal["rules"]
"""What is looked at before a run: everything, the rules that need no run, or nothing."""
PREFLIGHT_KEY = "preflight_handle"
"""XCom: finds a preflight that goes on. Not ``handle``, which a sensor takes for a run."""
REDEFERS = 2
"""How often a task waits again after its trigger crashed, before the run is stopped."""
TIMEOUT_MARGIN = timedelta(seconds=60)
"""How much later than the trigger's own deadline Airflow may end the deferral, should the trigger not do it."""


def check_preflight(value: Any) -> Preflight:
    """Return what was asked to be looked at before a run.

    :raises SpecError: it is none of what there is.
    """
    if isinstance(value, bool):
        return value
    if value == "rules":
        return "rules"
    raise SpecError(
        f"preflight: found {value!r}; give True (the rules, and in Kubernetes a look before a GPU is asked for), 'rules' "
        "(the rules alone) or False"
    )


class RunsEvaluation(_Operator):
    """Mix-in for an operator that starts a run and waits for it.

    It defers to ``resume_method`` with the keyword argument ``handle``. XCom ``handle`` names the run, so that the operator
    finds it again in another process.
    """

    spec: Any
    results_uri: str | None
    lmeval_conn_id: str | None
    poll_interval: Any
    backend: str | None = None
    gpu: Any = None
    preflight: Preflight = True
    resume_method = "resume"
    _passed = False
    _run_id: str | None = None
    _handle: Handle | None = None
    _killed = False

    def _backend(self) -> Backend:
        return make_backend(LMEvalHook(self.lmeval_conn_id).settings, self.backend, self.results_uri, gpu=self.gpu)

    def _start(self, context: Any, backend: Backend, spec: EvalSpec, name: str, grants: Grants) -> Handle:  # noqa: ARG002
        """Start the run, or find it.

        :param name: of the run.
        """
        return backend.submit(spec, name, grants)

    def _interval(self) -> float:
        return float(self.poll_interval or LMEvalHook(self.lmeval_conn_id).settings.poll_interval)

    def _submit(self, context: Any) -> Handle:
        """Check the spec, and start its run or find the one that an earlier try has started."""
        settings = LMEvalHook(self.lmeval_conn_id).settings
        spec, told = administered(parse_spec(self.spec), settings.batch, detect_device=settings.detect_device)
        for line in told:
            self.log.warning("%s", line)
        grants = settings.grants
        backend, ti = self._backend(), context["ti"]
        self._run_id = run_id(ti.dag_id, ti.run_id, ti.task_id, ti.map_index, ti.max_tries, spec.content_hash)
        self._refuse_if_killed()
        found = backend.check(spec, grants)
        for problem in found if self.preflight and not self._passed else ():
            self.log.warning("%s [%s]", problem.message, problem.id)
        self._handle = handle = self._start(context, backend, spec, self._run_id, grants)
        self._refuse_if_killed()
        self._announce(context, backend, spec, handle)
        return handle

    def _announce(self, context: Any, backend: Backend, spec: EvalSpec, handle: Handle) -> None:
        """Say what was started, and keep what finds it again."""
        if handle.precedes:
            self.log.info("preflight of run %s: %s", handle.precedes, "no GPU is asked for before it has passed")
            context["ti"].xcom_push(key=PREFLIGHT_KEY, value=handle.to_json())
            return
        self.log.info("run %s on backend %s, results in %s", handle.run_id, backend.name, handle.result_uri)
        self.log.info("the same scores by hand: %s", shlex.join(backend.command(spec)))
        context["ti"].xcom_push(key="handle", value=handle.to_json())

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
        trigger = make_trigger(handle, self.lmeval_conn_id, self._interval(), deadline, not_before=settled)
        arguments = {"handle": handle.to_json()}
        self.defer(trigger=trigger, method_name=self.resume_method, kwargs=arguments, timeout=timeout)

    def _deadline(self, context: Any) -> float | None:
        """Return the POSIX time at which ``execution_timeout`` ends, which Airflow does not enforce while deferred."""
        if self.execution_timeout is None:
            return None
        return float(context["ti"].start_date.timestamp() + self.execution_timeout.total_seconds())

    def _woken(self, context: Any, event: dict[str, Any], handle: dict[str, Any]) -> Handle:
        """Return the run that an event is about; wait again if it is another one's, fail if the trigger lost sight of it."""
        self._handle = found = Handle.parse(handle)
        if event.get("run_id", found.run_id) != found.run_id:
            # SQLite gives a deleted trigger's id to the next one, so after a clear the old run's event may wake the new try
            self.log.info("that was about run %s; run %s goes on, waiting again", event["run_id"], found.run_id)
            self._defer(context, found)
        if event["error"]:
            self._give_up()
            fail(BackendError(event["error"]))
        return found

    def _wait(self, handle: Handle) -> Status:
        """Wait in the worker, for those who do not defer, and return the run's last status."""
        backend, progress = self._backend(), ProgressLog()
        try:
            while not State((status := backend.status(handle)).state).ended:
                if line := progress.line(status):
                    self.log.info("%s", line)
                self._tell_news(backend, handle)
                time.sleep(self._interval())
            self._tell_news(backend, handle)
        except LMEvalError as error:
            fail(error)
        return status

    def _tell_news(self, backend: Backend, handle: Handle) -> None:
        for line in backend.news(handle):
            self.log.info("%s", line)

    def _conclude(
        self, context: Any, backend: Backend, handle: Handle, status: Status, *, timed_out: bool = False
    ) -> dict[str, Any]:
        """Push what became of the run, and return it or raise why it is nothing."""
        try:
            found = conclude(context, backend, handle, status)
        except Exception:
            if timed_out:
                took = f"run {handle.run_id} was stopped after {self.execution_timeout}"
                fail(BackendError(f"execution_timeout: {took}"))
            raise
        self._log_scores(found)
        return found

    def _log_scores(self, found: dict[str, Any]) -> None:
        for task, metrics in found["results"].items():
            for name, value in metrics.items():
                if "_stderr" in name or value is None:
                    continue
                stderr = metrics.get(name.replace(",", "_stderr,", 1))
                self.log.info("%s %s = %.4f%s", task, name, value, "" if stderr is None else f" ± {stderr:.4f}")

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
        keys = ("handle", PREFLIGHT_KEY)
        found = (context["ti"].xcom_pull(task_ids=self.task_id, key=key) for key in keys)
        return next((Handle.parse(data) for data in found if data), None)

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
