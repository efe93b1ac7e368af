"""Keeps what the child prints: redacted, capped, and never at the child's cost.

A child that prints faster than someone reads must not stall, and a progress bar that rewrites one line for an hour,
or a single line of 10 MB, must not fill a disk or a memory. So streams are handled as bytes, not lines; a file keeps
its head (versions, settings) and its tail (the error) and leaves out the middle; and the copy for the container's log
is dropped, not waited for, when nobody drains it.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import time
from pathlib import Path

from airflow_provider_lmeval.driver.redact import Redactor

REMEMBERED = 16 * 1024
"""Bytes of each stream kept in memory to quote in messages."""
_PIPE_BUF = 4096
"""A pipe that is writable takes this much without blocking (pipe(7))."""
_LINE_COST = 48
"""What a container runtime adds to each line it keeps: time, stream and a tag."""
PATIENCE_S = 5.0
"""How long to wait for whoever reads stdout to take a piece that must not be dropped."""


class CappedFile:
    """A log file of limited size: the first half of the limit, a note, and the last half.

    While it grows it may exceed the limit by half, so that the middle is cut out rarely.

    :param path: emptied if it exists.
    :param limit: of the closed file, in bytes.
    """

    def __init__(self, path: Path, limit: int) -> None:
        self._path = path
        self._limit = limit
        self._total = 0
        self._stream = open(path, "wb", buffering=0)  # noqa: SIM115 - closed by close()

    def write(self, data: bytes) -> None:
        """Append; a full disk loses log lines, never the evaluation."""
        with contextlib.suppress(OSError):
            for start in range(0, len(data), self._limit):
                self._stream.write(piece := data[start : start + self._limit])
                self._total += len(piece)
                if self._stream.tell() > self._limit * 3 // 2:
                    self._compact()

    def close(self) -> None:
        """Cut to the limit and close."""
        with contextlib.suppress(OSError):
            if self._stream.tell() > self._limit:
                self._compact()
        self._stream.close()

    def _compact(self) -> None:
        """Replace the file by its head, a note and its tail; a reader sees the old file or the new."""
        half = (self._limit - 80) // 2
        note = f"\n[... {self._total - 2 * half} bytes left out ...]\n".encode()
        replacement = self._path.with_name(f".{self._path.name}.tmp")
        with open(self._path, "rb") as old, open(replacement, "wb") as new:
            new.write(old.read(half) + note)
            old.seek(-half, os.SEEK_END)
            new.write(old.read())
        replacement.replace(self._path)
        self._stream.close()
        self._stream = open(self._path, "ab", buffering=0)  # noqa: SIM115


class Console:
    """The driver's own stdout and stderr: what ``docker logs`` or a task log shows.

    :param budget: how much of the child's output to show, in bytes of a container's log.
    """

    def __init__(self, redactor: Redactor, budget: float = math.inf) -> None:
        self.redactor = redactor
        self._budget = budget
        self._mid_line = False

    def say(self, message: str) -> None:
        """Write one line of our own to stderr."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        line = " | ".join(self.redactor.text(message).splitlines())
        start = "\n" if self._mid_line else ""
        self._write(2, f"{start}lmeval: {stamp} {line}\n".encode("utf-8", "replace"))

    def forward(self, descriptor: int, data: bytes) -> None:
        """Show what the child printed, as far as it is taken at once and the budget reaches."""
        if self._budget <= 0:
            return
        shown = data[: self._write(descriptor, data)]
        self._budget -= len(shown) + _LINE_COST * shown.count(b"\n")
        if self._budget <= 0:
            self.say("this log is full: what else the evaluation prints is in the run's own logs only")

    def print(self, text: str) -> bool:
        """Write all of a text to stdout, waiting for the reader; tell whether it was taken."""
        data = text.encode("utf-8", "replace")
        with contextlib.suppress(OSError, ValueError):
            for start in range(0, len(data), _PIPE_BUF):
                if not select.select([], [1], [], PATIENCE_S)[1]:
                    return False
                os.write(1, data[start : start + _PIPE_BUF])
            return True
        return False

    def _write(self, descriptor: int, data: bytes) -> int:
        """Write as much as is taken at once, drop the rest, and return how much was taken."""
        taken = 0
        with contextlib.suppress(OSError, ValueError):
            while taken < len(data) and select.select([], [descriptor], [], 0)[1]:
                taken += os.write(descriptor, data[taken : taken + _PIPE_BUF])
        if descriptor == 2 and taken:
            self._mid_line = data[taken - 1 : taken] != b"\n"
        return taken


class Tee:
    """One of the child's streams on its way to the file, the console and the memory.

    :param file: keeps it.
    :param console: shows it, on ``descriptor`` (1 or 2).
    """

    def __init__(self, file: CappedFile, console: Console, descriptor: int) -> None:
        self._file = file
        self._console = console
        self._descriptor = descriptor
        self._redact = console.redactor.stream()
        self._recent = b""

    def feed(self, piece: bytes) -> None:
        """Take the next bytes the child printed."""
        self._spread(self._redact.feed(piece))

    def close(self) -> None:
        """Let go what was held back and close the file."""
        self._spread(self._redact.flush())
        self._file.close()

    def last_lines(self, count: int = 5, width: int = 500) -> str:
        """Return the end of the stream for a message; of a progress bar only its last state.

        :param count: how many non-empty lines. :param width: longest line, in characters.
        """
        lines = self._recent.decode("utf-8", "replace").split("\n")
        final = [line.rstrip("\r").rpartition("\r")[2].strip() for line in lines]
        return "\n".join(line[-width:] for line in [line for line in final if line][-count:])

    def _spread(self, shown: bytes) -> None:
        self._file.write(shown)
        self._console.forward(self._descriptor, shown)
        self._recent = (self._recent + shown)[-REMEMBERED:]
