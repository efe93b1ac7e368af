"""The pod of a run, as the plain data that Kubernetes' API takes.

A user may bring a pod of their own: a template, a whole spec, arguments of KubernetesPodOperator. So nothing here builds a
pod from nothing; :func:`complete` fills in what an evaluation needs and the given pod does not say. What comes out passes
Pod Security *restricted*, runs under any user id, and holds no secret: credentials are references to Secrets, and of the
status token there is only the digest in the request.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_lmeval.errors import SpecError
from airflow_provider_lmeval.plan.names import task_key
from airflow_provider_lmeval.plan.pod_parts import add, fill, mount
from airflow_provider_lmeval.spec.pod import PodSettings
from airflow_provider_lmeval.wire_pod import (
    GRACE_ENV,
    MAX_CONFIGMAP_REQUEST,
    MAX_ENV_REQUEST,
    REQUEST_ENV,
    REQUEST_FILE_ENV,
    RUN_DIR_ENV,
)

Manifest = dict[str, Any]

MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "airflow-provider-lmeval"
SELECTOR = f"{MANAGED_BY}={MANAGER}"
"""Finds all our pods of a namespace."""
RUN_LABEL = "lmeval.airflow/run-id"
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

WORK = "/lmeval"
DRIVER = "/opt/lmeval-driver"
REQUEST = "/etc/lmeval-request"
REQUEST_VOLUME = "lmeval-request"
STATUS_TLS = "/etc/lmeval-tls"
"""Where a pod sees the Secret that makes its driver speak HTTPS."""
LONGEST_S = 7 * 24 * 3600
"""No pod without an end, even if nobody has said when."""
DEADLINE_MARGIN_S = 900
"""What a pod may take beyond the evaluation's own time limit, to load and to store: the driver's limit is to act first."""


@dataclass(frozen=True, kw_only=True)
class PodRun:
    """What a pod is told about its run.

    :param run_id: of the run. :param name: of the pod. :param namespace: of the pod.
    :param request: the packed request.
    :param image: of the container, which the result's fingerprint names.
    :param spec_hash: of the spec. :param max_tries: of the task, or None outside Airflow.
    :param nonce: from which, with a secret, the status token is made.
    :param timeout_s: seconds in which the evaluation has to end, or None.
    :param owner: dag id, DAG run id, task id, map index; empty outside Airflow.
    :param config_maps: names of ConfigMaps with task files, by where they are mounted.
    """

    run_id: str
    name: str
    namespace: str
    request: str
    image: str
    spec_hash: str
    max_tries: int | None = None
    nonce: str = ""
    timeout_s: float | None = None
    owner: tuple[str, ...] = field(default=())
    config_maps: Mapping[str, str] = field(default_factory=dict)


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
    _identify(pod, run, container)
    containers = spec.setdefault("containers", [])
    if not containers:
        containers.append({})
    base = containers[0]
    base["name"] = container
    fill(spec, _pod_defaults(run, settings))
    _equip(spec, base, run, settings)
    if settings.driver == "copy":
        _bring_driver(spec, base, settings)
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


def _identify(pod: Manifest, run: PodRun, container: str) -> None:
    meta = pod["metadata"] = dict(pod.get("metadata") or {}) | {"name": run.name, "namespace": run.namespace}
    labels = {MANAGED_BY: MANAGER, RUN_LABEL: run.run_id, TASK_LABEL: task_key(run.run_id)}
    notes = {SPEC_HASH: run.spec_hash, NONCE: run.nonce, CONTAINER: container}
    if run.max_tries is not None:
        notes[MAX_TRIES] = str(run.max_tries)
    notes |= dict(zip(OWNER, run.owner, strict=False))
    meta["labels"] = (meta.get("labels") or {}) | labels
    meta["annotations"] = (meta.get("annotations") or {}) | notes


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
        "nodeSelector": dict(settings.node_selector),
        "tolerations": [dict(toleration) for toleration in settings.tolerations],
    }


def deadline_seconds(settings: PodSettings, timeout_s: float | None) -> int:
    """Return ``activeDeadlineSeconds``.

    :param timeout_s: seconds in which the evaluation has to end, or None.
    """
    if settings.active_deadline_seconds:
        return settings.active_deadline_seconds
    if timeout_s is None:
        return LONGEST_S
    return min(LONGEST_S, int(timeout_s + settings.startup_timeout) + DEADLINE_MARGIN_S)


def _equip(spec: Manifest, base: Manifest, run: PodRun, settings: PodSettings) -> None:
    """Give the evaluation's container its image, command, environment, resources and volumes."""
    fill(
        base,
        {
            "image": run.image,
            "imagePullPolicy": settings.image_pull_policy,
            "command": [settings.python, "-m", "airflow_provider_lmeval.driver"],
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "ports": [{"name": "lmeval-status", "containerPort": settings.status_port}],
            "resources": _resources(settings),
        },
    )
    _request(spec, base, run)
    mount(spec, base, "lmeval-work", WORK, {"emptyDir": {}})
    mount(spec, base, "lmeval-tmp", "/tmp", {"emptyDir": {}})  # noqa: S108 - a volume of the pod's own
    if settings.status_tls_secret:
        mount(
            spec,
            base,
            "lmeval-tls",
            STATUS_TLS,
            {"secret": {"secretName": settings.status_tls_secret}},
            {"readOnly": True},
        )
    if settings.shm_size:
        memory = {"emptyDir": {"medium": "Memory", "sizeLimit": settings.shm_size}}
        mount(spec, base, "lmeval-shm", "/dev/shm", memory)  # noqa: S108
    for index, claim in enumerate(settings.volumes):
        options: Manifest = {"subPath": claim.sub_path} if claim.sub_path else {}
        options |= {"readOnly": True} if claim.read_only else {}
        source = {"persistentVolumeClaim": {"claimName": claim.claim}}
        mount(spec, base, f"lmeval-claim-{index}", claim.path, source, options)
    for index, (path, name) in enumerate(run.config_maps.items()):
        mount(spec, base, f"lmeval-tasks-{index}", path, {"configMap": {"name": name}}, {"readOnly": True})
    for name, value in _environment(base, settings).items():
        add(base, "env", {"name": name, "value": value})
    for name, key in settings.env_secrets.items():
        reference = {"secretKeyRef": {"name": key.secret, "key": key.key}}
        add(base, "env", {"name": name, "valueFrom": reference})


