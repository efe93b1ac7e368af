"""The pod that looks at an evaluation before a GPU is asked for: the evaluation's own, without all that is for GPUs.

What makes the look worth something is kept: image, volumes, variables, Secrets, service account, certificates, tolerations,
and the label by which network policies tell pods that run code. What would make it wait, or cost what it is to save, goes:
devices, the queue for them, the selector of a product, ``/dev/shm``, NVIDIA's runtime class, which other nodes do not have.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

from airflow_provider_lmeval.plan.gpu_memory import device_memory, device_name
from airflow_provider_lmeval.plan.pod import QUEUE, QUEUE_PRIORITY
from airflow_provider_lmeval.plan.pod_parts import Manifest
from airflow_provider_lmeval.spec.pod import PodSettings
from airflow_provider_lmeval.wire import Request

GPU_RUNTIME = "nvidia"
"""How the GPU operator's runtime classes begin."""


def asks_for_devices(settings: PodSettings, given: Mapping[str, Any]) -> bool:
    """Tell whether a run's pod will ask for accelerators, by our setting or by resources of the user's own pod.

    :param given: the user's pod, as :func:`~airflow_provider_lmeval.plan.pod.complete` takes it.
    """
    return settings.gpu is not None or any(True for _ in _devices(given))


def _devices(pod: Mapping[str, Any]) -> Iterator[tuple[Manifest, str]]:
    """Yield each extended resource of a pod's containers, with the object that has it: their names have a domain."""
    spec = pod.get("spec") or {}
    for container in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]:
        resources = container.get("resources") or {}
        for kind in ("limits", "requests"):
            yield from ((resources[kind], name) for name in list(resources.get(kind) or ()) if "/" in name)


def preflight_settings(settings: PodSettings) -> PodSettings:
    """Return the settings of the preflight's pod.

    :param settings: those of the evaluation's.
    """
    own, runtime = settings.preflight, settings.runtime_class_name
    changed = {
        "gpu": None,
        "cpu": own.cpu,
        "memory": own.memory,
        "shm_size": None,
        "node_selector": settings.node_selector if own.node_selector is None else own.node_selector,
        "queue_name": own.queue_name,
        "workload_priority_class": settings.workload_priority_class if own.queue_name else None,
        "runtime_class_name": None if runtime and runtime.startswith(GPU_RUNTIME) else runtime,
        "active_deadline_seconds": None,
    }
    return settings.model_copy(update=changed)


def preflight_given(given: Mapping[str, Any], settings: PodSettings) -> Manifest:
    """Return the user's pod without what it says of the evaluation's resources.

    :param settings: those of the evaluation.
    """
    pod: Manifest = deepcopy(dict(given))
    spec = pod.get("spec") or {}
    for base in (spec.get("containers") or [])[:1]:
        base.pop("resources", None)
    if str(spec.get("runtimeClassName") or "").startswith(GPU_RUNTIME):
        spec.pop("runtimeClassName")
    spec.pop("schedulingGates", None)  # whoever opens them for the evaluation's pod does not know this one
    if settings.preflight.node_selector is not None:
        spec.pop("nodeSelector", None)
    return pod


def without_devices(pod: Manifest, settings: PodSettings) -> Manifest:
    """Return a complete manifest that asks for no device, whoever has put one in, and waits in no queue but its own.

    :param settings: those of the evaluation.
    """
    pod = deepcopy(pod)
    for resources, name in list(_devices(pod)):
        resources.pop(name, None)
    labels = {name: value for name, value in pod["metadata"].get("labels", {}).items() if name != QUEUE}
    if queue := settings.preflight.queue_name:
        labels[QUEUE] = queue
    else:
        labels.pop(QUEUE_PRIORITY, None)
    pod["metadata"]["labels"] = labels
    return pod


def preflight_request(request: Request, settings: PodSettings) -> Request:
    """Return the request of a preflight.

    :param request: of the evaluation, under the preflight's name. :param settings: those of the evaluation.
    """
    shared = request.parallel
    memory, name = device_memory(settings.gpu), device_name(settings.gpu)
    return replace(
        request,
        preflight={"device": name, "memory": memory, "processes": int((shared or {}).get("processes") or 1)},
        parallel=shared and shared | {"processes": 1, "required": False},
        store=None,
        timeout_s=settings.preflight.timeout,
        no_progress_s=None,
        equivalent_command=[],
    )
