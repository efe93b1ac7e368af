"""Holds what the run is doing now and tells everybody who asks: the file, the HTTP server, the result's timings.

Changes of state, reason, cause and phase are written at once, progress at most twice a second, and something at least
every ten seconds, so that a reader can tell a long silence of the model from a dead driver.
"""

from __future__ import annotations

import dataclasses
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from airflow_provider_lmeval.driver.logs import Console
from airflow_provider_lmeval.wire import Phase, Status, dump, process_start, write_atomic

PROGRESS_EVERY_S = 0.5
HEARTBEAT_S = 10.0
_URGENT = ("state", "reason", "cause", "phase")
_FREE_TEXT = ("message", "progress")
"""Fields that may quote something confidential; the others hold our own words, which must stay readable."""


class Board:
    """The status of one run.

    :param path: ``status.json``. :param run_id: of the run. :param console: for complaints, and the redactor.
    :param on_change: told of each new state, reason, cause and phase.
    """

    def __init__(self, path: Path, run_id: str, console: Console, on_change: Callable[[Status], None]) -> None:
        self._path = path
        self._console = console
        self._on_change = on_change
        self._written, self._entered = float("-inf"), time.monotonic()
        self._changed = self._complained = False
        self.phases: dict[str, float] = {}
        self.status = Status(run_id=run_id, started=time.time(), **_identity())
        self.document = b""

    def set(self, **changes: Any) -> None:
        """Change fields of the status; see :class:`wire.Status` for their names."""
        before = self.status
        words = {name: self._console.redactor.data(changes[name]) for name in _FREE_TEXT if name in changes}
        self.status = dataclasses.replace(before, **{**changes, **words}, updated=time.time())
        self.document = dump(self.status.to_json())
        self._changed = True
        if any(getattr(before, name) != getattr(self.status, name) for name in _URGENT):
            self._on_change(self.status)
            self._write()
        self.tick()

    def enter(self, phase: Phase | None) -> None:
        """Begin a phase (None: the last one has ended) and account for the time of the one before."""
        now = time.monotonic()
        if previous := self.status.phase:
            self.phases[previous] = round(self.phases.get(previous, 0.0) + now - self._entered, 3)
        self._entered = now
        self.set(phase=phase and phase.value)

    def tick(self) -> None:
        """Write what waits to be written, if it is time."""
        age = time.monotonic() - self._written
        if age >= HEARTBEAT_S:
            self.document = dump({**self.status.to_json(), "updated": time.time()})
        if age >= HEARTBEAT_S or (self._changed and age >= PROGRESS_EVERY_S):
            self._write()

    def _write(self) -> None:
        self._written, self._changed = time.monotonic(), False
        try:
            write_atomic(self._path, self.document)
        except OSError as error:
            if not self._complained:  # once: the disk will still be full in half a second
                self._console.say(f"cannot write {self._path}: {error.strerror}; the run goes on")
            self._complained = True


def _identity() -> dict[str, Any]:
    return {"pid": os.getpid(), "pid_start": process_start(os.getpid()), "host": socket.gethostname()}
