"""The worker's entry: ``python -m airflow_provider_lmeval.driver.worker RUN_DIR``, request and secrets on stdin.

Reads one JSON document (``{"request": …, "secrets": […]}``), evaluates, and turns whatever ends the evaluation into a
last event and an exit status. Secrets come this way because a command line is public and a file outlives the run.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import traceback
from pathlib import Path
from typing import IO, NoReturn

from airflow_provider_lmeval.driver.redact import Redactor
from airflow_provider_lmeval.driver.worker.causes import classify
from airflow_provider_lmeval.driver.worker.events import Events
from airflow_provider_lmeval.driver.worker.job import Job
from airflow_provider_lmeval.driver.worker.startup import cancel_on_sigterm, prepare
from airflow_provider_lmeval.errors import ProtocolError, RunFailedError
from airflow_provider_lmeval.wire import EXIT_CODES, Cause, Phase, Request, RunDir


def main(directory: str) -> int:
    """Evaluate the request on stdin and return the exit status.

    :param directory: the run directory.
    """
    events, redactor, job = Events.from_environment(), Redactor(), None
    try:
        cancel_on_sigterm()
        request, redactor = read(sys.stdin)
        prepare()
        job = Job(request, RunDir(Path(directory)), events, redactor)
        job.run()
    except BaseException as error:  # noqa: BLE001 - whatever it was, the last event has to say so
        sys.stderr.write(redactor.text("".join(traceback.format_exception(error))))
        cause, message = classify(error, job.phase if job else Phase.PREPARING)
        events.failed(cause, redactor.text(message))
        return EXIT_CODES[cause]
    return 0


def read(stream: IO[str]) -> tuple[Request, Redactor]:
    """Read the request and what to redact.

    :raises RunFailedError: ``bad_spec``: not what the supervisor sends.
    """
    try:
        document = json.load(stream)
        return Request.from_json(document["request"]), Redactor(document.get("secrets") or ())
    except (ValueError, KeyError, TypeError, AttributeError, ProtocolError) as error:
        message = f"the worker cannot read its request: {type(error).__name__}"
        raise RunFailedError(message, Cause.BAD_SPEC) from error


def leave(status: int) -> NoReturn:
    """End at once: everything is on disk, and tearing down torch and its threads takes seconds.

    :param status: of the process.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(status)


if __name__ == "__main__":
    leave(main(sys.argv[1]))
