"""Tells the supervisor what is going on, as JSON lines on a pipe, without ever being held up by it.

A worker that waits for its supervisor would turn a slow log into a slow evaluation, so the pipe does not block:
progress that finds it full is dropped (the next one says more anyway), and the few events that matter wait some
seconds at most. Each line is one ``write`` of less than ``PIPE_BUF`` bytes, which the kernel never splits (pipe(7)).
"""

from __future__ import annotations

import json
import os
import select
import threading
import time
from typing import Any

from airflow_provider_lmeval.wire import Cause, Phase

DESCRIPTOR = "LMEVAL_EVENTS_FD"
"""Names the environment variable that holds the pipe's number."""
LONGEST_LINE = 4000
LONGEST_TEXT = 2400
"""Characters of a message; what JSON makes of them still has to fit into a line."""
PATIENCE_S = 5.0
PROGRESS_EVERY_S = 0.2


class Events:
    """The worker's end of the pipe.

    :param descriptor: a writable pipe, or None to say nothing (a worker started by hand).
    :param only_failures: say nothing else: this is one of several ranks, and not the first.
    """

    def __init__(self, descriptor: int | None, *, only_failures: bool = False) -> None:
        self._descriptor = descriptor
        self._only_failures = only_failures
        self._lock = threading.Lock()
        self._next_progress = 0.0
        if descriptor is not None:
            os.set_blocking(descriptor, False)
            os.set_inheritable(descriptor, False)

    @classmethod
    def from_environment(cls, *, only_failures: bool = False) -> Events:
        """Use the pipe the supervisor named."""
        number = os.environ.pop(DESCRIPTOR, "")
        return cls(int(number) if number.isdigit() else None, only_failures=only_failures)

    @property
    def descriptor(self) -> int | None:
        """The pipe, for other ranks."""
        return self._descriptor

    def phase(self, phase: Phase) -> None:
        """Say what begins."""
        self._send({"event": "phase", "phase": phase.value})

    def progress(self, progress: dict[str, Any]) -> None:
        """Say how far it is; most are left out, the last of a batch (``done == total``) never.

        :param progress: ``task``, ``kind``, ``done``, ``total``, ``tasks_done``, ``tasks_total``.
        """
        now = time.monotonic()
        last = progress["done"] >= progress["total"]
        if last or now >= self._next_progress:
            self._next_progress = now + PROGRESS_EVERY_S
            self._send({"event": "progress", **progress}, patience_s=PATIENCE_S if last else 0.0)

    def task(self, name: str) -> None:
        """Say that a task's files are complete."""
        self._send({"event": "task", "task": name})

    def failed(self, cause: Cause, message: str) -> None:
        """Say why this process is about to exit."""
        self._send({"event": "failed", "cause": cause.value, "message": shorten(message)})

    def finished(self) -> None:
        """Say that everything is written."""
        self._send({"event": "finished"})

    def _send(self, event: dict[str, Any], patience_s: float = PATIENCE_S) -> None:
        if self._descriptor is None or (self._only_failures and event["event"] != "failed"):
            return
        line = json.dumps(event).encode()
        if len(line) > LONGEST_LINE:
            line = json.dumps({key: _clip(value) for key, value in event.items()}).encode()
        with self._lock:
            self._write(line + b"\n", time.monotonic() + patience_s)

    def _write(self, line: bytes, deadline: float) -> None:
        while self._descriptor is not None:
            try:
                os.write(self._descriptor, line)
                return
            except BlockingIOError:
                left = deadline - time.monotonic()
                if left <= 0 or not select.select([], [self._descriptor], [], left)[1]:
                    return
            except OSError:  # nobody listens any more; the evaluation goes on and its files tell the result
                self._descriptor = None


def shorten(text: str, limit: int = LONGEST_TEXT) -> str:
    """Return at most ``limit`` characters, without the middle: errors say what at the start and why at the end."""
    half = limit // 2
    return text if len(text) <= limit else f"{text[:half]} … {text[3 - half :]}"


def _clip(value: Any) -> Any:
    """Return a text that fits into a line even if JSON spells each character with six (or twelve) bytes."""
    return shorten(value, 300) if isinstance(value, str) else value
