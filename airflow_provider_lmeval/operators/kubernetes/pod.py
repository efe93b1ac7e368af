"""``EvalPodOperator``: KubernetesPodOperator for evaluations.

``LMEvalOperator`` builds one when it executes. In a DAG file it is for those who want KubernetesPodOperator's arguments in
their own place and can afford its import (seconds, in every task process). What users know of that operator holds: its
arguments, labels, templates, secrets, callbacks, ``on_finish_action``. What is different: the pod is found and never started
twice, watched instead of polled, deleted by UID, and its results are collected before anything is raised.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from airflow.providers.cncf.kubernetes.callbacks import ExecutionMode
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator
from airflow.providers.cncf.kubernetes.utils.pod_manager import OnFinishAction, OnKillAction

from airflow_provider_lmeval.backends import Backend, Handle
from airflow_provider_lmeval.backends.kubernetes.cluster import DEFAULT_CONN_ID, Cluster
from airflow_provider_lmeval.backends.kubernetes.collect import in_log
from airflow_provider_lmeval.backends.kubernetes.evidence import Evidence
from airflow_provider_lmeval.backends.kubernetes.launch import Launch
from airflow_provider_lmeval.backends.kubernetes.runs import PodRef, Prepared, TaskRun
from airflow_provider_lmeval.backends.kubernetes.view import PodView
from airflow_provider_lmeval.errors import LMEvalError
from airflow_provider_lmeval.hooks.lmeval import LMEvalHook, make_backend
from airflow_provider_lmeval.operators.kubernetes.manifest import given_pod
from airflow_provider_lmeval.operators.kubernetes.preflight import after_preflight, look_ahead
from airflow_provider_lmeval.operators.outcome import fail
from airflow_provider_lmeval.operators.running import Preflight, RunsEvaluation, check_preflight
from airflow_provider_lmeval.plan import Grants, pod_name
from airflow_provider_lmeval.plan.pod import renamed
from airflow_provider_lmeval.plan.pod_volumes import data_mounts
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.wire import CLUSTER_CAUSES, Cause, Reason, Status

if TYPE_CHECKING:
    from airflow_provider_lmeval.backends.kubernetes.backend import KubernetesBackend

OUT_OF_MEMORY_KEY = "lmeval_out_of_memory"
"""In the task's state store (Airflow 3.3): how many tries ran out of memory."""
SAME = {
    "startup_timeout_seconds": "startup_timeout",
    "schedule_timeout_seconds": "scheduling_timeout",
    "termination_grace_period": "grace_period",
}
"""Arguments of KubernetesPodOperator that set one of ours."""


