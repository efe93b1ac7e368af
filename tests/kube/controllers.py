"""The controllers a cluster cannot do without: claims get bound, orphans collected, namespaces emptied.

Each function looks at the whole state and does what is left to do, so calling it once too often does no harm.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from tests.kube.errors import ApiError
from tests.kube.kinds import CLAIMS, CONFIG_MAPS, NAMESPACES, PODS, SERVICE_ACCOUNTS, VOLUMES
from tests.kube.registry import ENDED

if TYPE_CHECKING:
    from tests.kube.cluster import Cluster

Json = dict[str, Any]

PROTECTION = "kubernetes.io/pvc-protection"
NOW = {"gracePeriodSeconds": 0}


def furnish(cluster: Cluster, namespace: str) -> None:
    """Give a namespace what every namespace has."""
    for kind, name in ((SERVICE_ACCOUNTS, "default"), (CONFIG_MAPS, "kube-root-ca.crt")):
        if cluster.store.find(kind, (namespace, name)) is None:
            new = {"kind": kind.kind, "apiVersion": "v1", "metadata": {"name": name, "namespace": namespace}}
            cluster.registry.create(kind, new)


def empty_namespaces(cluster: Cluster) -> None:
    """Delete everything in namespaces that are being deleted, and the namespaces once they are empty."""
    for namespace in cluster.store.all(NAMESPACES):
        if "deletionTimestamp" not in namespace["metadata"]:
            continue
        name, left = namespace["metadata"]["name"], 0
        for kind in cluster.registry.kinds:
            if kind.namespaced:
                for found in cluster.store.all(kind, name):
                    if "deletionTimestamp" not in found["metadata"]:
                        cluster.registry.delete(kind, cluster.key(found))
                left += len(cluster.store.all(kind, name))
        if not left:
            cluster.store.remove(NAMESPACES, ("", name))


def bind_claims(cluster: Cluster) -> None:
    """Bind claims to volumes that name them or fit, or make one where a default StorageClass would."""
    for claim in cluster.store.all(CLAIMS):
        if claim["status"].get("phase") != "Pending" or "deletionTimestamp" in claim["metadata"]:
            continue
        spec = claim["spec"]
        if volume := _fitting(cluster, spec):
            _bind(cluster, claim, volume)
        elif spec.get("storageClassName", cluster.settings.storage_class) == (
            cluster.settings.storage_class or object()
        ):
            _bind(cluster, claim, f"pvc-{claim['metadata']['uid']}")


def _fitting(cluster: Cluster, spec: Json) -> str | None:
    """Return an available volume: the one the claim names, or one of the same storage class."""
    for volume in cluster.store.all(VOLUMES):
        name = volume["metadata"]["name"]
        same_class = volume["spec"].get("storageClassName", "") == spec.get("storageClassName")
        wanted = spec["volumeName"] == name if spec.get("volumeName") else same_class
        if wanted and volume["status"]["phase"] == "Available":
            return name
    return None


def _bind(cluster: Cluster, claim: Json, volume: str) -> None:
    key, spec = cluster.key(claim), claim["spec"]
    bound = {"phase": "Bound", "accessModes": spec["accessModes"], "capacity": spec["resources"]["requests"]}
    cluster.store.put(CLAIMS, {**claim, "spec": {**spec, "volumeName": volume}, "status": bound})
    if found := cluster.store.find(VOLUMES, ("", volume)):
        reference = {
            "kind": "PersistentVolumeClaim",
            "namespace": key[0],
            "name": key[1],
            "uid": claim["metadata"]["uid"],
        }
        taken = {**found["spec"], "claimRef": reference}
        cluster.store.put(VOLUMES, {**found, "spec": taken, "status": {"phase": "Bound"}})


def release_claims(cluster: Cluster) -> None:
    """Let claims go that are being deleted and that no pod uses any more."""
    for claim in cluster.store.all(CLAIMS):
        if "deletionTimestamp" in claim["metadata"] and not _in_use(cluster, claim):
            cluster.registry.change(CLAIMS, cluster.key(claim), _without_protection)


def _in_use(cluster: Cluster, claim: Json) -> bool:
    namespace, name = claim["metadata"]["namespace"], claim["metadata"]["name"]
    return any(
        (volume.get("persistentVolumeClaim") or {}).get("claimName") == name
        for pod in cluster.store.all(PODS, namespace)
        if pod["status"].get("phase") not in ENDED
        for volume in pod["spec"].get("volumes") or []
    )


def _without_protection(claim: Json) -> Json:
    left = [one for one in claim["metadata"].get("finalizers") or [] if one != PROTECTION]
    return {**claim, "metadata": {**claim["metadata"], "finalizers": left}}


def collect_garbage(cluster: Cluster) -> None:
    """Delete what is owned, by its ``ownerReferences``, only by objects that do not exist (any more)."""
    everything = [(kind, found) for kind in cluster.registry.kinds for found in cluster.store.all(kind)]
    alive = {found["metadata"]["uid"] for _, found in everything}
    for kind, found in everything:
        owners = found["metadata"].get("ownerReferences")
        if (
            owners
            and alive.isdisjoint(owner["uid"] for owner in owners)
            and "deletionTimestamp" not in found["metadata"]
        ):
            with contextlib.suppress(ApiError):
                cluster.registry.delete(kind, cluster.key(found))
