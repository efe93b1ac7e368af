"""``import-config``: the ConfigMap of TrustyAI's operator as an ``[lmeval]`` section."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_provider_lmeval.errors import ConfigError, ManifestError
from airflow_provider_lmeval.hooks.operator_config import import_config, known
from airflow_provider_lmeval.plan.lmevaljob import read_documents
from airflow_provider_lmeval.results.readers.bundle import mapping


def main(arguments: argparse.Namespace) -> int:
    """Print the section; what an administrator has to know goes to standard error."""
    imported = import_config(_config_map(arguments.config_map))
    for note in imported.notes:
        print(f"note: {note}", file=sys.stderr)
    if not imported.options:
        raise ConfigError(f"{arguments.config_map!r} has no setting of evaluations; give the operator's ConfigMap")
    print("[lmeval]")
    for name, value in imported.options.items():
        print(f"{name} = {value}")
    return 0


def _config_map(path: str) -> object:
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
        found = read_documents(text)
    except (OSError, UnicodeDecodeError, ManifestError) as error:
        raise ConfigError(f"cannot read {path!r}: {error}") from None
    maps = [document.data for document in found if document.kind == "ConfigMap"] or [each.data for each in found[:1]]
    if len(maps) == 1:
        return maps[0]
    return _merged([data for each in maps if known(data := mapping(each.get("data")))], path)


def _merged(maps: list[Mapping[str, Any]], path: str) -> Mapping[str, Any]:
    """Return the keys of the operator's and the platform's ConfigMap, out of whatever kustomize has printed."""
    merged: dict[str, Any] = {}
    for data in maps:
        if twice := sorted(merged.keys() & data.keys()):
            raise ConfigError(f"{path!r} has {', '.join(twice)} in two ConfigMaps; give those of one operator")
        merged |= data
    return merged
