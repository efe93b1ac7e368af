"""The same commands as ``airflow lmeval …``, for Airflow versions that take commands from providers (3.2 and newer)."""

from __future__ import annotations

import argparse
from typing import Any


def get_lmeval_cli_commands() -> list[Any]:
    """Return the commands in the form of ``airflow.cli.cli_config``."""
    from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand

    from airflow_provider_lmeval.cli import parser

    def command(name: str, text: str, module: str, add: Any) -> Any:
        return ActionCommand(name=name, help=text, func=_runner(module), args=_args(add, Arg))

    return [
        GroupCommand(
            name="lmeval",
            help="Evaluate language models",
            subcommands=[
                command("ls", "List what can be evaluated", "listing", parser.add_ls_arguments),
                command("reap", "Remove pods and jobs that nobody owns", "reap", parser.add_reap_arguments),
                command("run", "Evaluate on this machine", "run", parser.add_run_arguments),
                command("validate", "Check a spec", "validate", parser.add_validate_arguments),
                command("gate", "Decide on stored evidence", "gate", parser.add_gate_arguments),
                command("calibrate", "How noisy a baseline is", "calibrate", parser.add_calibrate_arguments),
                command("baseline", "What was promoted, and when", "baseline", parser.add_baseline_arguments),
                command("promote", "Put a model in force", "promote", parser.add_promote_arguments),
                command("rollback", "Put an earlier model in force again", "rollback", parser.add_rollback_arguments),
                command("convert", "Translate LMEvalJob manifests", "convert", parser.add_convert_arguments),
                command(
                    "import-config",
                    "Translate the operator's ConfigMap",
                    "import_config",
                    parser.add_import_config_arguments,
                ),
                command("power", "What a suite could decide", "power", parser.add_power_arguments),
            ],
        )
    ]


def _runner(module: str) -> Any:
    def run(arguments: argparse.Namespace) -> None:
        from airflow_provider_lmeval.cli.parser import run_command

        if code := run_command(argparse.Namespace(**{**vars(arguments), "command": module})):
            raise SystemExit(code)

    return run


def _args(add: Any, arg: Any) -> list[Any]:
    """Translate the arguments of our parser into Airflow's, so that they are written once."""
    own = argparse.ArgumentParser(add_help=False)
    add(own)
    return [_arg(action, arg) for action in own._actions]


def _arg(action: argparse.Action, arg: Any) -> Any:
    flags = tuple(action.option_strings) or (action.dest,)
    if isinstance(action, argparse._StoreTrueAction):
        return arg(flags, help=action.help, action="store_true")
    names = ("help", "choices", "nargs", "metavar", "default")
    given = {key: value for key in names if (value := getattr(action, key)) is not None}
    if isinstance(action, argparse._AppendAction):
        given["action"] = "append"
    return arg(flags, **given)
