"""``ls``: what lm-eval offers, from the catalogue."""

from __future__ import annotations

import argparse
import fnmatch
import json
from typing import Any

from rich.console import Console
from rich.table import Table

from airflow_provider_lmeval.catalog import SUITES, catalog


def main(arguments: argparse.Namespace) -> int:
    """Print the matching entries; 1 if there are none."""
    rows = _rows(arguments.kind, arguments.pattern)
    if arguments.json:
        print(json.dumps(rows, indent=1))
    elif rows:
        _print(rows, arguments.kind)
    else:
        near = catalog().near(arguments.pattern or "")
        hint = f" Did you mean {', '.join(near)}?" if near else ""
        Console(stderr=True).print(f"no {arguments.kind} match {arguments.pattern!r}.{hint}", markup=False)
    return 0 if rows else 1


def _rows(kind: str, pattern: str | None) -> list[dict[str, Any]]:
    if kind == "tasks":
        return [
            {
                "name": task.name,
                "output_type": task.output_type,
                "metrics": [metric.name for metric in task.metrics],
                "num_fewshot": task.num_fewshot,
                "unsafe_code": task.unsafe_code,
            }
            for task in catalog().tasks(pattern)
        ]
    if kind == "groups":
        return [
            {"name": g.name, "members": list(g.members), "aggregates": g.aggregates} for g in catalog().groups(pattern)
        ]
    if kind == "tags":
        return [{"name": tag.name, "members": list(tag.members)} for tag in catalog().tags(pattern)]
    chosen = [suite for name, suite in SUITES.items() if fnmatch.fnmatch(name, pattern or "*")]
    return [{"name": s.name, "members": [t.task for t in s.tasks], "description": s.description} for s in chosen]


def _print(rows: list[dict[str, Any]], kind: str) -> None:
    table = Table(box=None, header_style="bold")
    for column in rows[0]:
        table.add_column(column, overflow="fold", no_wrap=column == "name")
    for row in rows:
        table.add_row(*map(_cell, row.values()))
    console = Console()
    console.print(table)
    console.print(f"{len(rows):,} {kind} of lm-eval {catalog().lm_eval_version}", style="dim", highlight=False)


def _cell(value: Any) -> str:
    if isinstance(value, list):
        shown = ", ".join(value[:8])
        return f"{shown} … ({len(value)})" if len(value) > 8 else shown
    if isinstance(value, bool):
        return "yes" if value else ""
    return "" if value is None else str(value)
