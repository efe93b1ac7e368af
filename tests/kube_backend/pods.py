"""Scripted pods: what a container says and how it ends, without an evaluation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from airflow_provider_lmeval import wire
from airflow_provider_lmeval.wire import Cause, Reason, State, Status
from airflow_provider_lmeval.wire_pod import Termination
from airflow_provider_lmeval.wire_record import record_lines

GOLDEN = Path(__file__).parents[1] / "data" / "golden" / "result.json"


def document(run_id: str, **fields: Any) -> bytes:
    """Return a result document of a run."""
    return wire.dump(json.loads(GOLDEN.read_text()) | {"run_id": run_id} | fields)


def failure(run_id: str, cause: Cause, message: str) -> bytes:
    """Return the document of a failed run."""
    ending = {"state": State.COMPLETE, "reason": Reason.FAILED, "cause": cause, "message": message}
    if cause is Cause.CANCELLED:
        ending |= {"state": State.CANCELLED, "reason": Reason.CANCELLED}
    return document(run_id, **ending)


def log(run_id: str, raw: bytes) -> bytes:
    """Return the log of a container that ends with its record."""
    return "\n".join(["lmeval: evaluating", "", *record_lines(run_id, raw), ""]).encode()


def last_words(run_id: str, raw: bytes | None = None, **fields: Any) -> bytes:
    """Return a termination message, of a success unless ``fields`` say otherwise."""
    known: dict[str, Any] = {"state": State.COMPLETE, "reason": Reason.SUCCEEDED}
    if raw is not None:
        import hashlib

        known["digest"] = hashlib.sha256(raw).hexdigest()
    return Termination(run_id=run_id, **known | fields).to_text().encode()


def status(run_id: str, done: int, total: int = 100, **progress: Any) -> bytes:
    """Return what a driver answers."""
    counted = {"done": done, "total": total, "task": "tiny_mc", **progress}
    found = Status(run_id=run_id, state=State.RUNNING, phase="evaluating", progress=counted, updated=float(done))
    return wire.dump(found.to_json())
