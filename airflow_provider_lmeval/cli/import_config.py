"""``import-config``: the ConfigMap of TrustyAI's operator as an ``[lmeval]`` section."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from airflow_provider_lmeval.errors import ConfigError, ManifestError
from airflow_provider_lmeval.hooks.operator_config import import_config
from airflow_provider_lmeval.plan.lmevaljob import read_documents


def main(arguments: argparse.Namespace) -> int:
    """Print the section; what an administrator has to know goes to standard error."""
    imported = import_config(_config_map(arguments.config_map))
    for note in imported.notes:
        print(f"note: {note}", file=sys.stderr)
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
    if len(maps) != 1:
        raise ConfigError(f"{path!r} holds {len(maps)} ConfigMaps; give the operator's alone")
    return maps[0]
