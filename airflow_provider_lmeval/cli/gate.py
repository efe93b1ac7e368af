"""``gate``: a verdict on evidence in directories, without a DAG, for a shell or any CI.

The exit status is the verdict. Evidence that cannot be read is ERROR, as everywhere; only a call or rules that cannot be
right are a usage error.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from airflow_provider_lmeval.errors import GateError, LMEvalError
from airflow_provider_lmeval.gate import Check, Outcome, RuleSet, Verdict, decide
from airflow_provider_lmeval.gate.verdict import Subject
from airflow_provider_lmeval.hooks.settings import resolve
from airflow_provider_lmeval.results.readers import Evidence
from airflow_provider_lmeval.store.baselines import PREFIX, resolve_baseline
from airflow_provider_lmeval.store.calibration import calibration_of
from airflow_provider_lmeval.store.evidence import read_evidence, score_tables
from airflow_provider_lmeval.store.location import locate
from airflow_provider_lmeval.store.reports import check_format, make_report, write_report

EXIT_CODES = {Outcome.PASS: 0, Outcome.WARN: 0, Outcome.FAIL: 1, Outcome.INCONCLUSIVE: 3, Outcome.ERROR: 4}
USAGE = 2
COLOURS = {
    Outcome.PASS: "green", Outcome.WARN: "yellow", Outcome.INCONCLUSIVE: "magenta", Outcome.FAIL: "red",
    Outcome.ERROR: "bold red",
}  # fmt: skip


def main(arguments: argparse.Namespace) -> int:
    """Print the verdict and return its exit status."""
    try:
        rules = read_rules(arguments.rules)
        if arguments.report:
            check_format(arguments.report)
    except GateError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    try:
        candidate = read_evidence(arguments.candidate)
        baseline = read_baseline(arguments.baseline)
        verdict = decide(
            rules,
            candidate.result,
            baseline.result if baseline else None,
            score_tables(candidate, baseline),
            calibration_of(arguments.baseline, resolve().results_uri),
        )
    except LMEvalError as error:
        return _unreadable(error, arguments)
    if arguments.json:
        print(json.dumps(verdict.to_data()))
    else:
        _print(verdict, candidate, baseline)
    _report(arguments.report, verdict, candidate, baseline)
    return EXIT_CODES[verdict.outcome]


def read_rules(said: str) -> RuleSet:
    """Read rules from a file, or from standard input for ``-``; anything else is the name of a ready set.

    :raises GateError: they cannot be right.
    """
    if said == "-":
        return RuleSet.from_yaml(sys.stdin.read())
    if Path(said).exists() or said.endswith((".yaml", ".yml", ".json")):
        return RuleSet.from_file(said)
    return RuleSet.parse(said)


def read_baseline(said: str | None) -> Evidence | None:
    """Read the baseline.

    :raises LMEvalError: it cannot be read, or was never promoted: a baseline that was asked for is no option.
    """
    if said is None:
        return None
    uri = resolve_baseline(said, resolve().results_uri) if said.startswith(PREFIX) else said
    if uri is None:
        raise GateError(f"baseline: nothing was promoted as {said!r}; name the baseline's results, or leave it out")
    return read_evidence(uri)


def _unreadable(error: LMEvalError, arguments: argparse.Namespace) -> int:
    """Tell about evidence that cannot be read: a verdict, too."""
    subject = Subject(run_id=arguments.candidate)
    verdict = Verdict(outcome=Outcome.ERROR, action="block", candidate=subject, reasons=(str(error),))
    if arguments.json:
        print(json.dumps(verdict.to_data()))
    print(f"verdict ERROR: {error}", file=sys.stderr)
    _report(arguments.report, verdict)
    return EXIT_CODES[Outcome.ERROR]


def _report(
    name: str | None, verdict: Verdict, candidate: Evidence | None = None, baseline: Evidence | None = None
) -> None:
    """Write the report, if one is asked for. The verdict stands without it, so its failure is told and no more."""
    if not name:
        return
    directory, _, file = name.rpartition("/")
    try:
        place = locate(directory or ("/" if name.startswith("/") else "."))
        write_report(place, file, make_report(name, verdict, candidate, baseline))
    except LMEvalError as error:
        print(f"no report: {error}", file=sys.stderr)


def _print(verdict: Verdict, candidate: Evidence, baseline: Evidence | None) -> None:
    console = Console()
    for side, evidence in (("candidate", candidate), ("baseline", baseline)):
        if evidence:
            console.print(
                f"{side}: {evidence.result.model.name} ({evidence.kind})", style="dim", markup=False, soft_wrap=True
            )
            for note in evidence.notes:
                console.print(f"  {note}", style="dim", markup=False)
    if verdict.checks:
        console.print(_table(verdict.checks))
    console.print(Text.assemble("verdict ", (str(verdict.outcome), COLOURS[verdict.outcome])))
    for reason in verdict.reasons:
        console.print(f"- {reason}", markup=False, highlight=False, soft_wrap=True)


def _table(checks: tuple[Check, ...]) -> Table:
    """Return the checks as a table that a log of 80 columns holds: there nobody can make it wider."""
    table = Table(header_style="bold")
    table.add_column("", no_wrap=True)
    table.add_column("check", overflow="fold")
    for column in ("candidate", "baseline", "difference", "n"):
        table.add_column(column, justify="right", no_wrap=True)
    for check in checks:
        outcome = Text(
            check.label.replace(" ", "\n"), COLOURS[check.outcome] if check.label == check.outcome else "dim"
        )
        figures = (_figure(check.value), _figure(check.baseline), _figure(check.difference, sign="+"))
        table.add_row(outcome, Text(_asked(check)), *figures, "" if check.n is None else f"{check.n:,}")
    return table


def _asked(check: Check) -> str:
    """Return what was asked: of which score, which condition, and by which rule if that is called otherwise."""
    score = f"{check.task} {check.metric.removesuffix(',none')}"
    condition = "" if check.condition is None else f"{check.condition} {_figure(check.threshold)}"
    rule = "" if check.rule == score else f"({check.rule})"
    return "\n".join(filter(None, (score, " ".join(filter(None, (condition, rule))))))


def _figure(value: float | None, sign: str = "") -> str:
    return "" if value is None else f"{value:{sign}.4g}"
