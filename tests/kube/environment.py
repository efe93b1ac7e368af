"""A container's environment and command line, from its spec and from what the spec refers to.

``$(NAME)`` is replaced by the kubelet and not by a shell: in values only names defined before, in command and args all of
the container's; unknown ones stay, ``$$`` is a dollar sign (``k8s.io/kubernetes/third_party/forked/golang/expansion``).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

from tests.kube.kinds import CONFIG_MAPS, SECRETS
from tests.kube.store import Store

Json = dict[str, Any]

_REFERENCE = re.compile(r"\$\$|\$\(([^)]*)\)")
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")


class ConfigError(Exception):
    """Something that the container refers to is not there; the kubelet waits for it (``CreateContainerConfigError``)."""


def expand(text: str, known: Mapping[str, str]) -> str:
    """Replace ``$(NAME)``."""

    def value(found: re.Match[str]) -> str:
        return "$" if found[0] == "$$" else known.get(found[1], found[0])

    return _REFERENCE.sub(value, text)


def build(
    store: Store, pod: Json, container: Json, fields: Mapping[str, str], base: Mapping[str, str]
) -> dict[str, str]:
    """Return the environment of a container.

    :param fields: values of the downward API's ``status.*`` and ``spec.nodeName``.
    :param base: what the image and the runtime set.
    :raises ConfigError: a secret, a config map or a key of it is missing.
    """
    known = dict(base)
    for source in container.get("envFrom") or []:
        known |= {source.get("prefix", "") + key: value for key, value in _all_of(store, pod, source).items()}
    for variable in container.get("env") or []:
        value = _value(store, pod, container, variable, fields)
        if value is not None:
            known[variable["name"]] = expand(value, known)
    return known


def _all_of(store: Store, pod: Json, source: Json) -> dict[str, str]:
    if reference := source.get("secretRef"):
        return _values(store, pod, "secret", reference) or {}
    return _values(store, pod, "configmap", source["configMapRef"]) or {}


def _value(store: Store, pod: Json, container: Json, variable: Json, fields: Mapping[str, str]) -> str | None:
    source = variable.get("valueFrom")
    if not source:
        return variable.get("value", "")
    if reference := source.get("fieldRef"):
        return field(pod, reference["fieldPath"], fields)
    if reference := source.get("resourceFieldRef"):
        return _resource(container, reference["resource"])
    noun, reference = (
        ("secret", source["secretKeyRef"]) if "secretKeyRef" in source else ("configmap", source["configMapKeyRef"])
    )
    values = _values(store, pod, noun, reference)
    if values is not None and reference["key"] in values:
        return values[reference["key"]]
    if reference.get("optional"):
        return None
    kind = "Secret" if noun == "secret" else "ConfigMap"
    where = f"{pod['metadata']['namespace']}/{reference['name']}"
    raise ConfigError(f"couldn't find key {reference['key']} in {kind} {where}")


def _values(store: Store, pod: Json, noun: str, reference: Json) -> dict[str, str] | None:
    found = store.find(SECRETS if noun == "secret" else CONFIG_MAPS, (pod["metadata"]["namespace"], reference["name"]))
    if found is None:
        if reference.get("optional"):
            return None
        raise ConfigError(f'{noun} "{reference["name"]}" not found')
    return {key: value.decode() for key, value in contents(found).items()}


def contents(found: Json) -> dict[str, bytes]:
    """Return the values of a secret or a config map."""
    data = found.get("data") or {}
    if found["kind"] == "Secret":
        return {key: base64.b64decode(value) for key, value in data.items()}
    binary = found.get("binaryData") or {}
    return {key: value.encode() for key, value in data.items()} | {
        key: base64.b64decode(value) for key, value in binary.items()
    }


def field(pod: Json, path: str, fields: Mapping[str, str]) -> str:
    """Return a value of the downward API."""
    if found := _SUBSCRIPT.fullmatch(path):
        return (pod["metadata"].get(found[1]) or {}).get(found[2], "")
    if path in ("metadata.labels", "metadata.annotations"):
        values = pod["metadata"].get(path.partition(".")[2]) or {}
        return "\n".join(f'{key}="{value}"' for key, value in sorted(values.items()))
    if path in fields:
        return fields[path]
    part, _, name = path.partition(".")
    return str(pod[part].get(name, ""))


def _resource(container: Json, path: str) -> str:
    from tests.kube.validation import amount

    part, _, name = path.partition(".")
    found = (container.get("resources", {}).get(part) or {}).get(name)
    return str(int(amount(found))) if found else "0"


def command(container: Json, environment: Mapping[str, str], entrypoint: list[str], arguments: list[str]) -> list[str]:
    """Return the command line: ``command`` replaces the image's entry point and its arguments, ``args`` its arguments."""
    if container.get("command"):
        words = [*container["command"], *(container.get("args") or [])]
    else:
        words = [*entrypoint, *(container.get("args") or arguments)]
    return [expand(word, environment) for word in words]
