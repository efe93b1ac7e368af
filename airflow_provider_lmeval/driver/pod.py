"""What is different for the driver when it is the main process of a container: who stops it, and what it leaves behind.

Nobody reads the run directory of a container that has ended. So from the first moment on, the termination message says
what is known: written in place (the kubelet has mounted the file) before anything that may end in SIGKILL, because an
out-of-memory kill can take the whole container. The last thing to happen is one burst of record lines on stdout, which
no other process holds.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from airflow_provider_lmeval.driver.logs import Console
from airflow_provider_lmeval.errors import ProtocolError
from airflow_provider_lmeval.wire import Status
from airflow_provider_lmeval.wire_pod import GRACE_ENV, GRACE_S, TERMINATION_LOG, TERMINATION_LOG_ENV, Termination
from airflow_provider_lmeval.wire_record import record_lines

CONSOLE_BYTES = 5 * 1024 * 1024
"""How much of the child's output is shown: a container's log is rotated at 10 MiB, and its beginning is lost then."""


@dataclass(frozen=True)
class Pod:
    """The container around the driver.

    :param termination_log: file for the termination message, or None if there is none to write.
    :param grace_s: seconds from SIGTERM to SIGKILL.
    """

    termination_log: Path | None = None
    grace_s: float = GRACE_S

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], termination_log: Path | None = None) -> Pod:
        """Look around.

        :param environ: see ``wire_pod``; a time of grace that is no number is as good as none.
        :param termination_log: takes precedence over the environment.
        """
        given = environ.get(TERMINATION_LOG_ENV)
        path = termination_log or (Path(given) if given else None)
        if path is None and os.access(TERMINATION_LOG, os.W_OK):
            path = Path(TERMINATION_LOG)
        return cls(path, _seconds(environ.get(GRACE_ENV, "")))


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= (seconds := float(text)) < math.inf:
            return seconds
    return GRACE_S


class LastWords:
    """What a run leaves outside its directory; nothing at all where there is no pod.

    :param pod: the container, if we are in one. :param run_id: of the run. :param console: for complaints and records.
    """

    def __init__(self, pod: Pod | None, run_id: str, console: Console) -> None:
        self._pod = pod
        self._console = console
        self._known = Termination(run_id=run_id)
        self._written = 0
        self._lines: list[str] = []

    def status(self, status: Status) -> None:
        """Keep what the run is doing."""
        common = ("state", "reason", "cause", "message", "phase")
        self._update(**{name: getattr(status, name) for name in common})

    def tasks(self, documents: Mapping[str, Any]) -> None:
        """Keep the scores of finished tasks.

        :param documents: the tasks' parts of the result document, by name.
        """
        found = {name: _scores(document) for name, document in documents.items() if isinstance(document, dict)}
        metrics = {**self._known.metrics, **found}
        self._update(metrics=metrics, tasks_done=len(metrics))

    def result(self, raw: bytes, location: str | None) -> None:
        """Keep the whole result.

        :param raw: content of ``result.json``. :param location: where it is stored, if it is.
        """
        if self._pod is None:
            return
        tasks = {name: task for name, task in json.loads(raw)["tasks"].items() if isinstance(task, dict)}
        self._lines = self._record(raw)
        self._update(
            metrics=headline(tasks),
            tasks_done=sum(task.get("kind") != "group" for task in tasks.values()),
            digest=hashlib.sha256(raw).hexdigest(),
            location=location and self._console.redactor.text(location),
            records=len(self._lines),
        )

    def speak(self) -> None:
        """Print the record lines: the last thing to do."""
        if self._lines and not self._console.print("".join(f"{line}\n" for line in ["", *self._lines])):
            self._console.say("nobody takes the result document from stdout; it is not in the log")

    def _record(self, raw: bytes) -> list[str]:
        try:
            return record_lines(self._known.run_id, raw)
        except ProtocolError as error:
            self._console.say(f"the result is not put into the log: {error}")
            return []

    def _update(self, **changes: Any) -> None:
        self._known = replace(self._known, **changes)
        if self._pod and self._pod.termination_log:
            self._write(self._pod.termination_log)

    def _write(self, path: Path) -> None:
        """Overwrite the message in place, such that SIGKILL finds no moment at which there is none.

        The kubelet reads it when nobody writes any more. Whoever reads it before may see parts of two messages.
        """
        text = self._known.to_text().encode()
        with contextlib.suppress(OSError):  # the run is worth more than its epitaph
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                os.pwrite(descriptor, text.ljust(self._written), 0)  # one call within one page
                os.ftruncate(descriptor, len(text))
                self._written = len(text)
            finally:
                os.close(descriptor)


def headline(tasks: Mapping[str, Any]) -> dict[str, dict[str, float | None]]:
    """Return the scores of a result, the most telling first: groups that are in no other, single tasks, their parts.

    :param tasks: ``tasks`` of the result document.
    """
    parts = {str(part) for task in tasks.values() for part in _list(task.get("subtasks"))}
    by_weight = sorted(tasks, key=lambda name: (name in parts, tasks[name].get("kind") != "group"))
    return {name: _scores(tasks[name]) for name in by_weight}


def _scores(document: Mapping[str, Any]) -> dict[str, float | None]:
    """Return ``{"metric,filter": value}`` of one task's document."""
    metrics = document.get("metrics")
    found = metrics.items() if isinstance(metrics, dict) else ()
    values = {name: metric.get("value") for name, metric in found if isinstance(metric, dict)}
    return {name: value for name, value in values.items() if value is None or type(value) in (int, float)}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
