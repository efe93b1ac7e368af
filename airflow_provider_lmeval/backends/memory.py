"""A scripted backend: runs that take the time and the course you write down, and evaluate nothing.

Shipped, so that a team can test its DAGs (promotion, blocking, failure paths, notifications) without a model or a GPU. A
script travels in the run's handle and its state follows from the clock, so a worker and a triggerer in different processes
see the same run.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import Any

from airflow_provider_lmeval.backends.base import Backend, Handle
from airflow_provider_lmeval.errors import RunFailedError
from airflow_provider_lmeval.plan import Grants, Problem, check, raise_errors
from airflow_provider_lmeval.results import EvalResult
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.wire import Cause, Reason, State, Status

_CANCELLED: set[str] = set()
"""Runs cancelled in this process: the only thing a handle cannot carry."""


@dataclass(frozen=True)
class Script:
    """The course of a scripted run.

    :param steps: ``(seconds since submission, fields of Status)``, in order; the last one whose time has come holds.
    :param result: the result document (see ``results/model.py``), or None when the run leaves none.
    """

    steps: tuple[tuple[float, dict[str, Any]], ...]
    result: dict[str, Any] | None = field(default=None)


class MemoryBackend(Backend):
    """Runs that follow a script.

    :param script: what every run does.
    """

    name = "memory"

    def __init__(self, script: Script) -> None:
        self.script = script

    def check(self, spec: EvalSpec, grants: Grants) -> list[Problem]:
        problems = check(spec, grants)
        raise_errors(problems)
        return problems

    def submit(self, spec: EvalSpec, run_id: str, grants: Grants) -> Handle:
        where = {"started": time.time(), "script": asdict(self.script)}
        return Handle(backend=self.name, run_id=run_id, result_uri=f"memory://{run_id}", where=where)

    def find(self, run_id: str) -> Handle | None:
        return None

    def status(self, handle: Handle) -> Status:
        if handle.run_id in _CANCELLED:
            return Status(
                run_id=handle.run_id,
                state=State.CANCELLED,
                reason=Reason.CANCELLED,
                cause=Cause.CANCELLED,
                message="cancelled",
            )
        elapsed = time.time() - handle.where["started"]
        fields: dict[str, Any] = {"state": State.NEW}
        for after, step in handle.where["script"]["steps"]:
            if after <= elapsed:
                fields = step
        return Status(run_id=handle.run_id, started=handle.where["started"], **fields)

    def cancel(self, handle: Handle) -> None:
        if not State(self.status(handle).state).ended:
            _CANCELLED.add(handle.run_id)

    def collect(self, handle: Handle) -> EvalResult:
        document, status = handle.where["script"]["result"], self.status(handle)
        if document is None or status.reason != Reason.SUCCEEDED:
            raise RunFailedError(status.message or "the script holds no result", status.cause or Cause.INTERNAL)
        return EvalResult.parse(document | {"run_id": handle.run_id})
