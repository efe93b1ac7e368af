"""The machines of the cluster: what they offer, and what happens to their pods when one is lost.

A lost node is one that stopped talking, not one that stopped: its pods stay *Running* in the API, their processes go on, and
a deletion hangs until it comes back. The node lifecycle controller marks it, and evicts by taint what does not tolerate it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tests.kube import clock
from tests.kube.kinds import NODES, PODS
from tests.kube.registry import ENDED
from tests.kube.status import condition, with_condition

if TYPE_CHECKING:
    from tests.kube.cluster import Cluster

Json = dict[str, Any]

UNREACHABLE = "node.kubernetes.io/unreachable"
TICK_S = 0.1


class Node:
    """A machine, and whether the API server hears from it.

    :param capacity: quantities by resource, such as ``{"cpu": "8", "nvidia.com/gpu": "2"}``.
    """

    def __init__(self, name: str, address: str, capacity: Mapping[str, str]) -> None:
        self.name, self.address = name, address
        self.capacity = {"cpu": "16", "memory": "64Gi", "pods": "110", "ephemeral-storage": "100Gi", **capacity}
        self.online = asyncio.Event()
        self.online.set()
        self.lost_at = 0.0

    def to_json(self) -> Json:
        ready = condition("Ready", True, "KubeletReady", "kubelet is posting ready status")
        ready |= {"lastHeartbeatTime": clock.timestamp()}
        return {
            "kind": "Node",
            "apiVersion": "v1",
            "metadata": {
                "name": self.name,
                "labels": {"kubernetes.io/hostname": self.name, "kubernetes.io/os": "linux"},
            },
            "spec": {},
            "status": {
                "capacity": self.capacity,
                "allocatable": self.capacity,
                "conditions": [ready],
                "addresses": [
                    {"type": "InternalIP", "address": self.address},
                    {"type": "Hostname", "address": self.name},
                ],
                "nodeInfo": {"kubeletVersion": "v1.36.2", "operatingSystem": "linux", "architecture": "amd64"},
            },
        }


def lose(cluster: Cluster, node: Node) -> None:
    """Cut a node off and let the controllers notice at once."""
    node.online.clear()
    node.lost_at = time.time()
    unknown = {"reason": "NodeStatusUnknown", "message": "Kubelet stopped posting node status."}
    _set_ready(
        cluster, node, {"type": "Ready", "status": "Unknown", "lastTransitionTime": clock.timestamp(), **unknown}
    )
    taints = [
        {"key": UNREACHABLE, "effect": effect, "timeAdded": clock.timestamp()} for effect in ("NoSchedule", "NoExecute")
    ]
    cluster.registry.change(NODES, ("", node.name), lambda old: {**old, "spec": {**old["spec"], "taints": taints}})
    for pod in _pods_of(cluster, node):
        not_ready = condition("Ready", False, "NodeNotReady", old=_condition(pod, "Ready"))
        cluster.set_status(pod, with_condition(pod, not_ready))


def restore(cluster: Cluster, node: Node) -> None:
    """Let a node be heard again; its kubelet reports and carries out what it missed."""
    cluster.registry.change(NODES, ("", node.name), lambda old: {**old, "spec": {"taints": []}})
    _set_ready(cluster, node, condition("Ready", True, "KubeletReady", "kubelet is posting ready status"))
    node.online.set()
    for worker in cluster.workers.values():
        if worker.node is node:
            worker.changed(cluster.store.find(PODS, worker.key))


async def evict_from_lost(cluster: Cluster) -> None:
    """Delete, for as long as the cluster lives, the pods of lost nodes once they tolerate it no longer."""
    while True:
        await asyncio.sleep(TICK_S)
        for node in cluster.nodes.values():
            if node.online.is_set():
                continue
            for pod in _pods_of(cluster, node):
                patience = _patience(pod)
                overdue = patience is not None and time.time() - node.lost_at >= patience
                if overdue and "deletionTimestamp" not in pod["metadata"]:
                    cluster.disrupt(pod, "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint")


def _pods_of(cluster: Cluster, node: Node) -> list[Json]:
    pods = cluster.store.all(PODS)
    return [pod for pod in pods if pod["spec"].get("nodeName") == node.name and pod["status"].get("phase") not in ENDED]


def _patience(pod: Json) -> float | None:
    """Return for how many seconds a pod tolerates an unreachable node; None for ever."""
    for one in pod["spec"].get("tolerations") or []:
        if one.get("key") in (UNREACHABLE, None) and one.get("effect") in ("NoExecute", None):
            return one.get("tolerationSeconds")
    return 0.0


def _condition(pod: Json, name: str) -> Json | None:
    return next((one for one in pod["status"].get("conditions") or [] if one["type"] == name), None)


def _set_ready(cluster: Cluster, node: Node, ready: Json) -> None:
    def build(old: Json) -> Json:
        others = [one for one in old["status"]["conditions"] if one["type"] != "Ready"]
        return {**old, "status": {**old["status"], "conditions": [*others, ready]}}

    cluster.registry.change(NODES, ("", node.name), build, status=True)
