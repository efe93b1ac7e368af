"""A pod without a GPU before the pod with one: the operator's part of the preflight.

The two are runs of their own, each with its pod, its handle and its deferral, so that following, cancelling, reaping and
reattaching need nothing new. What ties them together is checked at the API server: a run that has a pod, whoever has
created it, is never looked at again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator
from airflow.providers.cncf.kubernetes.utils.pod_manager import OnKillAction

from airflow_provider_lmeval.backends import Handle
from airflow_provider_lmeval.backends.kubernetes.launch import Launch
from airflow_provider_lmeval.backends.kubernetes.preflight import as_preflight, check_passed
from airflow_provider_lmeval.backends.kubernetes.runs import Prepared
from airflow_provider_lmeval.backends.kubernetes.view import PodView
from airflow_provider_lmeval.errors import BackendError, LMEvalError
from airflow_provider_lmeval.operators.outcome import fail, push_failure
from airflow_provider_lmeval.plan import Grants
from airflow_provider_lmeval.plan.names import preflight_id
from airflow_provider_lmeval.plan.pod import renamed
from airflow_provider_lmeval.plan.preflight_pod import asks_for_devices, preflight_given, without_devices
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.wire import Status

if TYPE_CHECKING:
    from airflow_provider_lmeval.backends.kubernetes.backend import KubernetesBackend
    from airflow_provider_lmeval.backends.kubernetes.evidence import Evidence
    from airflow_provider_lmeval.operators.kubernetes.pod import EvalPodOperator

REPORT_KEY = "preflight"
"""XCom: the checks of a preflight, each with ``id``, ``finding``, ``found``, ``cause`` and ``remedy``."""


def look_ahead(
    operator: EvalPodOperator, context: Any, pods: KubernetesBackend, spec: EvalSpec, grants: Grants, run: Prepared
) -> Handle | None:
    """Start the preflight of a run, or find it; None if the run needs none, or none any more.

    :param run: the run, prepared.
    """
    wanted = operator.preflight is True and not operator._passed and not spec.warm_up
    if not wanted or not asks_for_devices(pods.settings, operator._given):
        return None
    ti = context["ti"]
    task = replace(run.task, owner=(ti.dag_id, ti.run_id, ti.task_id, str(ti.map_index)))
    prepared = as_preflight(pods.prepare(spec, preflight_id(run.run_id), grants, task), run.run_id)
    pod = pods.launch(_launch(operator, context, pods, prepared))
    if not PodView.of(pod).precedes:
        operator.log.info("run %s has a pod: no preflight", run.run_id)
        return None
    keep_on_kill = operator.on_kill_action == OnKillAction.KEEP_POD
    keep = operator._keeps(succeeded=False)
    return pods.handle(prepared.run_id, pod, keep=keep, keep_on_kill=keep_on_kill, precedes=run.run_id)


def _launch(operator: EvalPodOperator, context: Any, pods: KubernetesBackend, prepared: Prepared) -> Launch:
    whole, namespace = pods.settings, pods.namespace
    described = _described(operator, context, prepared, preflight_given(operator._given, whole))
    manifest = without_devices(described, whole)
    return Launch(
        run_id=prepared.run_id,
        namespace=namespace,
        stem=manifest["metadata"]["name"].rpartition("-")[0],
        packed=prepared.packed,
        manifest=lambda name: renamed(manifest, name),
        companions=tuple(prepared.companions(namespace)),
        adopt=operator.reattach_on_restart,
        keep_ended=operator._keeps(succeeded=False),
        killed=lambda: operator._killed,
        precedes=prepared.precedes,
    )


def _described(operator: EvalPodOperator, context: Any, prepared: Prepared, given: dict[str, Any]) -> dict[str, Any]:
    """Return the manifest that KubernetesPodOperator makes of the preflight's pod, and leave everything as it was."""
    before = operator.name, operator._prepared, operator._given, operator.full_pod_spec
    stem = f"{operator.name or prepared.precedes}-preflight"
    operator.name, operator._prepared, operator._given = stem, prepared, given
    try:
        described: dict[str, Any] = PodGenerator.serialize_pod(operator.build_pod_request_obj(context))
    finally:
        operator.name, operator._prepared, operator._given, operator.full_pod_spec = before
    return described


def after_preflight(
    operator: EvalPodOperator, context: Any, handle: Handle, status: Status, event: Mapping[str, Any] | None
) -> Handle:
    """Show what a preflight has found, remove its pod, and start the run.

    :param handle: of the preflight. :param status: its last. :param event: of the trigger, if there was one.
    :raises AirflowException: the run would fail, or nobody knows.
    """
    pods, handle = operator._pods(), handle.after(event)
    found = operator._evidence(pods, handle)
    operator._show(found)
    try:
        if event and event["timed_out"]:
            raise BackendError(f"execution_timeout: the preflight of run {handle.precedes} was stopped")
        _judge(operator, context, pods, handle, status, found)
    except LMEvalError as error:
        push_failure(context, pods, handle, status, error)
        operator._tell_events(pods, handle, status.cause)
        operator._clean_up(pods, handle, found.view, succeeded=False)
        fail(error)
    operator._clean_up(pods, handle, found.view, succeeded=True)
    operator._passed = True
    run = operator.submit(context)
    if run.run_id != handle.precedes:
        operator.log.warning("this is not the spec that was looked at: its templates say something else each time")
    return run


def _judge(
    operator: EvalPodOperator, context: Any, pods: KubernetesBackend, handle: Handle, status: Status, found: Evidence
) -> None:
    """Tell in XCom what was found.

    :raises LMEvalError: the run must not begin.
    """
    try:
        report = check_passed(handle.precedes, status, found)
    except LMEvalError:
        if pods.find(handle.precedes) is None:
            raise
        operator.log.info("run %s has begun meanwhile: another try has seen its preflight pass", handle.precedes)
        return
    if report is None:
        operator.log.warning("the preflight has passed, and its report cannot be read: %s", "; ".join(found.gaps))
    else:
        context["ti"].xcom_push(key=REPORT_KEY, value=report.checks)
