"""The rules whose violation is a 422: those that a pod written by hand or by KubernetesPodOperator can hit.

Wording and order follow ``k8s.io/kubernetes/pkg/apis/core/validation``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from tests.kube.defaults import containers
from tests.kube.errors import (
    Cause,
    bad_value,
    duplicate,
    field_forbidden,
    missing,
    required,
    too_long,
    unsupported,
)

Json = dict[str, Any]

_LABEL_RE = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN_RE = rf"{_LABEL_RE}(\.{_LABEL_RE})*"
_VALUE_RE = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"
_SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    f"end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN_RE}')"
)
_LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an "
    f"alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL_RE}')"
)
_VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    f"'{_VALUE_RE}')"
)
_QUALIFIED = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
MUTABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
LARGEST_DATA = 1024 * 1024
"""Bytes of all values of a ConfigMap or a Secret (``MaxSecretSize``)."""
LARGEST_ANNOTATIONS = 256 * 1024


def metadata(new: Json, names: str = "subdomain") -> list[Cause]:
    """Check what every object has: name, labels, annotations.

    :param names: what names may be: ``subdomain`` or ``label`` (RFC 1123).
    """
    found, causes = new["metadata"], []
    pattern, words = (_SUBDOMAIN_RE, _SUBDOMAIN) if names == "subdomain" else (_LABEL_RE, _LABEL)
    limit = 253 if names == "subdomain" else 63
    if not found.get("name"):
        causes.append(required("metadata.name", "name or generateName is required"))
    elif not re.fullmatch(pattern, found["name"]):
        causes.append(bad_value("metadata.name", found["name"], words))
    elif len(found["name"]) > limit:
        causes.append(bad_value("metadata.name", found["name"], f"must be no more than {limit} bytes"))
    causes += _labels(found.get("labels") or {}, "metadata.labels")
    annotations = found.get("annotations") or {}
    if sum(len(key) + len(value.encode()) for key, value in annotations.items()) > LARGEST_ANNOTATIONS:
        causes.append(too_long("metadata.annotations", LARGEST_ANNOTATIONS))
    return causes


def _labels(labels: dict[str, str], field: str) -> Iterator[Cause]:
    for key, value in labels.items():
        if not re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?", key.rpartition("/")[2]):
            yield bad_value(field, key, _QUALIFIED)
        if len(value) > 63:
            yield bad_value(field, value, "must be no more than 63 bytes")
        elif not re.fullmatch(_VALUE_RE, value):
            yield bad_value(field, value, _VALUE)


def pod(new: Json, old: Json | None) -> list[Cause]:
    """Check a pod; a changed one only for what may not change."""
    if old is not None:
        return metadata(new) + _changes(new["spec"], old["spec"])
    spec = new["spec"]
    causes = metadata(new) + list(_volumes(spec))
    if not spec.get("containers"):
        causes.append(required("spec.containers"))
    seen: set[str] = set()
    for part in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(part) or []):
            causes += _container(container, f"spec.{part}[{index}]", spec, seen)
    return causes + list(_pod_fields(spec))


def _changes(new: Json, old: Json) -> list[Cause]:
    causes, fresh, kept = [], dict(new), dict(old)
    deadline, before = fresh.pop("activeDeadlineSeconds", None), kept.pop("activeDeadlineSeconds", None)
    if deadline != before and (deadline is None or (before is not None and deadline > before)):
        causes.append(bad_value("spec.activeDeadlineSeconds", deadline, "must be less than or equal to previous value"))
    tolerations, earlier = fresh.pop("tolerations", []), kept.pop("tolerations", [])
    if any(one not in tolerations for one in earlier):
        causes.append(
            field_forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")
        )
    for part in ("containers", "initContainers"):
        for spec in (fresh, kept):
            spec[part] = [{**one, "image": ""} for one in spec.get(part) or []]
    if fresh != kept:
        changed = sorted(key for key in {*fresh, *kept} if fresh.get(key) != kept.get(key))
        causes.append(field_forbidden("spec", f"{MUTABLE}\n changed: {', '.join(changed)}\n"))
    return causes


def _volumes(spec: Json) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, volume in enumerate(spec.get("volumes") or []):
        field, name = f"spec.volumes[{index}].name", volume.get("name") or ""
        if not name:
            yield required(field)
        elif not re.fullmatch(_LABEL_RE, name):
            yield bad_value(field, name, _LABEL)
        elif name in seen:
            yield duplicate(field, name)
        if len(volume) > 2:
            yield field_forbidden(field.removesuffix(".name"), "may not specify more than 1 volume type")
        seen.add(name)


def _container(container: Json, field: str, spec: Json, seen: set[str]) -> Iterator[Cause]:
    name = container.get("name") or ""
    if not name:
        yield required(f"{field}.name")
    elif not re.fullmatch(_LABEL_RE, name) or len(name) > 63:
        yield bad_value(f"{field}.name", name, _LABEL)
    elif name in seen:
        yield duplicate(f"{field}.name", name)
    seen.add(name)
    if not container.get("image"):
        yield required(f"{field}.image")
    policies = ("Always", "IfNotPresent", "Never")
    if container.get("imagePullPolicy") not in policies:
        yield unsupported(f"{field}.imagePullPolicy", container.get("imagePullPolicy"), policies)
    for index, variable in enumerate(container.get("env") or []):
        if not variable.get("name"):
            yield required(f"{field}.env[{index}].name")
    yield from _mounts(container, field, {volume.get("name") for volume in spec.get("volumes") or []})
    yield from _resources(container["resources"], f"{field}.resources")


def _mounts(container: Json, field: str, volumes: set[str | None]) -> Iterator[Cause]:
    paths: set[str] = set()
    for index, mount in enumerate(container.get("volumeMounts") or []):
        path = mount.get("mountPath") or ""
        if mount.get("name") not in volumes:
            yield missing(f"{field}.volumeMounts[{index}].name", mount.get("name"))
        if not path:
            yield required(f"{field}.volumeMounts[{index}].mountPath")
        elif path in paths:
            yield bad_value(f"{field}.volumeMounts[{index}].mountPath", path, "must be unique")
        paths.add(path)


def _resources(resources: Json, field: str) -> Iterator[Cause]:
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for name, text in {**requests, **limits}.items():
        if amount(text) is None:
            yield bad_value(f"{field}.limits[{name}]", text, "quantities must match the regular expression "
                            "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")  # fmt: skip
            return
    for name, text in requests.items():
        extended = "/" in name
        if name in limits and amount(text) > amount(limits[name]):
            yield bad_value(f"{field}.requests", text, f"must be less than or equal to {name} limit of {limits[name]}")
        elif extended and name not in limits:
            yield required(f"{field}.limits", "Limit must be set for non overcommitable resources")
        elif extended and amount(text) != amount(limits[name]):
            yield bad_value(f"{field}.requests", text, f"must be equal to {name} limit of {limits[name]}")


@cache
def amount(quantity: str) -> Any:
    """Return a quantity as a number, or None where it is none."""
    from kubernetes.utils.quantity import parse_quantity

    try:
        return parse_quantity(quantity)
    except ValueError:
        return None


def _pod_fields(spec: Json) -> Iterator[Cause]:
    policies = ("Always", "OnFailure", "Never")
    if spec["restartPolicy"] not in policies:
        yield unsupported("spec.restartPolicy", spec["restartPolicy"], policies)
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline < 2**31:
        yield bad_value("spec.activeDeadlineSeconds", deadline, "must be between 1 and 2147483647, inclusive")
    if spec["terminationGracePeriodSeconds"] < 0:
        grace = spec["terminationGracePeriodSeconds"]
        yield bad_value("spec.terminationGracePeriodSeconds", grace, "must be greater than or equal to 0")
    if any(one.get("restartPolicy") not in (None, "Always") for one in containers(spec)):
        yield unsupported("spec.initContainers[0].restartPolicy", "", ("Always",))


def secret(new: Json, old: Json | None) -> list[Cause]:
    """Check a secret."""
    return metadata(new) + _data(new, old, "data", (new.get("data") or {}).values())


def config_map(new: Json, old: Json | None) -> list[Cause]:
    """Check a config map."""
    values = [*(new.get("data") or {}).values(), *(new.get("binaryData") or {}).values()]
    return metadata(new) + _data(new, old, "[]", values)


def _data(new: Json, old: Json | None, field: str, values: Any) -> list[Cause]:
    causes = []
    if sum(len(value.encode()) for value in values) > LARGEST_DATA:
        causes.append(too_long(field, LARGEST_DATA))
    if old is not None and old.get("immutable") and new.get("data") != old.get("data"):
        causes.append(field_forbidden("data", "field is immutable when `immutable` is set"))
    return causes


def claim(new: Json, old: Json | None) -> list[Cause]:
    """Check a claim."""
    spec, causes = new["spec"], metadata(new)
    if old is None and not spec.get("accessModes"):
        causes.append(required("spec.accessModes", "at least 1 access mode is required"))
    if old is None and not ((spec.get("resources") or {}).get("requests") or {}).get("storage"):
        causes.append(required("spec.resources[storage]"))
    return causes


def namespace(new: Json, old: Json | None) -> list[Cause]:
    """Check a namespace."""
    return metadata(new, names="label")
