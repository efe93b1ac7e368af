"""What a pod is told about its run, and small operations on a manifest that keep what is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Manifest = dict[str, Any]


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
    :param executes_code: it may run code of models, tasks or data.
    :param asks_network: it has asked for a network: online access, or a served model.
    :param precedes: the run whose preflight this is, if it is one.
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
    executes_code: bool = False
    asks_network: bool = False
    precedes: str = ""


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
