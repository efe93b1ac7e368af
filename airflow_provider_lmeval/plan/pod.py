"""The pod of a run, as the plain data that Kubernetes' API takes.

A user may bring a pod of their own: a template, a whole spec, arguments of KubernetesPodOperator. So nothing here builds a
pod from nothing; :func:`complete` fills in what an evaluation needs and the given pod does not say. What comes out passes
Pod Security *restricted*, runs under any user id, and holds no secret: credentials are references to Secrets, and of the
status token there is only the digest in the request. The container is ``pod_container``'s, what it mounts ``pod_volumes``'.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from airflow_provider_lmeval.plan.names import task_key
from airflow_provider_lmeval.plan.pod_container import REQUEST_VOLUME, equip
from airflow_provider_lmeval.plan.pod_parts import Manifest, PodRun, fill
from airflow_provider_lmeval.plan.pod_volumes import managed_claims, service_ca
from airflow_provider_lmeval.spec.pod import PodSettings
from airflow_provider_lmeval.wire_pod import MAX_ENV_REQUEST

MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "airflow-provider-lmeval"
SELECTOR = f"{MANAGED_BY}={MANAGER}"
"""Finds all our pods of a namespace."""
RUN_LABEL = "lmeval.airflow/run-id"
PREFLIGHT_OF = "lmeval.airflow/preflight-of"
"""On the pod of a preflight: the run that it precedes."""
EXECUTES_CODE = "lmeval.airflow/executes-code"
"""On pods that may run foreign code: ``with-network`` if the spec asked for one, else ``without-network``, which the network
policies in ``docker/kubernetes`` open nothing for, whatever other labels say."""
TASK_LABEL = "lmeval.airflow/task"
"""The same for all generations of a task instance: a newer one supersedes the older."""

ANNOTATIONS = "lmeval.airflow/"
MAX_TRIES = f"{ANNOTATIONS}max-tries"
"""``TaskInstance.max_tries`` at the start: clearing the task raises it."""
SPEC_HASH = f"{ANNOTATIONS}spec-hash"
NONCE = f"{ANNOTATIONS}nonce"
"""Makes the status token of each pod another one. Not secret."""
CONTAINER = f"{ANNOTATIONS}container"
OWNER = tuple(f"{ANNOTATIONS}{name}" for name in ("dag-id", "dag-run-id", "task-id", "map-index"))
"""Annotations that name the task instance in full, for the reaper; labels would be shortened."""

POD_TTL = f"{ANNOTATIONS}pod-ttl"
"""Seconds that the reaper leaves the pod after it has ended."""
QUEUE = "kueue.x-k8s.io/queue-name"
QUEUE_PRIORITY = "kueue.x-k8s.io/priority-class"
"""Labels that Kueue reads (Kueue: "Run Plain Pods")."""

LONGEST_S = 7 * 24 * 3600
"""No pod without an end, even if nobody has said when."""
DEADLINE_MARGIN_S = 900
"""What a pod may take beyond the evaluation's own time limit, to load and to store: the driver's limit is to act first."""


def complete(
    run: PodRun, settings: PodSettings, given: Mapping[str, Any] | None = None, container: str = "base"
) -> Manifest:
    """Return the manifest of a run's pod.

    :param given: a pod to start from; its containers' values win, its first container becomes the evaluation's.
    :param container: name of that container.
    :raises SpecError: the request is too large for any way into a pod, or the driver's image is missing.
    """
    pod: Manifest = {"apiVersion": "v1", "kind": "Pod"} | deepcopy(dict(given or {}))
    spec = pod.setdefault("spec", {})
    _identify(pod, run, settings, container)
    containers = spec.setdefault("containers", [])
    if not containers:
        containers.append({})
    base = containers[0]
    base["name"] = container
    fill(spec, _pod_defaults(run, settings))
    equip(spec, base, run, settings)
    for each in [*spec.get("initContainers", []), *containers]:
        fill(each, {"securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}})
    return pod


def renamed(pod: Manifest, name: str) -> Manifest:
    """Return the same pod under another name; its ConfigMap bears the pod's name.

    :param pod: from :func:`complete`.
    """
    spec = dict(pod["spec"])
    for index, volume in enumerate(spec.get("volumes") or ()):
        if volume["name"] == REQUEST_VOLUME:
            changed = volume | {"configMap": volume["configMap"] | {"name": name}}
            spec["volumes"] = [*spec["volumes"][:index], changed, *spec["volumes"][index + 1 :]]
    return pod | {"metadata": pod["metadata"] | {"name": name}, "spec": spec}


def config_map(pod: Manifest, packed: str) -> Manifest | None:
    """Return the ConfigMap that a created pod waits for, or None if the pod holds its request itself.

    Owned by the pod, it goes when the pod goes.

    :param pod: as the API server returned it, with its UID.
    :param packed: the packed request.
    """
    if len(packed) <= MAX_ENV_REQUEST:
        return None
    meta = pod["metadata"]
    owner = {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": meta["name"],
            "namespace": meta["namespace"],
            "labels": {MANAGED_BY: MANAGER},
            "ownerReferences": [owner],
        },
        "immutable": True,
        "data": {"request": packed},
    }


def companions(run: PodRun, settings: PodSettings) -> list[Manifest]:
    """Return what has to be there before the pod and is created where it is missing: claims, a ConfigMap."""
    labels, notes = _labels(run), _owner(run)
    found = managed_claims(settings, run, labels, notes)
    certificates = service_ca(settings, run.namespace, {MANAGED_BY: MANAGER})
    return [*found, certificates] if certificates else found


def _labels(run: PodRun) -> dict[str, str]:
    return {MANAGED_BY: MANAGER, RUN_LABEL: run.run_id, TASK_LABEL: task_key(run.run_id)}


def _profile(run: PodRun) -> dict[str, str]:
    """Return the label that shuts a pod which runs code; nobody else's label takes its place."""
    return {EXECUTES_CODE: "with-network" if run.asks_network else "without-network"} if run.executes_code else {}


