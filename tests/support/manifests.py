"""The manifests in docker/kubernetes, read as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.kube import Rule

DIRECTORY = Path(__file__).parents[2] / "docker" / "kubernetes"


def manifest(name: str) -> dict[str, Any]:
    """Return the object in a file.

    :param name: of the file below ``docker/kubernetes``, without ``.yaml``.
    """
    found: dict[str, Any] = yaml.safe_load((DIRECTORY / f"{name}.yaml").read_text(encoding="utf-8"))
    return found


def role(namespace: str, name: str = "role") -> list[Rule]:
    """Return the rules of a Role, as the test server takes them.

    :param namespace: that it is bound in. :param name: of the file, as of :func:`manifest`.
    """
    return [
        Rule(tuple(rule["verbs"]), tuple(rule["resources"]), (namespace,), tuple(rule["apiGroups"]))
        for rule in manifest(name)["rules"]
    ]
