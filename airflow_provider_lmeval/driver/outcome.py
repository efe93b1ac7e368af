"""Says how a run ended, and writes it down as the result document and its completion marker.

Every run gets a result, failed ones too: what was finished, the versions, and a cause that decides whether a retry
can help. A result without a marker, or with one whose digests differ, is no result; so the marker is written last.
"""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_provider_lmeval.driver.redact import Redactor
from airflow_provider_lmeval.wire import (
    EXIT_CODES,
    KEPT_FILES,
    PROTOCOL,
    RESULT_NAME,
    STORED_DIRECTORIES,
    Cause,
    Reason,
    Request,
    RunDir,
    State,
    dump,
    file_digest,
    write_atomic,
)

SCHEMA_VERSION = 1
EVALUATION_NAME = "evaluation.json"
"""The child's part of the result, in ``scratch``."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    :param cause: why it did not succeed; None for success. :param message: in the words of whatever failed.
    """

    cause: Cause | None = None
    message: str | None = None

    @property
    def state(self) -> State:
        return State.CANCELLED if self.cause is Cause.CANCELLED else State.COMPLETE

    @property
    def reason(self) -> Reason:
        if self.cause is None:
            return Reason.SUCCEEDED
        return Reason.CANCELLED if self.cause is Cause.CANCELLED else Reason.FAILED

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.cause] if self.cause else 0

    def fields(self) -> dict[str, Any]:
        """Return what status and result have in common."""
        cause = self.cause.value if self.cause else None
        return {"state": self.state.value, "reason": self.reason.value, "cause": cause, "message": self.message}


@dataclass
class Evidence:
    """What was seen of a child that has ended.

    :param exit_code: negative for a signal. :param finished: it said that everything is written.
    :param failed: the cause and message it reported. :param stopped: why the supervisor ended it.
    :param oom_kills: processes of our control group killed for memory meanwhile.
    :param last_lines: the end of its stderr. :param evaluation: whether ``evaluation.json`` can be read.
    """

    exit_code: int = 0
    finished: bool = False
    failed: Outcome | None = None
    stopped: Outcome | None = None
    oom_kills: int = 0
    last_lines: str = ""
    evaluation: bool = False


def decide(seen: Evidence) -> Outcome:
    """Return the outcome that the evidence supports. Complete evidence wins over a stop that came too late."""
    if seen.finished and seen.exit_code == 0 and seen.evaluation and not seen.failed:
        return Outcome()
    if seen.stopped or seen.failed:
        return seen.stopped or seen.failed or Outcome()
    if seen.exit_code < 0:
        return _killed(seen)
    if seen.exit_code:
        return Outcome(Cause.INTERNAL, _quote(f"the evaluation exited with status {seen.exit_code}", seen))
    missing = "scratch/evaluation.json cannot be read" if seen.finished else "it did not report to be finished"
    return Outcome(Cause.INTERNAL, _quote(f"the evaluation exited with status 0, but {missing}", seen))


def reported(event: dict[str, Any]) -> Outcome:
    """Return the outcome of a ``failed`` event."""
    message = str(event.get("message") or "the evaluation failed and gave no reason")
    try:
        return Outcome(Cause(str(event.get("cause"))), message)
    except ValueError:
        return Outcome(Cause.INTERNAL, message)


def _killed(seen: Evidence) -> Outcome:
    try:
        name = signal.Signals(-seen.exit_code).name
    except ValueError:
        name = f"signal {-seen.exit_code}"
    if name == "SIGKILL" and seen.oom_kills:
        return Outcome(Cause.OUT_OF_MEMORY, _quote("the kernel killed the evaluation: out of memory (SIGKILL)", seen))
    return Outcome(Cause.KILLED, _quote(f"the evaluation was killed by {name}", seen))


def _quote(what: str, seen: Evidence) -> str:
    return f"{what}; its last lines on stderr:\n{seen.last_lines}" if seen.last_lines else f"{what}; stderr is empty"


@dataclass
class Record:
    """What the supervisor knows for the result document.

    :param redactor: for what the child wrote. :param started: POSIX time, seconds; ``ended`` likewise.
    :param phases: seconds by phase.
    """

    request: Request
    redactor: Redactor
    started: float
    ended: float
    phases: dict[str, float] = field(default_factory=dict)


def compose(run: RunDir, record: Record, outcome: Outcome) -> dict[str, Any]:
    """Return the result document: the child's part, the finished tasks, and how it ended.

    :param run: holds the child's part and finished tasks.
    """
    request = record.request
    evaluation = record.redactor.data(read_json(run.scratch / EVALUATION_NAME) or {})
    parts = {name: _object(evaluation.get(name)) for name in ("model", "tasks", "config", "versions", "fingerprint")}
    if isinstance(report := evaluation.get("preflight"), dict):
        parts["preflight"] = report
    if outcome.cause:
        parts["tasks"] = {**record.redactor.data(finished_tasks(run)), **parts["tasks"]}
    message = record.redactor.text(outcome.message) if outcome.message else None
    seconds = round(record.ended - record.started, 3)
    return {
        **parts,
        "schema_version": SCHEMA_VERSION,
        "run_id": request.run_id,
        **outcome.fields(),
        "message": message,
        "model": {"type": request.model, **parts["model"], "args": request.model_args},  # references, not values
        "timings": {"started": record.started, "ended": record.ended, "seconds": seconds, "phases": record.phases},
        "files": {"logs": [f"logs/{path.name}" for path in sorted(run.logs.glob("*.log"))]},
        "equivalent_command": request.equivalent_command,
    }


def write(run: RunDir, document: dict[str, Any]) -> None:
    """Write the result, then the marker with the digest of every kept file.

    :raises OSError: the disk is full; then there is no marker, and so no result.
    """
    run.marker.unlink(missing_ok=True)
    write_atomic(run.result, dump(document))
    files = {path.relative_to(run.root).as_posix(): file_digest(path) for path in kept_files(run)}
    write_atomic(run.marker, dump({"protocol": PROTOCOL, "run_id": document["run_id"], "files": files}))


def succeeded(run: RunDir) -> bool:
    """Tell whether the directory holds a complete, successful result."""
    result = read_json(run.result) or {}
    return run.marker.exists() and result.get("reason") == Reason.SUCCEEDED


def kept_files(run: RunDir) -> Iterator[Path]:
    """Yield what belongs to the result: ``result.json`` last, after everything it refers to."""
    for directory in STORED_DIRECTORIES:
        found = sorted((run.root / directory).rglob("*"))
        yield from (path for path in found if path.name in KEPT_FILES and path.is_file() and not path.is_symlink())
    if run.result.exists():
        yield run.result


def read_json(path: Path) -> dict[str, Any] | None:
    """Return a JSON object from a file, or None if there is no such thing."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        data = json.loads(path.read_bytes(), parse_constant=lambda _token: None)  # NaN is no JSON
        return data if isinstance(data, dict) else None
    return None


def _object(part: Any) -> dict[str, Any]:
    return part if isinstance(part, dict) else {}


def finished_tasks(run: RunDir, name: str = "*") -> dict[str, Any]:
    """Return the documents of tasks that finished, by name: a killed child had no time to collect them.

    :param name: of the task's directory; default: all of them.
    """
    found = (read_json(path) for path in sorted(run.tasks.glob(f"{name}/{RESULT_NAME}")))
    return {kept["task"]: kept["document"] for kept in found if kept and {"task", "document"} <= set(kept)}
