"""Scripts for the memory backend: courses that runs take in tests, written down once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).parents[1] / "data" / "golden" / "result.json"

RUNNING = {
    "state": "Running",
    "phase": "evaluating",
    "progress": {
        "done": 30,
        "total": 120,
        "rate": 60.0,
        "eta_s": 1.5,
        "task": "tiny_mc",
        "tasks_done": 0,
        "tasks_total": 1,
    },
}
SUCCEEDED = {"state": "Complete", "reason": "Succeeded"}


def connection(script: dict[str, Any], **extra: Any) -> str:
    """Return a connection in Airflow's JSON form whose runs follow a script."""
    return json.dumps(
        {"conn_type": "lmeval", "extra": {"backend": "memory", "poll_interval": 0.02, "script": script} | extra}
    )


def success(seconds: float = 0.0) -> dict[str, Any]:
    """Return the script of a run that succeeds after ``seconds`` with the golden result."""
    return {"steps": [[0, RUNNING], [seconds, SUCCEEDED]], "result": json.loads(GOLDEN.read_text())}


def failure(cause: str, message: str) -> dict[str, Any]:
    """Return the script of a run that fails at once."""
    return {"steps": [[0, {"state": "Complete", "reason": "Failed", "cause": cause, "message": message}]]}


def endless() -> dict[str, Any]:
    """Return the script of a run that never ends by itself."""
    return {"steps": [[0, RUNNING]]}