def _preflight(run: PodRun) -> dict[str, str]:
    return {PREFLIGHT_OF: run.precedes} if run.precedes else {}


def _owner(run: PodRun) -> dict[str, str]:
    return dict(zip(OWNER, run.owner, strict=False))


def _identify(pod: Manifest, run: PodRun, settings: PodSettings, container: str) -> None:
    meta = pod["metadata"] = dict(pod.get("metadata") or {}) | {"name": run.name, "namespace": run.namespace}
    queue = {QUEUE: settings.queue_name, QUEUE_PRIORITY: settings.workload_priority_class}
    chosen = dict(settings.labels) | {name: value for name, value in queue.items() if value}
    notes = {SPEC_HASH: run.spec_hash, NONCE: run.nonce, CONTAINER: container}
    if run.max_tries is not None:
        notes[MAX_TRIES] = str(run.max_tries)
    if settings.pod_ttl is not None:
        notes[POD_TTL] = f"{settings.pod_ttl:g}"
    meta["labels"] = chosen | (meta.get("labels") or {}) | _labels(run) | _profile(run) | _preflight(run)
    meta["annotations"] = settings.annotations | (meta.get("annotations") or {}) | notes | _owner(run)


def _pod_defaults(run: PodRun, settings: PodSettings) -> Manifest:
    security: Manifest = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    security |= {"runAsUser": settings.run_as_user} if settings.run_as_user is not None else {}
    security |= {"fsGroup": settings.fs_group} if settings.fs_group is not None else {}
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "activeDeadlineSeconds": deadline_seconds(settings, run.timeout_s),
        "terminationGracePeriodSeconds": settings.grace_period,
        "securityContext": security,
        **_placement(settings),
    }


def _placement(settings: PodSettings) -> Manifest:
    """Return what decides where and when the pod runs, and as whom."""
    return {
        "nodeSelector": (settings.gpu.node_selector if settings.gpu else {}) | settings.node_selector,
        "affinity": dict(settings.affinity),
        "tolerations": [dict(toleration) for toleration in settings.tolerations],
        "priorityClassName": settings.priority_class_name,
        "runtimeClassName": settings.runtime_class_name,
        "schedulerName": settings.scheduler_name,
        "serviceAccountName": settings.service_account_name,
        "imagePullSecrets": [{"name": name} for name in settings.image_pull_secrets],
    }


def deadline_seconds(settings: PodSettings, timeout_s: float | None) -> int:
    """Return ``activeDeadlineSeconds``.

    :param timeout_s: seconds in which the evaluation has to end, or None.
    """
    if settings.active_deadline_seconds:
        return settings.active_deadline_seconds
    if timeout_s is None:
        return LONGEST_S
    start = settings.startup_timeout + settings.pull_timeout
    return min(LONGEST_S, int(timeout_s + start) + DEADLINE_MARGIN_S)
