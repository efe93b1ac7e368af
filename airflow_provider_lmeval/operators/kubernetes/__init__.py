"""The operators' Kubernetes part, in two halves.

This one is light: it takes ``kubernetes={…}`` apart and checks what can be checked when a DAG file is parsed. The other,
:mod:`.pod`, holds ``EvalPodOperator``; it imports KubernetesPodOperator, which takes longer than everything else in a DAG
file together, so :func:`make_pod_operator` imports it when a task executes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_lmeval.errors import SpecError
from airflow_provider_lmeval.operators.specs import constants

if TYPE_CHECKING:
    from airflow_provider_lmeval.operators.kubernetes.pod import EvalPodOperator
    from airflow_provider_lmeval.operators.lmeval import LMEvalOperator

KUBERNETES_OWN = frozenset(
    {
        "active_deadline_seconds", "affinity", "annotations", "image", "image_pull_policy", "image_pull_secrets", "labels",
        "namespace", "node_selector", "priority_class_name", "service_account_name", "tolerations",
    }
)  # fmt: skip
"""Pod settings that are arguments of KubernetesPodOperator as well: it gets them, in all the forms it knows."""
REFUSED = {
    "deferrable": "set it on the operator",
    "do_xcom_push": "results need no sidecar: they come by the store or the log",
    "execution_timeout": "set it on the operator",
    "poll_interval": "pods are watched, not polled",
    "skip_on_exit_code": "which failures are worth another try follows from their cause",
    "cmds": "the driver is what runs; for another interpreter set python",
    "arguments": "the driver is what runs; its request is made from the spec",
    "task_id": "set it on the operator",
}
"""Arguments of KubernetesPodOperator that an evaluation has no use for, and why."""


def split(arguments: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the fields of ``PodSettings`` and the arguments of KubernetesPodOperator."""
    from airflow_provider_lmeval.spec.pod import PodSettings

    ours = PodSettings.model_fields.keys() - KUBERNETES_OWN
    secrets = arguments.get("image_pull_secrets")
    if secrets and all(isinstance(name, str) for name in secrets):  # KubernetesPodOperator takes objects only
        ours |= {"image_pull_secrets"}
    pod = {name: value for name, value in arguments.items() if name in ours}
    return pod, {name: value for name, value in arguments.items() if name not in ours}


def check_arguments(arguments: Mapping[str, Any]) -> None:
    """Check ``kubernetes={…}`` when the DAG file is parsed, as far as it is constant.

    :raises SpecError: an argument that has no use here, or a pod setting with a wrong value.
    """
    if not arguments:
        return
    from airflow_provider_lmeval.spec.pod import PodSettings

    for name in arguments.keys() & REFUSED.keys():
        raise SpecError(f"kubernetes.{name}: not an argument here: {REFUSED[name]}")
    pod, _ = split(arguments)
    PodSettings.parse(constants(pod))


def make_pod_operator(outer: LMEvalOperator, context: Any) -> EvalPodOperator:
    """Build the operator that starts the pod, with its templates rendered, once.

    What the outer operator has rendered already is passed on as it is: a second time would execute what it contains.

    :raises SpecError: KubernetesPodOperator does not know an argument.
    """
    from airflow_provider_lmeval.operators.kubernetes.pod import EvalPodOperator

    pod, arguments = split(outer.kubernetes)
    try:
        inner = EvalPodOperator(
            task_id=outer.task_id,
            default_args=_defaults(outer, context),
            spec=outer.spec,
            pod_settings=pod,
            results_uri=outer.results_uri,
            lmeval_conn_id=outer.lmeval_conn_id,
            execution_timeout=outer.execution_timeout,
            deferrable=True,
            **arguments,
        )
    except TypeError as error:
        raise SpecError(f"kubernetes: KubernetesPodOperator does not take that: {error}") from error
    inner.detached = not outer.wait_for_completion
    inner.preflight = outer.preflight
    inner.template_fields = tuple(name for name in inner.template_fields if name not in outer.template_fields)
    inner.render_template_fields(context, jinja_env=outer.get_template_env())
    inner.name = inner._set_name(inner.name)
    return inner


def _defaults(outer: LMEvalOperator, context: Any) -> dict[str, Any]:
    """Return the defaults of DAG and task group, which reach operators while the file is parsed and not later."""
    found: dict[str, Any] = {}
    for source in (context.get("dag"), getattr(outer, "task_group", None)):
        found |= getattr(source, "default_args", None) or {}
    return found
