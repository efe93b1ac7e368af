"""``validate``: everything that is wrong with a spec, at once, without running anything."""

from __future__ import annotations

import argparse
import sys

import yaml

from airflow_provider_lmeval.cli.data import check_data
from airflow_provider_lmeval.cli.gate import read_baseline, read_rules
from airflow_provider_lmeval.errors import GateError, SpecError
from airflow_provider_lmeval.gate.preflight import preflight
from airflow_provider_lmeval.hooks.settings import resolve
from airflow_provider_lmeval.plan import check
from airflow_provider_lmeval.spec import EvalSpec


def read_spec(path: str) -> EvalSpec:
    """Read a spec from a file, or from standard input for ``-``.

    :raises SpecError: it cannot be read or is not valid.
    """
    return EvalSpec.from_yaml(sys.stdin.read()) if path == "-" else EvalSpec.from_file(path)


def main(arguments: argparse.Namespace) -> int:
    """Print the problems; 2 if one of them is an error."""
    spec = read_spec(arguments.spec)
    try:
        past = read_baseline(arguments.baseline)
        foreseen = preflight(spec, read_rules(arguments.rules), past.result if past else None)
    except GateError as error:
        raise SpecError(str(error)) from None
    problems = [*check(spec, resolve().grants), *check_data(spec)]
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
