"""Binds pods to nodes, or says in a pod's condition why none will do.

It looks at what decides whether an evaluation ever starts: extended resources such as GPUs, cpu and memory, node selector,
taints, claims. Pods that name another scheduler are left alone.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from tests.kube.kinds import CLAIMS, NODES, PODS
from tests.kube.registry import ENDED
from tests.kube.status import condition, with_condition
from tests.kube.validation import amount

if TYPE_CHECKING:
    from tests.kube.cluster import Cluster

Json = dict[str, Any]


def schedule(cluster: Cluster, pod: Json) -> None:
    """Bind a pod that waits, if a node takes it."""
    refusals: Counter[str] = Counter()
    nodes = cluster.store.all(NODES)
    if blocked := _claim_problem(cluster, pod) or cluster.settings.unschedulable:
        return _refuse(cluster, pod, blocked, len(nodes))
    for node in nodes:
        problem = _problem(cluster, pod, node)
        if problem is None:
            return _bind(cluster, pod, node)
        refusals.update([problem])
    reasons = ", ".join(f"{count} {problem}" for problem, count in sorted(refusals.items()))
    return _refuse(cluster, pod, reasons, len(nodes))


def waits(pod: Json) -> bool:
    """Whether a pod is this scheduler's business."""
    spec, metadata = pod["spec"], pod["metadata"]
    return (
        not spec.get("nodeName")
        and not spec.get("schedulingGates")
        and "deletionTimestamp" not in metadata
        and spec["schedulerName"] == "default-scheduler"
        and pod["status"].get("phase") == "Pending"
    )


def _problem(cluster: Cluster, pod: Json, node: Json) -> str | None:
    if node["spec"].get("unschedulable"):
        return "node(s) were unschedulable"
    labels = node["metadata"].get("labels") or {}
    if any(labels.get(key) != value for key, value in (pod["spec"].get("nodeSelector") or {}).items()):
        return "node(s) didn't match Pod's node affinity/selector"
    for taint in node["spec"].get("taints") or []:
        if taint["effect"] != "PreferNoSchedule" and not _tolerates(pod, taint):
            return f"node(s) had untolerated taint(s) {{{taint['key']}: {taint.get('value', '')}}}"
    return _shortage(cluster, pod, node)


def _tolerates(pod: Json, taint: Json) -> bool:
    return any(
        one.get("key") in (None, taint["key"])
        and one.get("effect") in (None, "", taint["effect"])
        and (one.get("operator") == "Exists" or one.get("value", "") == taint.get("value", ""))
        for one in pod["spec"].get("tolerations") or []
    )


def _shortage(cluster: Cluster, pod: Json, node: Json) -> str | None:
    name, offered = node["metadata"]["name"], node["status"].get("allocatable") or {}
    here = [one for one in cluster.store.all(PODS) if one["spec"].get("nodeName") == name]
    active = [one for one in here if one["status"].get("phase") not in ENDED]
    for resource, wanted in _requests(pod).items():
        used = sum(_requests(one).get(resource, 0) for one in active)
        if wanted and used + wanted > amount(offered.get(resource, "0")):
            return f"Insufficient {resource}"
    if len(active) + 1 > amount(offered.get("pods", "110")):
        return "Too many pods"
    return None


def _requests(pod: Json) -> dict[str, Any]:
    total: dict[str, Any] = {}
    for container in pod["spec"]["containers"]:
        for resource, text in (container["resources"].get("requests") or {}).items():
            total[resource] = total.get(resource, 0) + amount(text)
    return total


def _claim_problem(cluster: Cluster, pod: Json) -> str | None:
    for volume in pod["spec"].get("volumes") or []:
        if not (source := volume.get("persistentVolumeClaim")):
            continue
        claim = cluster.store.find(CLAIMS, (pod["metadata"]["namespace"], source["claimName"]))
        if claim is None:
            return f'persistentvolumeclaim "{source["claimName"]}" not found'
        if "deletionTimestamp" in claim["metadata"]:
            return f'persistentvolumeclaim "{source["claimName"]}" is being deleted'
        if claim["status"].get("phase") != "Bound":
            return "pod has unbound immediate PersistentVolumeClaims"
    return None


def _bind(cluster: Cluster, pod: Json, node: Json) -> None:
    name, key = node["metadata"]["name"], cluster.key(pod)
    status = with_condition(pod, condition("PodScheduled", True))
    bound = {**cluster.store.get(PODS, key), "status": status}
    bound["spec"] = {**bound["spec"], "nodeName": name}
    where = f"Successfully assigned {key[0]}/{key[1]} to {name}"
    cluster.store.put(PODS, bound)
    cluster.event(pod, "Normal", "Scheduled", where)


def _refuse(cluster: Cluster, pod: Json, reasons: str, count: int) -> None:
    helpless = f"preemption: 0/{count} nodes are available: {count} Preemption is not helpful for scheduling."
    message = f"0/{count} nodes are available: {reasons}. no new claims to deallocate, {helpless}"
    old = next((one for one in pod["status"].get("conditions") or [] if one["type"] == "PodScheduled"), None)
    if old is not None and old.get("message") == message:
        return
    generation = pod["metadata"]["generation"]
    refused = condition("PodScheduled", False, "Unschedulable", message, old=old, generation=generation)
    cluster.set_status(pod, with_condition(pod, refused))
    cluster.event(pod, "Warning", "FailedScheduling", message)
