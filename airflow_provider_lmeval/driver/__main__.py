"""The driver's command line: ``python -m airflow_provider_lmeval.driver [REQUEST] [--run-dir DIR]``.

With a REQUEST file it runs on a machine, and the run directory defaults to the one that holds the file. Without, it is
the main process of a container: request, run directory and the place of the termination message come from the
environment (``wire_pod`` has the names). The exit status tells the cause (``wire.EXIT_CODES``).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from airflow_provider_lmeval.driver.intake import load_request, request_from_environment
from airflow_provider_lmeval.driver.pod import Pod
from airflow_provider_lmeval.driver.supervisor import refuse, supervise
from airflow_provider_lmeval.errors import ProtocolError
from airflow_provider_lmeval.wire import RunDir
from airflow_provider_lmeval.wire_pod import RUN_DIR_ENV


def main(argv: Sequence[str] | None = None, *, command: Sequence[str] = ()) -> int:
    """Run one request to its end and return the exit status.

    :param argv: arguments without the program's name; None takes them from the process.
    :param command: what to execute instead of the worker.
    """
    arguments = _parser().parse_args(argv)
    file: Path | None = arguments.request
    directory: Path | str | None = arguments.run_dir or (file.parent if file else os.environ.get(RUN_DIR_ENV))
    run = RunDir(Path(directory).absolute()) if directory else None
    in_pod = file is None or arguments.termination_log
    pod = Pod.from_environment(os.environ, arguments.termination_log) if in_pod else None
    try:
        request = load_request(file) if file else request_from_environment(os.environ)
    except ProtocolError as error:
        return refuse(run, error, pod)
    default = Path(tempfile.gettempdir()) / "lmeval" / request.run_id
    return supervise(request, run or RunDir(default), command=command, pod=pod)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m airflow_provider_lmeval.driver", description="Run one evaluation.")
    parser.add_argument(
        "request", type=Path, metavar="REQUEST", nargs="?",
        help="the request, a JSON file (see wire.Request); default: LMEVAL_REQUEST or LMEVAL_REQUEST_FILE (see wire_pod)",
    )  # fmt: skip
    parser.add_argument(
        "--run-dir", type=Path, metavar="DIR",
        help="where to work; default: the request's directory, without one LMEVAL_RUN_DIR, else a temporary one",
    )  # fmt: skip
    parser.add_argument(
        "--termination-log", type=Path, metavar="FILE",
        help="where to leave the termination message; default: LMEVAL_TERMINATION_LOG or Kubernetes' own place",
    )  # fmt: skip
    return parser


if __name__ == "__main__":
    sys.exit(main())
