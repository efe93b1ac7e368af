"""The worker's entry: ``python -m airflow_provider_lmeval.driver.worker RUN_DIR [RANK]``, request and secrets on stdin.

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
from typing import IO, Any, NoReturn

from airflow_provider_lmeval.driver.redact import Redactor
from airflow_provider_lmeval.driver.worker.causes import classify
from airflow_provider_lmeval.driver.worker.devices import check_launcher
from airflow_provider_lmeval.driver.worker.events import Events
from airflow_provider_lmeval.driver.worker.follower import Follower
from airflow_provider_lmeval.driver.worker.job import Job
from airflow_provider_lmeval.driver.worker.preflight import Preflight
from airflow_provider_lmeval.driver.worker.ranks import Ranks, own_directory, start_ranks
from airflow_provider_lmeval.driver.worker.startup import cancel_on_sigterm, prepare
from airflow_provider_lmeval.errors import ProtocolError, RunFailedError
from airflow_provider_lmeval.wire import EXIT_CODES, Cause, Phase, Request, RunDir


def main(directory: str, rank: int = 0) -> int:
    """Evaluate the request on stdin and return the exit status.

    :param directory: the run directory. :param rank: of this process, if there are several (see ``ranks``).
    """
    events, redactor = Events.from_environment(only_failures=rank > 0), Redactor()
    job: Job | None = None
    ranks: Ranks | None = None
    try:
        cancel_on_sigterm()
        request, redactor, document = read(sys.stdin, one_line=rank > 0)
        prepare()
        if rank:
            job = follower = Follower(request, RunDir(own_directory(directory, rank)), events, redactor)
            follower.follow(sys.stdin)
        elif request.preflight is not None:
            job = Preflight(request, RunDir(Path(directory)), events, redactor)
            job.run()
        else:
            check_launcher(request)
            ranks = start_ranks(directory, document, request, events.descriptor)
            job = Job(request, RunDir(Path(directory)), events, redactor, ranks)
            job.run()
    except BaseException as error:  # noqa: BLE001 - whatever it was, the last event has to say so
        if not (isinstance(job, Preflight) and isinstance(error, RunFailedError)):  # which has told what it has found
            sys.stderr.write(redactor.text("".join(traceback.format_exception(error))))
        cause, message = classify(error, job.phase if job else Phase.PREPARING)
        if ranks and cause is not Cause.CANCELLED:
            ranks.settle()
        events.failed(cause, redactor.text(message))
        return EXIT_CODES[cause]
    return 0


def read(stream: IO[str], *, one_line: bool = False) -> tuple[Request, Redactor, dict[str, Any]]:
    """Read the request and what to redact; return the document they are from as well, for other ranks.

    :param one_line: more is to come on the stream.
    :raises RunFailedError: ``bad_spec``: not what the supervisor sends.
    """
    try:
        document = json.loads(stream.readline() if one_line else stream.read())
        return Request.from_json(document["request"]), Redactor(document.get("secrets") or ()), document
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
    leave(main(sys.argv[1], *map(int, sys.argv[2:])))
