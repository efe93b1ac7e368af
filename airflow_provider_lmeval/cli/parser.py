"""What the tool understands. Commands are loaded when they run: ``--help`` must not wait for an import."""

from __future__ import annotations

import argparse
import importlib
import sys

from airflow_provider_lmeval.errors import LMEvalError, SpecError

KINDS = ("tasks", "groups", "tags", "suites")


def build_parser(prog: str = "airflow-lmeval") -> argparse.ArgumentParser:
    """Return the whole parser.

    :param prog: name shown in usage lines.
    """
    parser = argparse.ArgumentParser(prog=prog, description="Evaluate language models with lm-evaluation-harness.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (add_ls, add_run, add_validate):
        add(commands)
    return parser


def add_ls(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``ls``."""
    parser = commands.add_parser("ls", help="list what can be evaluated", description="List what lm-eval offers.")
    add_ls_arguments(parser)
    parser.set_defaults(command="listing")


def add_ls_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ls``."""
    parser.add_argument("kind", choices=KINDS, help="what to list")
    parser.add_argument("pattern", nargs="?", help="only names that match, such as 'mmlu*'")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``run``."""
    parser = commands.add_parser(
        "run", help="evaluate on this machine", description="Evaluate on this machine and wait."
    )
    add_run_arguments(parser)
    parser.set_defaults(command="run")


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``run``."""
    parser.add_argument("spec", help="YAML file with an evaluation spec; - reads standard input")
    parser.add_argument("--results-uri", help="where results are kept (default: [lmeval] results_uri)")
    parser.add_argument("--python", help="interpreter that has lm-eval (default: [lmeval] driver_python, or this one)")
    parser.add_argument("--allow-online", action="store_true", help="allow downloads, if the spec asks for them too")
    parser.add_argument("--allow-code-execution", action="store_true", help="allow code of models and tasks, likewise")
    parser.add_argument("--allow-env", action="append", default=[], metavar="NAME", help="let the spec refer to NAME")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON instead of a table")


def add_validate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``validate``."""
    parser = commands.add_parser("validate", help="check a spec", description="Check a spec without running anything.")
    add_validate_arguments(parser)
    parser.set_defaults(command="validate")


def add_validate_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``validate``."""
    parser.add_argument("spec", help="YAML file with an evaluation spec; - reads standard input")
    parser.add_argument("--show", action="store_true", help="print the spec as it was understood")


def run_command(arguments: argparse.Namespace) -> int:
    """Run the chosen command and turn our errors into one line on standard error.

    :returns: the exit status.
    """
    module = importlib.import_module(f"airflow_provider_lmeval.cli.{arguments.command}")
    try:
        return int(module.main(arguments))
    except LMEvalError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, SpecError) else 1
    except BrokenPipeError:
        return 0
