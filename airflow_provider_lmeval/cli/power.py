"""``power``: what a suite could decide, before it is evaluated.

From numbers alone, or from past evaluations, which know how many documents there are and how much two models differ.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table
from rich.text import Text

from airflow_provider_lmeval.errors import GateError, LMEvalError
from airflow_provider_lmeval.gate.planning import SUITE, Known, Plan, limit_for, measured, plan
from airflow_provider_lmeval.store.evidence import read_evidence, score_tables

USAGE = 2


def main(arguments: argparse.Namespace) -> int:
    """Print what each task and all of them together can decide; 0 if the suite can, 1 if not, 2 for a wrong call."""
    try:
        margin, confidence, power = (_share(arguments, name) for name in ("margin", "confidence", "power"))
        tasks, suite = _known(arguments, _share(arguments, "discordance"))
        plans = plan(tasks, margin, suite=suite, confidence=confidence, power=power)
    except LMEvalError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    whole = plans[-1]
    limit = limit_for(tasks, whole.needed)
    decides = whole.chance >= power
    if arguments.json:
        print(json.dumps({"plans": [asdict(each) for each in plans], "decides": decides, "limit": limit}))
    else:
        _print(plans, margin, _advice(whole, limit, decides=decides))
    return 0 if decides else 1


def _share(arguments: argparse.Namespace, name: str) -> float:
    """Read a number between 0 and 1.

    :raises GateError: it is not.
    """
    text = str(getattr(arguments, name))
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise GateError(f"--{name}: {text!r} is not a number between 0 and 1; 0.01 is one percent")
    return value


def _known(arguments: argparse.Namespace, discordance: float) -> tuple[dict[str, Known], Known | None]:
    """Return what is known of the tasks: from past results, from the command line, or from both.

    :raises GateError: nothing is known. :raises LMEvalError: a result cannot be read.
    """
    tasks: dict[str, Known] = {}
    suite = None
    past: Sequence[str] = arguments.results or ()
    if len(past) == 2:
        candidate, baseline = (read_evidence(uri) for uri in past)
        tables = score_tables(candidate, baseline)
        tasks, suite = measured(candidate.result, baseline.result, tables)
    elif len(past) == 1:
        entries = read_evidence(past[0]).result.tasks.items()
        tasks = {
            name: Known(entry.n_samples.effective, discordance)
            for name, entry in entries
            if entry.kind == "task" and entry.n_samples and entry.n_samples.effective
        }
    elif past:
        raise GateError(f"give at most two past results, not {len(past)}")
    tasks |= dict(_counted(text, discordance) for text in arguments.documents)
    if not tasks:
        raise GateError("how many documents? give --documents 1000, --documents TASK=1000, or past results")
    return tasks, suite if not arguments.documents else None


def _counted(text: str, discordance: float) -> tuple[str, Known]:
    """Read ``1000`` or ``TASK=1000``.

    :raises GateError: it is neither.
    """
    name, _, number = text.rpartition("=")
    if not number.isdecimal() or not int(number):
        raise GateError(f"--documents: {text!r} is neither a number of documents nor TASK=NUMBER")
    return name or "suite", Known(int(number), discordance)


def _advice(whole: Plan, limit: int | None, *, decides: bool) -> str:
    if decides and limit and limit < whole.n:
        return f"Enough: {_count(whole.needed)} documents would do, as with limit {limit:,} per task."
    if decides:
        return "Enough."
    if whole.needed is None:
        return "Too few: no reachable number of documents would do. Allow a larger margin."
    return f"Too few: about {_count(whole.needed)} documents would do. Add tasks, or allow a larger margin."


def _print(plans: Sequence[Plan], margin: float, advice: str) -> None:
    table = Table(header_style="bold")
    table.add_column("task", overflow="fold")
    for column in ("documents", "disagree on", "sees a drop of", f"proves less than {margin:g}", "needs"):
        table.add_column(column, justify="right")
    for each in plans:
        figures = (
            f"{each.n:,}",
            f"{100 * each.variance:.3g} %",
            f"{each.detectable:.2g}",
            f"{100 * each.chance:.0f} %",
        )
        style = "bold" if each.name == SUITE else ""
        table.add_row(Text(each.name), *figures, _count(each.needed), style=style)
    console = Console()
    console.print(table)
    console.print(f"`proves`: how often a model without damage passes. {advice}", highlight=False, markup=False)


def _count(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"
