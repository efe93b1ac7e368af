"""Refusals that depend on the namespace: Pod Security, quotas, service accounts, a namespace that is going away.

Pod Security is switched on the way a cluster's administrator does it, by the namespace's label
``pod-security.kubernetes.io/enforce: restricted``; a quota is a ResourceQuota object.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.kube.defaults import containers
from tests.kube.errors import details, forbidden, not_found
from tests.kube.kinds import NAMESPACES, PODS, QUOTAS, SERVICE_ACCOUNTS, Kind
from tests.kube.store import Store
from tests.kube.validation import amount

Json = dict[str, Any]

ENFORCE = "pod-security.kubernetes.io/enforce"
_RESTRICTED_VOLUMES = frozenset(
    {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
)


def admit(store: Store, kind: Kind, new: Json) -> None:
    """Refuse a new object where its namespace does not take it, before it is validated.

    :raises ApiError: 404 no such namespace, 403 it is being deleted.
    """
    if not kind.namespaced:
        return
    namespace, name = new["metadata"]["namespace"], new["metadata"].get("name")
    found = store.find(NAMESPACES, ("", namespace))
    if found is None:
        raise not_found(NAMESPACES, namespace)
    if found["metadata"].get("deletionTimestamp"):
        why = f"unable to create new content in namespace {namespace} because it is being terminated"
        refusal = forbidden(kind, name, why)
        cause = {"reason": "NamespaceTerminating", "message": f"namespace {namespace} is being terminated"}
        refusal.details = details(kind, name, causes=[{**cause, "field": "metadata.namespace"}])
        raise refusal
    if kind is PODS:
        _service_account(store, new)


def admit_valid(store: Store, kind: Kind, new: Json) -> None:
    """Refuse a new, valid object: what validating admission does.

    :raises ApiError: 403 by Pod Security or a quota.
    """
    if kind is not PODS:
        return
    namespace = store.get(NAMESPACES, ("", new["metadata"]["namespace"]))
    level = (namespace["metadata"].get("labels") or {}).get(ENFORCE)
    violations = (
        list(_violations(new["spec"], restricted=level == "restricted")) if level not in (None, "privileged") else []
    )
    if violations:
        why = f'violates PodSecurity "{level}:latest": {", ".join(violations)}'
        raise forbidden(kind, new["metadata"]["name"], why)
    for quota in store.all(QUOTAS, new["metadata"]["namespace"]):
        _check_quota(store, quota, new)


def _service_account(store: Store, new: Json) -> None:
    namespace, name = new["metadata"]["namespace"], new["spec"]["serviceAccountName"]
    if store.find(SERVICE_ACCOUNTS, (namespace, name)) is None:
        why = f'error looking up service account {namespace}/{name}: serviceaccount "{name}" not found'
        raise forbidden(PODS, new["metadata"].get("name"), why)


def _quoted(names: list[str]) -> str:
    noun = "container" if len(names) == 1 else "containers"
    return f"{noun} " + ", ".join(f'"{name}"' for name in names)


def _violations(spec: Json, *, restricted: bool) -> Iterator[str]:
    """Yield the violations of the standard *restricted*, or of *baseline* alone (``pod-security-admission/policy``)."""
    all_of = list(containers(spec))
    host = [f"{key}=true" for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key)]
    if host:
        yield f"host namespaces ({', '.join(host)})"
    if names := [one["name"] for one in all_of if _context(one).get("privileged")]:
        yield f"privileged ({_quoted(names)} must not set securityContext.privileged=true)"
    if names := [one["name"] for one in spec.get("volumes") or [] if "hostPath" in one]:
        yield f"hostPath volumes (volume {', '.join(repr(name) for name in names)})".replace("'", '"')
    if restricted:
        yield from _restricted(spec, all_of)


def _restricted(spec: Json, all_of: list[Json]) -> Iterator[str]:
    pod = spec.get("securityContext") or {}
    if names := [one["name"] for one in all_of if _context(one).get("allowPrivilegeEscalation") is not False]:
        yield (
            f"allowPrivilegeEscalation != false ({_quoted(names)} must set securityContext.allowPrivilegeEscalation=false)"
        )
    if names := [
        one["name"] for one in all_of if "ALL" not in ((_context(one).get("capabilities") or {}).get("drop") or [])
    ]:
        yield f'unrestricted capabilities ({_quoted(names)} must set securityContext.capabilities.drop=["ALL"])'
    for volume in spec.get("volumes") or []:
        for source in set(volume) - {"name"} - _RESTRICTED_VOLUMES:
            yield f'restricted volume types (volume "{volume["name"]}" uses restricted volume type "{source}")'
    if names := [one["name"] for one in all_of if _effective(one, pod, "runAsNonRoot") is not True]:
        yield f"runAsNonRoot != true (pod or {_quoted(names)} must set securityContext.runAsNonRoot=true)"
    if names := [one["name"] for one in all_of if _effective(one, pod, "runAsUser") == 0]:
        yield f"runAsUser=0 ({_quoted(names)} must not set runAsUser=0)"
    if names := [one["name"] for one in all_of if not _profile(_effective(one, pod, "seccompProfile"))]:
        yield (
            f"seccompProfile (pod or {_quoted(names)} must set securityContext.seccompProfile.type to "
            '"RuntimeDefault" or "Localhost")'
        )


def _context(container: Json) -> Json:
    return container.get("securityContext") or {}


def _effective(container: Json, pod: Json, key: str) -> Any:
    value = _context(container).get(key)
    return pod.get(key) if value is None else value


def _profile(profile: Json | None) -> bool:
    return (profile or {}).get("type") in ("RuntimeDefault", "Localhost")


def _check_quota(store: Store, quota: Json, new: Json) -> None:
    hard = quota["spec"].get("hard") or {}
    name, namespace = new["metadata"]["name"], new["metadata"]["namespace"]
    active = [one for one in store.all(PODS, namespace) if one["status"].get("phase") not in ("Succeeded", "Failed")]
    missing = sorted(key for key in hard if key not in ("pods", "count/pods") and _usage(new, key) is None)
    if missing:
        holders = ", ".join(one["name"] for one in new["spec"]["containers"])
        which = f"must specify {','.join(missing)} for: {holders}"
        raise forbidden(PODS, name, f"failed quota: {quota['metadata']['name']}: {which}")
    over = {}
    for key in sorted(hard):
        used = sum(_usage(one, key) or 0 for one in active)
        requested = _usage(new, key) or 0
        if used + requested > amount(hard[key]):
            over[key] = requested, used, hard[key]
    if over:
        parts = (",".join(f"{key}={values[index]}" for key, values in over.items()) for index in range(3))
        requested, used, limited = parts
        why = f"exceeded quota: {quota['metadata']['name']}, requested: {requested}, used: {used}, limited: {limited}"
        raise forbidden(PODS, name, why)


def _usage(found: Json, key: str) -> Any:
    """Return what a pod counts for under a quota's key, or None where it must say and does not."""
    if key in ("pods", "count/pods"):
        return 1
    part, _, resource = key.partition(".")
    if part not in ("requests", "limits"):
        part, resource = "requests", key
    values = [(one["resources"].get(part) or {}).get(resource) for one in found["spec"]["containers"]]
    if "/" in resource:
        return sum(amount(value) for value in values if value)
    return None if None in values else sum(amount(value) for value in values)
