"""``LMEvalOperator``: evaluates a model as a task.

It holds a spec and builds nothing until it executes. A constant spec is validated when the DAG file is parsed, a templated
one after rendering. While the evaluation runs the task is deferred and holds no worker slot; the run itself does not
depend on Airflow being up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from airflow.sdk import BaseOperator

from airflow_provider_lmeval.backends import Backend, Handle
from airflow_provider_lmeval.errors import LMEvalError, SpecError
from airflow_provider_lmeval.hooks.lmeval import LMEvalHook, make_backend
from airflow_provider_lmeval.operators.evidence import read_baseline
from airflow_provider_lmeval.operators.kubernetes import check_arguments, make_pod_operator
from airflow_provider_lmeval.operators.outcome import fail
from airflow_provider_lmeval.operators.publish import check_outputs, outputs_as_data, publish_and_tell
from airflow_provider_lmeval.operators.rules import as_data, parse_rules
from airflow_provider_lmeval.operators.running import Preflight, RunsEvaluation, check_preflight
from airflow_provider_lmeval.operators.specs import check_job, is_constant, parse_constant, parse_spec
from airflow_provider_lmeval.plan import Grants
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.wire import Status

if TYPE_CHECKING:
    from airflow_provider_lmeval.backends.lmevaljob.backend import LMEvalJobBackend
    from airflow_provider_lmeval.operators.kubernetes.pod import EvalPodOperator


class LMEvalOperator(RunsEvaluation, BaseOperator):
    """Evaluate a model with lm-evaluation-harness.

    XCom ``return_value``: ``{schema_version, run_id, backend, state, reason, cause, results: {task: {"metric,filter": value,
    "metric_stderr,filter": …}}, higher_is_better, n_samples, result_uri, fingerprint, seconds}``, pushed before anything
    raises. XCom ``handle``: names the run for :class:`~airflow_provider_lmeval.sensors.lmeval.LMEvalSensor`.

    :param spec: what to evaluate: an :class:`~airflow_provider_lmeval.spec.EvalSpec`, a mapping, or YAML text. (templated)
    :param backend: where to run it: ``local``, ``kubernetes``, ``lmevaljob`` or ``memory``; default: the connection's or
        ``[lmeval] backend``. (templated)
    :param lmeval_conn_id: connection of type *LM Eval* that overrides the configuration.
    :param results_uri: where results are kept, instead of the configured place. (templated)
    :param wait_for_completion: wait for the run to end; otherwise return its handle for a sensor.
    :param deferrable: wait without holding a worker slot.
    :param poll_interval: seconds between two looks at the run; default ``[lmeval] poll_interval``. A pod is watched.
    :param gate_rules: rules of the gate to come, as ``LMEvalGateOperator`` takes them: the log warns before anything runs
        if the evaluation is too small for them. (templated)
    :param gate_baseline: the gate's baseline, which knows how many documents there are. (templated)
    :param gpu: accelerators: how many, or ``{"count", "strategy"}``: how they share the evaluation. In Kubernetes the
        same as ``kubernetes["gpu"]``; a local run takes the first device without it.
    :param preflight: what is looked at before the run: True: the rules that need no run, whose warnings are logged, and in
        Kubernetes, if a GPU is asked for, a pod without one, which has to find the evaluation able to work; ``rules``: the
        rules alone; False: nothing is logged. What is wrong with the spec itself stops it in any case.
    :param kubernetes: for the backend ``kubernetes``: fields of :class:`~airflow_provider_lmeval.spec.pod.PodSettings` and
        any argument of KubernetesPodOperator. (those that are templated there)
    :param lmevaljob: for the backend ``lmevaljob``: fields of :class:`~airflow_provider_lmeval.spec.lmevaljob.LMEvalJobRun`.
        (templated)
    :param outputs: where to publish the result when it is stored, as ``LMEvalPublishOperator`` takes it. A failure is in the
        log and in XCom ``outputs``, and fails nothing. (templated)
    :raises SpecError: at parse time, for a constant spec that cannot be right.
    """

    template_fields: Sequence[str] = (
        "spec", "backend", "results_uri", "lmeval_conn_id", "gate_rules", "gate_baseline", "lmevaljob", "outputs",
    )  # fmt: skip
    template_fields_renderers = dict.fromkeys(("spec", "gate_rules", "gate_baseline", "lmevaljob", "outputs"), "json")
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
        gate_rules: Any | None = None,
        gate_baseline: Mapping[str, Any] | str | Any | None = None,
        gpu: int | Mapping[str, Any] | None = None,
        kubernetes: Mapping[str, Any] | None = None,
        lmevaljob: Mapping[str, Any] | None = None,
        outputs: Sequence[Mapping[str, Any] | Any] | Any = (),
        preflight: Preflight = True,
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
        self.preflight = check_preflight(preflight)
        self.gate_rules = as_data(gate_rules)
        self.gate_baseline = gate_baseline
        self.gpu = gpu
        self.kubernetes = ({} if gpu is None else {"gpu": gpu}) | dict(kubernetes or {})
        self.lmevaljob = dict(lmevaljob or {})
        self.outputs = outputs_as_data(outputs)
        self._inner: EvalPodOperator | None = None
        if is_constant(self.spec):
            parse_constant(self.spec)
        check_arguments(self.kubernetes)
        check_job(self.spec, self.backend, self.lmevaljob)
        check_outputs(self.outputs)
        if self.outputs and not wait_for_completion:
            raise SpecError(
                "outputs: nobody publishes without wait_for_completion; use LMEvalPublishOperator after the sensor"
            )

    def execute(self, context: Any) -> Any:
        """Start the run, or find the one an earlier try has started, and wait for it."""
        if self.gate_rules is not None or self.gate_baseline is not None:
            self._foresee()
        try:
            handle = self._submit(context)
        except LMEvalError as error:
            fail(error)
        return self._follow(context, handle)

    def _follow(self, context: Any, handle: Handle) -> Any:
        """Wait for a run, or for the preflight before it, which is waited for in any case."""
        if not self.wait_for_completion and not handle.precedes:
            return handle.to_json()
        if self.deferrable:
            self._defer(context, handle)
        return self._go_on(context, handle, self._wait(handle))

    def _go_on(self, context: Any, handle: Handle, status: Status, event: Mapping[str, Any] | None = None) -> Any:
        """Conclude what has ended: the run, or its preflight, after which the run begins."""
        if not handle.precedes:
            return self._finish(context, handle, status, event)
        self._inner = make_pod_operator(self, context)
        self._inner._killed = self._killed
        self._handle = self._inner.after_preflight(context, handle, status, event)
        return self._follow(context, self._handle)

    def _foresee(self) -> None:
        """Warn if the gate will not be able to decide. Whatever cannot be known here is no reason to stop."""
        from airflow_provider_lmeval.gate.preflight import preflight

        try:
            rules, past = parse_rules(self.gate_rules), read_baseline(self.gate_baseline, self.lmeval_conn_id)
            warnings = preflight(parse_spec(self.spec), rules, past.result if past else None)
        except LMEvalError as error:
            self.log.warning("nobody knows yet whether the gate will be able to decide: %s", error)
            return
        for warning in warnings:
            self.log.warning("%s [power]", warning)

    def resume(self, context: Any, event: dict[str, Any], handle: dict[str, Any]) -> Any:
        """Take over from the trigger: collect the result and push it."""
        found = self._woken(context, event, handle)
        return self._go_on(context, found, Status.from_json(event["status"]), event)

    def _backend(self) -> Backend:
        settings = LMEvalHook(self.lmeval_conn_id).settings
        return make_backend(settings, self.backend, self.results_uri, gpu=self.gpu, job=self.lmevaljob)

    def _start(self, context: Any, backend: Backend, spec: EvalSpec, name: str, grants: Grants) -> Handle:
        if backend.name == "lmevaljob":
            from airflow_provider_lmeval.backends.kubernetes.runs import TaskRun

            ti = context["ti"]
            owner = (ti.dag_id, ti.run_id, ti.task_id, str(ti.map_index)) if self.wait_for_completion else ()
            cast("LMEvalJobBackend", backend).task = TaskRun(max_tries=ti.max_tries, owner=owner)
        return super()._start(context, backend, spec, name, grants)

    def _submit(self, context: Any) -> Handle:
        if (self.backend or LMEvalHook(self.lmeval_conn_id).settings.backend) != "kubernetes":
            return super()._submit(context)
        self._inner = make_pod_operator(self, context)
        self._inner._killed = self._killed
        self._handle = self._inner._submit(context)
        return self._handle

    def _finish(self, context: Any, handle: Handle, status: Status, event: Mapping[str, Any] | None = None) -> Any:
        if handle.backend == "kubernetes":
            found = make_pod_operator(self, context).finish(context, handle, status, event)
        else:
            found = self._collect(context, handle, status, event)
        if self.outputs:
            self._publish(context, found)
        return found

    def _collect(self, context: Any, handle: Handle, status: Status, event: Mapping[str, Any] | None) -> dict[str, Any]:
        timed_out, backend = bool(event and event["timed_out"]), self._backend()
        found = self._conclude(context, backend, handle.after(event), status, timed_out=timed_out)
        self._release(backend, handle)
        return found

    def _release(self, backend: Backend, handle: Handle) -> None:
        """Let go of a run whose result is stored; what cannot be removed is no reason to fail."""
        try:
            backend.release(handle)
        except LMEvalError as error:
            self.log.warning("run %s: what it has left cannot be removed: %s", handle.run_id, error)

    def _publish(self, context: Any, found: dict[str, Any]) -> None:
        """Publish a result that is stored and in XCom: from here on, nothing can make the evaluation a failure."""
        try:
            context["ti"].xcom_push(key="outputs", value=publish_and_tell(self.log, found, self.outputs))
        except LMEvalError as error:
            self.log.error("nothing was published: %s", error)
            context["ti"].xcom_push(key="outputs", value=[{"error": str(error)}])

    def on_kill(self) -> None:
        """Stop the run when the task is killed while it executes."""
        self._killed = True
        if self._inner is not None:
            self._inner.on_kill()
        else:
            super().on_kill()
