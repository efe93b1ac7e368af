"""What a waiting task says about a run: one line when something has changed, not one per look."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_lmeval.wire import Phase, Status


@dataclass
class ProgressLog:
    """Decides when a status is worth a line in the task's log.

    :param every_s: at most one line about mere progress in so many seconds; a new state or phase is told at once.
    """

    every_s: float = 10.0
    _told: tuple[str, str | None, str | None] | None = field(default=None, init=False)
    _share: float = field(default=-1.0, init=False)
    _at: float = field(default=0.0, init=False)

    def line(self, status: Status) -> str | None:
        """Return the line to log for a status, or None if there is nothing new to say."""
        now, stage, share = (
            time.monotonic(),
            (status.state, status.phase, status.message),
            status.progress.get("done", 0),
        )
        changed = stage != self._told
        if not changed and (share == self._share or now - self._at < self.every_s):
            return None
        self._told, self._share, self._at = stage, share, now
        return describe(status)


def describe(status: Status) -> str:
    """Return one line about a run: ``Running: evaluating tiny_mc, 120/480 requests (25 %), 40.0/s, 9 s left``."""
    if status.phase == Phase.EVALUATING and status.progress.get("total"):
        return f"{status.state}: {', '.join(_counts(status.progress))}"
    told = status.phase or status.message
    return f"{status.state}: {told}" if told else str(status.state)


def _counts(progress: dict[str, Any]) -> Iterator[str]:
    done, total = progress.get("done") or 0, progress["total"]
    yield f"evaluating {progress['task']}" if progress.get("task") else "evaluating"
    yield f"{done}/{total} requests ({100 * done / total:.0f} %)"
    if tasks := progress.get("tasks_total"):
        yield f"{progress.get('tasks_done', 0)}/{tasks} tasks done"
    if rate := progress.get("rate"):
        yield f"{rate:.1f}/s"
    if (eta := progress.get("eta_s")) is not None:
        yield f"{eta:.0f} s left"