def _resources(settings: PodSettings) -> Manifest:
    gpu = {settings.gpu.resource: str(settings.gpu.count)} if settings.gpu else {}
    memory = {"memory": settings.memory} if settings.memory else {}
    cpu = {"cpu": settings.cpu} if settings.cpu else {}
    return {"requests": gpu | memory | cpu, "limits": gpu | memory} if gpu or memory or cpu else {}


def _environment(base: Manifest, settings: PodSettings) -> dict[str, str]:
    """Return variables for any user id: nothing may be written but below these paths."""
    return {
        "HOME": WORK,
        "HF_HOME": settings.cache.path if settings.cache else f"{WORK}/huggingface",
        RUN_DIR_ENV: f"{WORK}/run",
        GRACE_ENV: str(settings.grace_period),
        "LMEVAL_IMAGE": base["image"],
    }


def _request(spec: Manifest, base: Manifest, run: PodRun) -> None:
    """Hand over the request: in the environment, or by a ConfigMap that the pod waits for."""
    if len(run.request) <= MAX_ENV_REQUEST:
        add(base, "env", {"name": REQUEST_ENV, "value": run.request})
        return
    if len(run.request) > MAX_CONFIGMAP_REQUEST:
        raise SpecError(
            f"the request of run {run.run_id} has {len(run.request)} bytes packed, more than the {MAX_CONFIGMAP_REQUEST} "
            "that fit into a ConfigMap. Put task definitions and unitxt artifacts into files on a volume or in the image, "
            "and name their directory in include_paths"
        )
    mount(spec, base, REQUEST_VOLUME, REQUEST, {"configMap": {"name": run.name}}, {"readOnly": True})
    add(base, "env", {"name": REQUEST_FILE_ENV, "value": f"{REQUEST}/request"})


def _bring_driver(spec: Manifest, base: Manifest, settings: PodSettings) -> None:
    """Copy the driver's files, which need only a Python, from another image."""
    if not settings.driver_image:
        raise SpecError(
            "kubernetes.driver: 'copy' needs an image to copy the driver from; set driver_image there or "
            "[lmeval] driver_image, to any image with airflow-provider-lmeval"
        )
    bringer: Manifest = {
        "name": "lmeval-driver",
        "image": settings.driver_image,
        "command": ["python3", "-m", "airflow_provider_lmeval.driver.copy", DRIVER],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
    }
    fill(bringer, {"imagePullPolicy": settings.image_pull_policy})
    spec["initContainers"] = [bringer, *spec.get("initContainers", [])]
    mount(spec, bringer, "lmeval-driver", DRIVER, {"emptyDir": {}})
    mount(spec, base, "lmeval-driver", DRIVER, {"emptyDir": {}}, {"readOnly": True})
    given = next((each for each in base["env"] if each["name"] == "PYTHONPATH"), None)
    if given is not None:
        base["env"].remove(given)
    path = ":".join(filter(None, (DRIVER, (given or {}).get("value"))))
    add(base, "env", {"name": "PYTHONPATH", "value": path})