class EvalPodOperator(RunsEvaluation, KubernetesPodOperator):
    """Evaluate a model in a pod.

    XComs as of :class:`~airflow_provider_lmeval.operators.lmeval.LMEvalOperator`, and ``pod_name``, ``pod_namespace``,
    ``image_id``: what the node has pulled for the evaluation, with its digest.

    :param spec: what to evaluate: an ``EvalSpec``, a mapping, or YAML text. (templated)
    :param pod_settings: fields of :class:`~airflow_provider_lmeval.spec.pod.PodSettings`. (templated)
    :param results_uri: where results are kept, instead of the configured place. (templated)
    :param lmeval_conn_id: connection of type *LM Eval* that overrides the configuration. (templated)
    :param preflight: as of :class:`~airflow_provider_lmeval.operators.lmeval.LMEvalOperator`.
    """

    template_fields: Sequence[str] = (
        *KubernetesPodOperator.template_fields, "spec", "pod_settings", "results_uri", "lmeval_conn_id",
    )  # fmt: skip
    detached = False
    """The run outlives the task: it is no orphan when the task has ended."""
    backend = "kubernetes"
    resume_method = "trigger_reentry"

    def __init__(
        self,
        *,
        spec: EvalSpec | Mapping[str, Any] | str,
        pod_settings: Mapping[str, Any] | None = None,
        results_uri: str | None = None,
        lmeval_conn_id: str | None = None,
        preflight: Preflight = True,
        **kwargs: Any,
    ) -> None:
        given: dict[str, Any] = {"termination_message_policy": "FallbackToLogsOnError", "deferrable": True} | kwargs
        super().__init__(**given | {"do_xcom_push": False, "log_pod_spec_on_failure": False})
        self.spec = spec.to_data() if isinstance(spec, EvalSpec) else spec
        self.pod_settings = {ours: given[its] for its, ours in SAME.items() if given.get(its) is not None}
        self.pod_settings |= pod_settings or {}
        self.results_uri = results_uri
        self.lmeval_conn_id = lmeval_conn_id
        self.preflight = check_preflight(preflight)
        self._prepared: Prepared | None = None
        self._given: dict[str, Any] = {}
        self._context: Any = None

    # -- starting

    def execute_async(self, context: Any) -> None:
        """Start the pod, or find it, and wait for it without a worker slot."""
        self._defer(context, self.submit(context))

    def execute_sync(self, context: Any) -> Any:
        """Start the pod, or find it, and wait for it in the worker."""
        handle = self.submit(context)
        if handle.precedes:
            handle = self.after_preflight(context, handle, self._wait(handle))
        return self.finish(context, handle, self._wait(handle))

    def submit(self, context: Any) -> Handle:
        """Start the pod, or find it.

        :raises AirflowException: it cannot be started.
        """
        try:
            return self._submit(context)
        except LMEvalError as error:
            fail(error)

    def _backend(self) -> Backend:
        return self._pods()

    def _pods(self) -> KubernetesBackend:
        settings = LMEvalHook(self.lmeval_conn_id).settings
        if self.kubernetes_conn_id == DEFAULT_CONN_ID:
            self.kubernetes_conn_id = settings.kubernetes_conn_id
        cluster = Cluster(self.kubernetes_conn_id, self.in_cluster, self.cluster_context, self.config_file)
        own = {**self.pod_settings, "namespace": self.namespace}
        backend = make_backend(settings, self.backend, self.results_uri, pod=own, cluster=cluster)
        return cast("KubernetesBackend", backend)

    def _start(self, context: Any, backend: Backend, spec: EvalSpec, name: str, grants: Grants) -> Handle:
        pods, ti = cast("KubernetesBackend", backend), context["ti"]
        if pods.has_succeeded(name):
            self.log.info("run %s has succeeded before; its result is stored", name)
            return pods.handle(name)
        limit = self.execution_timeout
        task = TaskRun(
            max_tries=ti.max_tries,
            owner=() if self.detached else (ti.dag_id, ti.run_id, ti.task_id, str(ti.map_index)),
            timeout_s=limit.total_seconds() if limit else None,
            out_of_memory=self._out_of_memory(context),
        )
        self._given = given = self._given or given_pod(self)  # which takes the arguments away
        grants = replace(grants, data_roots=(*grants.data_roots, *data_mounts(given)))
        self._prepared = pods.prepare(spec, name, grants, task)
        if (ahead := look_ahead(self, context, pods, spec, grants, self._prepared)) is not None:
            return ahead
        self.pod_request_obj = self.build_pod_request_obj(context)
        self._call_back("on_pod_manifest_created", context, pod_request=self.pod_request_obj)
        self.pod = self.get_or_create_pod(self.pod_request_obj, context)
        self._call_back("on_pod_creation", context, pod=self.pod)
        ti.xcom_push(key="pod_name", value=self.pod.metadata.name)
        ti.xcom_push(key="pod_namespace", value=self.pod.metadata.namespace)
        created = PodGenerator.serialize_pod(self.pod)
        keep_on_kill = self.on_kill_action == OnKillAction.KEEP_POD
        return pods.handle(name, created, keep=self._keeps(succeeded=False), keep_on_kill=keep_on_kill)

    def build_pod_request_obj(self, context: Any = None, **options: Any) -> Any:
        """Return the user's pod, completed by what an evaluation needs.

        :param options: of KubernetesPodOperator's method of this name; not all of its releases have any.
        """
        if (prepared := self._prepared) is not None:
            stem, namespace = self.name or prepared.run_id, self._pods().namespace
            self.name, self.random_name_suffix, self.namespace = pod_name(stem, prepared.run_id), False, namespace
            complete = prepared.manifest(self.name, namespace, self._given, self.base_container_name)
            self.full_pod_spec = PodGenerator.deserialize_model_dict(complete)
        return super().build_pod_request_obj(context, **options)

    def get_or_create_pod(self, pod_request_obj: Any, context: Any) -> Any:
        """Return the run's pod as the API server has it, created or adopted."""
        manifest, prepared = PodGenerator.serialize_pod(pod_request_obj), self._prepared
        assert prepared is not None  # noqa: S101 - submit has prepared it
        wanted = Launch(
            run_id=prepared.run_id,
            namespace=manifest["metadata"]["namespace"],
            stem=manifest["metadata"]["name"].rpartition("-")[0],
            packed=prepared.packed,
            manifest=lambda name: renamed(manifest, name),
            companions=tuple(prepared.companions(manifest["metadata"]["namespace"])),
            adopt=self.reattach_on_restart,
            keep_ended=self._keeps(succeeded=False),
            killed=lambda: self._killed,
        )
        pod = PodGenerator.deserialize_model_dict(self._pods().launch(wanted))
        if self.reattach_on_restart:
            self._persist_pod_identity_to_task_state_store(context, pod)
        return pod

    # -- ending

    def trigger_reentry(self, context: Any, event: dict[str, Any], handle: dict[str, Any] | None = None) -> Any:
        """Take over from the trigger."""
        found = self._woken(context, event, handle or {})
        if found.precedes:
            self._defer(context, self.after_preflight(context, found, Status.from_json(event["status"]), event))
        return self.finish(context, found, Status.from_json(event["status"]), event)

    def after_preflight(
        self, context: Any, handle: Handle, status: Status, event: Mapping[str, Any] | None = None
    ) -> Handle:
        """Take over from a preflight: start the run if it may begin, else raise why it must not."""
        return after_preflight(self, context, handle, status, event)

    def finish(self, context: Any, handle: Handle, status: Status, event: Mapping[str, Any] | None = None) -> Any:
        """Show the log, collect the result, remove the pod, and return the scores or raise why there are none.

        :param event: of the trigger; what it saw of the pod may be all there is.
        """
        pods, handle = self._pods(), handle.after(event)
        found = self._evidence(pods, handle)
        self._show(found)
        if found.view is not None and found.view.image_id:
            context["ti"].xcom_push(key="image_id", value=found.view.image_id)
        self.pod = self._model(found.view)
        self._call_back("on_pod_completion", context, pod=self.pod)
        self._call_back("on_pod_teardown", context, pod=self.pod)
        succeeded = False
        try:
            summary = self._conclude(context, pods, handle, status, timed_out=bool(event and event["timed_out"]))
            succeeded = summary["reason"] == Reason.SUCCEEDED
            return summary
        finally:
            if not succeeded:
                self._look_into(context, pods, handle, status, found)
            self._clean_up(pods, handle, found.view, succeeded=succeeded)
            self._call_back("on_pod_cleanup", context, pod=self.pod)

    def _evidence(self, pods: KubernetesBackend, handle: Handle) -> Evidence:
        try:
            return pods.evidence(handle)
        except LMEvalError as error:
            self.log.warning("run %s: its pod cannot be looked at: %s", handle.run_id, error)
            return Evidence(PodRef.of(handle).seen, gaps=(str(error),))

    def _show(self, found: Evidence) -> None:
        """Put the container's log into the task's."""
        for gap in found.gaps:
            self.log.warning("%s", gap)
        if self.get_logs:
            ahead = found.view is not None and found.view.precedes
            for line in found.lines:
                self.log.info("[%s] %s", "preflight" if ahead else self.base_container_name, line)

    def _look_into(
        self, context: Any, pods: KubernetesBackend, handle: Handle, status: Status, found: Evidence
    ) -> None:
        """Note what the next try has to know, and tell what Kubernetes' events say."""
        said = in_log(found, status)
        cause = said.cause if said else status.cause
        store = context.get("task_state_store")
        if cause == Cause.OUT_OF_MEMORY and store is not None:
            store.set(OUT_OF_MEMORY_KEY, self._out_of_memory(context) + 1)
        self._tell_events(pods, handle, cause)

    def _tell_events(self, pods: KubernetesBackend, handle: Handle, cause: str | None) -> None:
        pod = PodRef.of(handle)
        if pod.name and (self.log_events_on_failure or cause in CLUSTER_CAUSES):
            try:
                for line in pods.call(lambda api: api.patient(0).warnings(pod.namespace, pod.uid), handle):
                    self.log.warning("event %s", line)
            except LMEvalError as error:
                self.log.warning("its events cannot be read: %s", error)

    def _out_of_memory(self, context: Any) -> int:
        store = context.get("task_state_store")
        return int(store.get(OUT_OF_MEMORY_KEY) or 0) if store is not None else 0

    def _keeps(self, *, succeeded: bool) -> bool:
        """Whether ``on_finish_action`` leaves a pod that has ended."""
        if self.on_finish_action == OnFinishAction.DELETE_SUCCEEDED_POD:
            return not succeeded
        return self.on_finish_action in (OnFinishAction.KEEP_POD, OnFinishAction.DELETE_ACTIVE_POD)

    def _clean_up(self, pods: KubernetesBackend, handle: Handle, view: PodView | None, *, succeeded: bool) -> None:
        """Remove or mark the pod; whatever goes wrong now, the task's outcome stands."""
        keeps = self._keeps(succeeded=succeeded) and view is not None and view.ended
        handle = replace(handle, where=handle.where | {"keep": keeps})
        try:
            pods.release(handle)
            if succeeded:
                pods.release_claims(handle)
        except LMEvalError as error:
            self.log.warning("the pod of run %s, or a claim of it, is left where it is: %s", handle.run_id, error)

    def _model(self, view: PodView | None) -> Any:
        """Return the pod as the generated client has it, for callbacks, or None if it is gone."""
        from kubernetes.client.exceptions import ApiException

        if not self.callbacks or view is None or view.deleted:
            return None
        try:
            return self.hook.get_pod(view.name, view.namespace)
        except ApiException as error:
            self.log.warning("callbacks get no pod: %s", error.reason)
            return None

    def _call_back(self, event: str, context: Any, **arguments: Any) -> None:
        """Tell the user's callbacks, in KubernetesPodOperator's way."""
        for callback in self.callbacks:
            common = {"client": self.client, "mode": ExecutionMode.SYNC, "context": context, "operator": self}
            getattr(callback, event)(**arguments, **common)

    def on_kill(self) -> None:
        """Stop the pod when the task is killed while it executes."""
        self._killed = True
        if self.on_kill_action == OnKillAction.KEEP_POD:
            self.log.info("the pod is left running, as on_kill_action says")
            return
        self._stop()
