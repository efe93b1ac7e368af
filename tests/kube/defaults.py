"""What the API server fills in by itself before it stores an object (``k8s.io/kubernetes/pkg/apis/core/v1/defaults.go``).

Each function changes a new object in place. Only what a reader of pods could depend on is here.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]


def containers(spec: Json) -> Iterator[Json]:
    """Yield the init containers, then the containers, of a pod's spec."""
    yield from spec.get("initContainers") or []
    yield from spec.get("containers") or []


def pod(new: Json) -> None:
    """Default a pod; quality of service and the default tolerations included."""
    spec = new.setdefault("spec", {})
    account = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
    fallbacks = {
        "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
        "securityContext": {}, "schedulerName": "default-scheduler", "priority": 0, "enableServiceLinks": True,
        "preemptionPolicy": "PreemptLowerPriority", "tolerations": [],
    }  # fmt: skip
    spec.update({key: value for key, value in fallbacks.items() if key not in spec})
    spec["serviceAccountName"] = spec["serviceAccount"] = account
    for reason in ("not-ready", "unreachable"):
        _tolerate(spec["tolerations"], f"node.kubernetes.io/{reason}")
    for container in containers(spec):
        _container(container)
    for volume in spec.get("volumes") or []:
        _pod_volume(volume)
    new["status"] = {"phase": "Pending", "qosClass": quality(spec)}


def _tolerate(tolerations: list[Json], key: str) -> None:
    for one in tolerations:
        if one.get("key") in (key, None) and one.get("effect") in ("NoExecute", None):
            return
    tolerations.append({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300})


def _container(container: Json) -> None:
    image = container.get("image") or ""
    tag = image.rpartition("/")[2].partition("@")[0].partition(":")[2]
    latest = tag == "latest" or (not tag and "@" not in image)
    container.setdefault("resources", {})
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    container.setdefault("imagePullPolicy", "Always" if latest else "IfNotPresent")
    if limits := container["resources"].get("limits"):
        container["resources"]["requests"] = {**limits, **container["resources"].get("requests", {})}
    for port in container.get("ports") or []:
        port.setdefault("protocol", "TCP")
    for variable in container.get("env") or []:
        if reference := (variable.get("valueFrom") or {}).get("fieldRef"):
            reference.setdefault("apiVersion", "v1")


def _pod_volume(volume: Json) -> None:
    if set(volume) <= {"name"}:
        volume["emptyDir"] = {}
    for source in ("configMap", "secret", "downwardAPI", "projected"):
        if isinstance(volume.get(source), dict):
            volume[source].setdefault("defaultMode", 0o644)
    if isinstance(volume.get("hostPath"), dict):
        volume["hostPath"].setdefault("type", "")


def quality(spec: Json) -> str:
    """Return the pod's quality of service class."""
    wanted = [container.get("resources", {}) for container in containers(spec)]
    pairs = [(one.get("requests") or {}, one.get("limits") or {}) for one in wanted]
    if not any(values.get(name) for pair in pairs for values in pair for name in ("cpu", "memory")):
        return "BestEffort"
    if all(
        limits.get(name) and requests.get(name) == limits[name]
        for requests, limits in pairs
        for name in ("cpu", "memory")
    ):
        return "Guaranteed"
    return "Burstable"


def claim(new: Json) -> None:
    """Default a claim."""
    new.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")
    new["status"] = {"phase": "Pending"}


def volume(new: Json) -> None:
    """Default a persistent volume."""
    new.setdefault("spec", {}).setdefault("persistentVolumeReclaimPolicy", "Retain")
    new["spec"].setdefault("volumeMode", "Filesystem")
    new["status"] = {"phase": "Available"}


def secret(new: Json) -> None:
    """Default a secret: what was given as text is stored encoded."""
    new.setdefault("type", "Opaque")
    for key, value in (new.pop("stringData", None) or {}).items():
        new.setdefault("data", {})[key] = base64.b64encode(value.encode()).decode()


def namespace(new: Json) -> None:
    """Default a namespace."""
    new["spec"] = {"finalizers": ["kubernetes"]}
    new["status"] = {"phase": "Active"}
    metadata = new["metadata"]
    metadata["labels"] = {**(metadata.get("labels") or {}), "kubernetes.io/metadata.name": metadata["name"]}
