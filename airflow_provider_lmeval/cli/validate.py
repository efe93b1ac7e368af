"""``validate``: everything that is wrong with a spec, at once, without running anything."""

from __future__ import annotations

import argparse
import re
import sys

import yaml

from airflow_provider_lmeval.cli.data import check_data
from airflow_provider_lmeval.cli.gate import read_baseline, read_rules
from airflow_provider_lmeval.errors import GateError, SpecError
from airflow_provider_lmeval.gate.preflight import preflight
from airflow_provider_lmeval.hooks.settings import Settings, resolve
from airflow_provider_lmeval.plan import Problem, check
from airflow_provider_lmeval.plan.lmevaljob import read_one
from airflow_provider_lmeval.plan.lmevaljob.schema import KIND
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.spec.evaluation import read_text

_MANIFEST = re.compile(rf"""^[\s{{,]*["']?kind["']?\s*:\s*["']?{KIND}\b""", re.MULTILINE)


def read_spec(path: str) -> EvalSpec:
    """Read a spec from a file, or from standard input for ``-``; from an LMEvalJob, what it says of one.

    :raises SpecError: it cannot be read or is not valid, with the lines of the text.
    """
    text = sys.stdin.read() if path == "-" else read_text(path)
    if not _MANIFEST.search(text):
        return EvalSpec.from_yaml(text)
    found = read_one(text)
    for warning in (*found.warnings, *found.beside_the_spec):
        print(f"warning: {warning} [lmevaljob]", file=sys.stderr)
    return found.spec


def _backends(spec: EvalSpec, settings: Settings, backend: str | None) -> list[Problem]:
    """Return what only the chosen backend cannot do."""
    if (backend or settings.backend) != "lmevaljob":
        return []
    from airflow_provider_lmeval.plan.lmevaljob.fit import job_problems

    return job_problems(spec, settings.job_settings())


def main(arguments: argparse.Namespace) -> int:
    """Print the problems; 2 if one of them is an error."""
    spec = read_spec(arguments.spec)
    try:
        past = read_baseline(arguments.baseline)
        foreseen = preflight(spec, read_rules(arguments.rules), past.result if past else None)
    except GateError as error:
        raise SpecError(str(error)) from None
    settings = resolve()
    problems = [*check(spec, settings.grants), *check_data(spec), *_backends(spec, settings, arguments.backend)]
    for problem in problems:
        print(f"{problem.level}: {problem.message} [{problem.id}]")
    for problem in {each.id: each for each in problems}.values():
        print(f"  {problem.id}: {problem.remedy}")
    for thin in foreseen:
        print(f"warning: {thin} [power]")
    if arguments.show:
        print(yaml.safe_dump(spec.to_data(), sort_keys=False, allow_unicode=True), end="")
    wrong = any(problem.level == "error" for problem in problems)
    print("not valid" if wrong else f"valid, content hash {spec.content_hash[:16]}")
    return 2 if wrong else 0
