"""Small operations on a pod's manifest that keep what is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Manifest = dict[str, Any]


def fill(target: Manifest, defaults: Mapping[str, Any]) -> None:
    """Set what is missing, at any depth of nested objects; lists count as one value.

    :param defaults: None and empty values set nothing.
    """
    for name, value in defaults.items():
        if isinstance(value, Mapping) and isinstance(target.get(name), dict):
            fill(target[name], value)
        elif value not in (None, {}, []) and target.get(name) in (None, {}, []):
            target[name] = value


def add(container: Manifest, field: str, item: Manifest) -> None:
    """Append to a list of named things, unless the name is taken."""
    items = container.setdefault(field, [])
    if all(each.get("name") != item["name"] for each in items):
        items.append(item)


def mount(
    spec: Manifest,
    container: Manifest,
    name: str,
    path: str,
    source: Manifest,
    options: Manifest | None = None,
) -> None:
    """Mount a volume, unless something is mounted at that path already.

    :param source: the volume's kind, such as ``{"emptyDir": {}}``.
    :param options: of the mount: ``readOnly``, ``subPath``.
    """
    mounts = container.setdefault("volumeMounts", [])
    if any(each["mountPath"].rstrip("/") == path.rstrip("/") for each in mounts):
        return
    mounts.append({"name": name, "mountPath": path} | (options or {}))
    add(spec, "volumes", {"name": name} | source)
