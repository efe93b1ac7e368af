"""A container's log as the runtime keeps it and the kubelet reads it back.

The traps of real logs come from this format (CRI): stdout and stderr are read apart and written as they arrive; a line
over 16 KiB becomes several entries, which the API joins again unless an entry of the other stream came between them;
``tailLines`` counts entries; at 10 MiB a new file begins, and only the newest can be read over the API.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from tests.kube.clock import log_timestamp

PIECE = 16 * 1024
"""Longest entry, bytes (containerd's ``max_container_log_line_size``)."""
HEADER = len("2026-01-01T00:00:00.000000000Z stdout F \n")
FOLLOW_INTERVAL_S = 0.05


@dataclass(frozen=True)
class Entry:
    """A line or a piece of one.

    :param time: nanoseconds since the epoch. :param full: the line ends here.
    """

    time: int
    text: bytes
    full: bool


@dataclass(frozen=True)
class Options:
    """``PodLogOptions``, as far as they choose and form what is read.

    :param since: POSIX time, seconds. :param limit: bytes.
    """

    tail: int | None = None
    since: float | None = None
    timestamps: bool = False
    limit: int | None = None


class ContainerLog:
    """What one run of one container wrote.

    :param rotate_at: size of a log file, bytes.
    """

    def __init__(self, rotate_at: int = 10 * 1024 * 1024) -> None:
        self.entries: list[Entry] = []
        self.closed = False
        self.rotations = 0
        self._rotate_at, self._size = rotate_at, 0
        self._unfinished: dict[str, bytes] = {}
        self._news = asyncio.Event()

    def feed(self, stream: str, data: bytes) -> None:
        """Take what came out of ``stdout`` or ``stderr``; nothing means it was closed."""
        *lines, rest = (self._unfinished.pop(stream, b"") + data).split(b"\n")
        for line in lines:
            self._line(line, full=True)
        if not data and rest:
            self._line(rest, full=False)
        elif len(rest) > PIECE:
            whole = len(rest) // PIECE * PIECE
            self._line(rest[:whole], full=False)
            rest = rest[whole:]
        if data:
            self._unfinished[stream] = rest

    def close(self) -> None:
        """Say that nothing will follow."""
        self.closed = True
        self._wake()

    def rotate(self) -> None:
        """Begin a new file; the old one can no longer be read over the API."""
        self.entries, self._size = [], 0
        self.rotations += 1

    def _line(self, line: bytes, *, full: bool) -> None:
        now = time.time_ns()
        pieces = [line[start : start + PIECE] for start in range(0, len(line), PIECE)] or [b""]
        for piece in pieces:
            if self._size > self._rotate_at:
                self.rotate()
            self.entries.append(Entry(now, piece, full and piece is pieces[-1]))
            self._size += len(piece) + HEADER
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def read(self, options: Options) -> bytes:
        """Return what there is."""
        return _limited(b"".join(_format(self._chosen(options), options.timestamps)), options.limit)

    async def follow(self, options: Options) -> AsyncIterator[bytes]:
        """Yield what there is, then what comes, until the container has ended."""
        chosen, done, rotations = self._chosen(options), len(self.entries), self.rotations
        left = options.limit
        at_start = True
        while True:
            text = b"".join(_format(chosen, options.timestamps, at_start=at_start))
            if chosen:
                at_start = chosen[-1].full
            if text:
                yield _limited(text, left)
            if left is not None and (left := left - len(text)) <= 0:
                return
            if self.closed and len(self.entries) == done:
                return
            if len(self.entries) == done and self.rotations == rotations:
                await self._news.wait()
            if self.rotations != rotations:
                done, rotations = 0, self.rotations
            chosen, done = self.entries[done:], len(self.entries)

    def _chosen(self, options: Options) -> list[Entry]:
        found = self.entries
        if options.since is not None:
            found = [entry for entry in found if entry.time / 1e9 >= options.since]
        return found if options.tail is None else found[len(found) - min(options.tail, len(found)) :]


def _format(entries: list[Entry], timestamps: bool, *, at_start: bool = True) -> Iterator[bytes]:
    for entry in entries:
        if timestamps and at_start:
            yield log_timestamp(entry.time).encode() + b" "
        yield entry.text + (b"\n" if entry.full else b"")
        at_start = entry.full


def _limited(text: bytes, limit: int | None) -> bytes:
    return text if limit is None else text[:limit]
