"""What the tool understands. Commands are loaded when they run: ``--help`` must not wait for an import."""

from __future__ import annotations

import argparse
import importlib
import sys

from airflow_provider_lmeval import __version__
from airflow_provider_lmeval.errors import LMEvalError, SpecError

KINDS = ("tasks", "groups", "tags", "suites")
STRATEGIES = ("data", "model", "tensor")
BACKENDS = ("local", "kubernetes", "lmevaljob", "memory")


def build_parser(prog: str = "airflow-lmeval") -> argparse.ArgumentParser:
    """Return the whole parser.

    :param prog: name shown in usage lines.
    """
    parser = argparse.ArgumentParser(prog=prog, description="Evaluate language models with lm-evaluation-harness.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (
        add_ls,
        add_run,
        add_validate,
        add_gate,
        add_power,
        add_calibrate,
        add_baseline,
        add_promote,
        add_rollback,
        add_reap,
        add_convert,
        add_import_config,
    ):
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


def add_reap(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``reap``."""
    text = "Remove pods and LMEvalJobs of evaluations that no task owns any more, and those that ended long ago."
    parser = commands.add_parser("reap", help="remove pods and LMEvalJobs that nobody owns", description=text)
    add_reap_arguments(parser)
    parser.set_defaults(command="reap")


def add_reap_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``reap``."""
    parser.add_argument("--conn-id", help="connection of type LM Eval (default: lmeval_default if there is one)")
    parser.add_argument("--namespace", help="where to look (default: [lmeval] namespace)")
    parser.add_argument(
        "--ttl", type=float, metavar="SECONDS", help="keep ended ones so long (default: [lmeval] pod_ttl)"
    )
    parser.add_argument("--unknown", action="store_true", help="also those of tasks that this Airflow does not know")
    parser.add_argument("--dry-run", action="store_true", help="only print what would be removed")


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
    parser.add_argument("--gpu", type=int, metavar="COUNT", help="devices to use (default: [lmeval] local_gpu, or one)")
    parser.add_argument("--strategy", choices=STRATEGIES, help="how several devices share the evaluation; needs --gpu")
    parser.add_argument("--python", help="interpreter that has lm-eval (default: [lmeval] driver_python, or this one)")
    parser.add_argument("--allow-online", action="store_true", help="allow downloads, if the spec asks for them too")
    parser.add_argument("--allow-code-execution", action="store_true", help="allow code of models and tasks, likewise")
    parser.add_argument("--allow-env", action="append", default=[], metavar="NAME", help="let the spec refer to NAME")
    parser.add_argument(
        "--allow-data", action="append", default=[], metavar="DIR", help="let data files be read from below DIR"
    )
    parser.add_argument(
        "--allow-git-host", action="append", default=[], metavar="HOST", help="let task files be fetched from HOST"
    )
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
    parser.add_argument(
        "--backend", choices=BACKENDS, help="where it is to run (default: [lmeval] backend): not every one can do all"
    )
    parser.add_argument(
        "--rules", default="no_regression", help="rules of its gate, as for `gate`, to warn if they cannot be decided"
    )
    parser.add_argument(
        "--baseline", help="past results of the same tasks, or promoted:NAME/SUITE, for their documents"
    )


def add_gate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``gate``."""
    parser = commands.add_parser(
        "gate",
        help="decide on stored evidence",
        description="Hold an evaluation against rules and a baseline. Exit status: 0 PASS or WARN, 1 FAIL, 2 usage, "
        "3 INCONCLUSIVE, 4 ERROR.",
    )
    add_gate_arguments(parser)
    parser.set_defaults(command="gate")


def add_gate_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``gate``."""
    parser.add_argument("candidate", help="directory or URI of results: ours, lm-eval's, NeMo Evaluator's, EvalHub's")
    parser.add_argument("baseline", nargs="?", help="results to compare with, or promoted:NAME/SUITE")
    parser.add_argument(
        "--rules", default="no_regression", help="YAML file, - for standard input, or a ready set's name"
    )
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON instead of a table")
    parser.add_argument("--report", metavar="FILE", help="write a report to this file: .html, or .md for Markdown")


def add_power(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``power``."""
    parser = commands.add_parser(
        "power",
        help="what a suite could decide",
        description="Tell what drop a suite of so many documents can see, and how many would decide. "
        "Exit status: 0 if the suite decides, 1 if not, 2 usage.",
    )
    add_power_arguments(parser)
    parser.set_defaults(command="power")


def add_power_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``power``."""
    parser.add_argument(
        "results", nargs="*", help="a past result, for its documents; two, for how often such models disagree, too"
    )
    parser.add_argument(
        "--documents", action="append", default=[], metavar="[TASK=]N", help="documents of the suite, or of one task"
    )
    parser.add_argument(
        "--discordance", default="0.1", help="share of documents on which the models disagree (default: 0.1)"
    )
    parser.add_argument("--margin", default="0.01", help="drop to be allowed, in the metric's unit (default: 0.01)")
    parser.add_argument("--confidence", default="0.95", help="of a decision (default: 0.95)")
    parser.add_argument("--power", default="0.8", help="probability with which it is to decide (default: 0.8)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def add_calibrate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``calibrate``."""
    parser = commands.add_parser(
        "calibrate",
        help="how noisy a baseline is",
        description="Compare two evaluations of one model, varied in what should not matter: how far its scores lie "
        "apart, and how often a gate would block it against itself. With --baseline and --suite it is kept with the "
        "promoted model, and gates use it. Exit status: 0, 2 usage.",
    )
    add_calibrate_arguments(parser)
    parser.set_defaults(command="calibrate")


def add_calibrate_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``calibrate``."""
    parser.add_argument("first", help="directory or URI of an evaluation of the model")
    parser.add_argument("second", help="of another one: another few-shot seed, another batch size")
    parser.add_argument(
        "--rules", default="no_regression", help="YAML file, - for standard input, or a ready set's name"
    )
    parser.add_argument("--gates", default="400", help="gates to simulate, at most 1000 (default: 400)")
    parser.add_argument("--baseline", metavar="NAME", help="keep it with what is promoted under this name")
    parser.add_argument("--suite", help="what it is measured by")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def add_baseline(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``baseline``."""
    text = "Print the promotions and rollbacks of a baseline, and which of them is in force."
    parser = commands.add_parser("baseline", help="what was promoted, and when", description=text)
    add_baseline_arguments(parser)
    parser.set_defaults(command="baseline")


def add_baseline_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``baseline``, which ``promote`` and ``rollback`` have, too."""
    parser.add_argument(
        "baseline", metavar="NAME/SUITE", help="what is promoted, and what it is measured by: chat/mmlu"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_promote(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``promote``."""
    text = "Put an evaluated model in force, if its gate allows it. Exit status: 0, 1 it may not be, 2 usage."
    parser = commands.add_parser("promote", help="put a model in force", description=text)
    add_promote_arguments(parser)
    parser.set_defaults(command="promote")


def add_promote_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``promote``."""
    add_baseline_arguments(parser)
    parser.add_argument("candidate", help="directory or URI of its results, or id of a run in the store")
    parser.add_argument("--verdict", metavar="FILE", help="what `gate --json` printed; - reads standard input")
    parser.add_argument("--override", action="store_true", help="promote whatever the gate says; needs --reason")
    parser.add_argument("--reason", help="why; kept with the promotion")
    parser.add_argument("--by", help="who (default: the user of this machine)")


def add_rollback(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``rollback``."""
    text = "Put an earlier model in force again. Exit status: 0, 1 there is none, 2 usage."
    parser = commands.add_parser("rollback", help="put an earlier model in force again", description=text)
    add_rollback_arguments(parser)
    parser.set_defaults(command="rollback")


def add_rollback_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``rollback``."""
    add_baseline_arguments(parser)
    parser.add_argument("--to", metavar="ID", help="run or promotion (default: the model before the one in force)")
    parser.add_argument("--reason", required=True, help="why; kept on the record")
    parser.add_argument("--by", help="who (default: the user of this machine)")


def add_convert(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``convert``."""
    text = "Translate LMEvalJob manifests of TrustyAI's operator into specs, or specs into manifests. Prints YAML."
    parser = commands.add_parser("convert", help="translate LMEvalJob manifests", description=text)
    add_convert_arguments(parser)
    parser.set_defaults(command="convert")


def add_convert_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``convert``."""
    parser.add_argument("path", help="YAML or JSON file, a directory of them, or - for standard input")
    parser.add_argument("--to", choices=("spec", "lmevaljob"), default="spec", help="what to print (default: spec)")
    parser.add_argument(
        "--all", action="store_true", help="of a job, also what is no part of a spec: {spec, kubernetes, lmevaljob}"
    )


def add_import_config(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``import-config``."""
    text = "Translate the ConfigMap of TrustyAI's operator into an [lmeval] section."
    parser = commands.add_parser("import-config", help="translate the operator's ConfigMap", description=text)
    add_import_config_arguments(parser)
    parser.set_defaults(command="import_config")


def add_import_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``import-config``."""
    parser.add_argument("config_map", help="YAML file with the ConfigMap; - reads standard input")


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
