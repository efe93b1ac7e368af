"""``calibrate``: what two evaluations of one model say of its noise, and how often a gate would block it for nothing."""

from __future__ import annotations

import argparse
import json
import sys

from rich.console import Console
from rich.table import Table
from rich.text import Text

from airflow_provider_lmeval.cli.gate import read_rules
from airflow_provider_lmeval.errors import GateError, LMEvalError
from airflow_provider_lmeval.gate.calibration import Calibration
from airflow_provider_lmeval.hooks.settings import resolve
from airflow_provider_lmeval.store import Store
from airflow_provider_lmeval.store.calibration import calibrate_baseline, compare_evaluations

USAGE = 2


def main(arguments: argparse.Namespace) -> int:
    """Print what the two evaluations show, and keep it if a baseline is named; 2 for a wrong call."""
    try:
        found = _calibration(arguments)
    except LMEvalError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    if arguments.json:
        print(json.dumps(found.model_dump(mode="json")))
    else:
        _print(found)
    return 0


def _calibration(arguments: argparse.Namespace) -> Calibration:
    """Compare, and keep.

    :raises LMEvalError: the call, the rules or the evidence cannot be right.
    """
    rules, gates = read_rules(arguments.rules), _gates(arguments.gates)
    if bool(arguments.baseline) is not bool(arguments.suite):
        raise GateError("--baseline and --suite belong together: what was promoted, and what it is measured by")
    if not arguments.baseline:
        return compare_evaluations(rules, arguments.first, arguments.second, gates=gates)
    store = Store(resolve().results_uri)
    first, second = arguments.first, arguments.second
    return calibrate_baseline(store, arguments.baseline, arguments.suite, rules, second, first=first, gates=gates)


def _gates(said: object) -> int:
    """Read the number of gates.

    :raises GateError: it is no number.
    """
    if not str(said).isdecimal():
        raise GateError(f"--gates: {said!r} is no number")
    return int(str(said))


def _print(found: Calibration) -> None:
    table = Table(header_style="bold")
    for column in ("task", "metric"):
        table.add_column(column, overflow="fold")
    for column in ("documents", "changed", "second is worse by", "noise band"):
        table.add_column(column, justify="right")
    for task, metrics in found.noise.items():
        for metric, noise in metrics.items():
            figures = f"{noise.n:,}", f"{100 * noise.discordance:.3g} %", f"{noise.damage:+.4g}", f"{noise.band:.4g}"
            table.add_row(Text(task), Text(metric.removesuffix(",none")), *figures)
    console = Console()
    console.print(table)
    for field, values in found.settings.items():
        console.print(f"varied: {field} {values}", style="dim", markup=False, highlight=False)
    for each in found.left_out:
        console.print(f"not simulated: {each}", style="dim", markup=False, highlight=False)
    console.print(_rate(found), markup=False, highlight=False)


def _rate(found: Calibration) -> str:
    if found.false_block_rate is None:
        return f"{found.kind}; no rule of this set compares and blocks, so it cannot block the model against itself"
    asks = f", asks a person in {100 * found.asks / found.gates:.3g} %"
    return (
        f"{found.kind}; the gate blocks the model against itself in {100 * found.false_block_rate:.3g} %{asks} "
        f"of {found.gates:,} simulated gates"
    )
