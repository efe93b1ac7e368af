"""``metadata`` and ``status``, both ways: what a user gave stays, what the cluster added is left out by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_lmeval.plan.lmevaljob.findings import Findings
from airflow_provider_lmeval.spec.lmevaljob import LMEvalJobSettings

_KEPT = {"name": "name", "generateName": "generate_name", "namespace": "namespace"}
_MAPS = ("labels", "annotations")
_CLUSTERS = frozenset(
    {
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "finalizers",
        "generation",
        "managedFields",
    }
    | {"ownerReferences", "resourceVersion", "selfLink", "uid"}
)
"""Fields that the cluster sets, or that mean something to one object only."""
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def read_metadata(manifest: Mapping[str, Any], findings: Findings) -> dict[str, Any]:
    """Return the settings' name, namespace, labels and annotations."""
    found: dict[str, Any] = {}
    for name, value in manifest.get("metadata", {}).items():
        if name in _CLUSTERS:
            findings.warn(("metadata", name), "is set by the cluster; left out")
        elif name in _MAPS and isinstance(value, dict):
            found[name] = _strings(name, value, findings)
        elif name in _KEPT and isinstance(value, str):
            found[_KEPT[name]] = value
        elif name in (*_MAPS, *_KEPT):
            findings.error(
                ("metadata", name), f"found {value!r}; must be {'a mapping' if name in _MAPS else 'a string'}"
            )
        else:
            findings.error(("metadata", name), "is no field of an object's metadata")
    if "status" in manifest:
        findings.warn(("status",), "belongs to one run and is left out")
    return found


def _strings(kind: str, items: Mapping[str, Any], findings: Findings) -> dict[str, str]:
    found = {}
    for name, value in items.items():
        if name == _LAST_APPLIED:
            findings.warn(("metadata", kind, name), "repeats the manifest; left out")
        elif isinstance(value, str):
            found[name] = value
        else:
            findings.error(("metadata", kind, name), f'must be a string; put it in quotes: "{value}"')
    return found


def write_metadata(job: LMEvalJobSettings) -> dict[str, Any]:
    """Return ``metadata``."""
    found = {name: value for name, ours in _KEPT.items() if (value := getattr(job, ours))}
    return found | {name: dict(value) for name in _MAPS if (value := getattr(job, name))}
