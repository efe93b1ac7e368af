"""The evaluation process as the supervisor sees it: four pipes and a process group.

Secrets reach the child only through its stdin, because a command line can be read by every user and a file outlives
the run. Events come back on a pipe of their own, since stdout and stderr belong to libraries that print what they
like. All pipes are served by the supervisor's one loop and never block it; the child leads its own session, so that a
signal meant for the evaluation reaches what it started, and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, cast

from airflow_provider_lmeval.driver.logs import Tee
from airflow_provider_lmeval.driver.reaper import Reaper, kill_group

EVENTS_FD = "LMEVAL_EVENTS_FD"
"""Names the variable that tells the child where to write events."""
_CHUNK = 64 * 1024
LONGEST_EVENT = 64 * 1024


class Child:
    """One started evaluation.

    :param command: what to execute. :param environment: all of its variables. :param directory: where it works.
    :param document: what it reads from stdin.
    :param tees: where stdout and stderr go. :param on_event: called with each event it sends.
    :param reaper: starts it and notices its end.
    :raises OSError: it cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: dict[str, str],
        directory: Path,
        document: bytes,
        tees: tuple[Tee, Tee],
        on_event: Callable[[dict[str, Any]], None],
        reaper: Reaper,
    ) -> None:
        events, theirs = os.pipe()
        try:
            self._process = reaper.start(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**environment, EVENTS_FD: str(theirs)},
                cwd=directory,
                pass_fds=(theirs,),
                bufsize=0,
            )
        finally:
            os.close(theirs)
        self._reaper = reaper
        self._pipes = _Pipes(self._process, open(events, "rb", buffering=0), document, tees, on_event)  # noqa: SIM115

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Its exit status, negative for a signal, or None while it runs."""
        self._reaper.collect()
        return self._process.returncode

    def serve(self, selector: selectors.BaseSelector) -> None:
        """Register the pipes; a ready key's ``data`` is to be called."""
        self._pipes.register(selector)

    def terminate(self) -> None:
        """Ask the process group to end."""
        kill_group(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End the process group."""
        kill_group(self.pid, signal.SIGKILL)

    def bury(self) -> None:
        """End whatever it left behind, take what is still in the pipes, and close them."""
        self.kill()
        self._reaper.kill_strays()
        self._pipes.drain()


class _Pipes:
    """The child's pipes: what to do when one of them is ready."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        events: IO[bytes],
        document: bytes,
        tees: tuple[Tee, Tee],
        on_event: Callable[[dict[str, Any]], None],
    ) -> None:
        stdin, stdout, stderr = (cast("IO[bytes]", pipe) for pipe in (process.stdin, process.stdout, process.stderr))
        self._stdin = stdin
        self._document = memoryview(document)
        self._partial = b""
        self._on_event = on_event
        self._tees = tees
        self._sinks: dict[IO[bytes], Callable[[bytes], None]] = {
            stdout: tees[0].feed,
            stderr: tees[1].feed,
            events: self._take_events,
        }
        for pipe in (self._stdin, *self._sinks):
            os.set_blocking(pipe.fileno(), False)

    def register(self, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        selector.register(self._stdin, selectors.EVENT_WRITE, self._give)
        for pipe in self._sinks:
            selector.register(pipe, selectors.EVENT_READ, lambda pipe=pipe: self._read(pipe))

    def drain(self) -> None:
        """Read until nothing is left, then close everything."""
        for pipe in list(self._sinks):
            while self._read(pipe):
                pass
            self._close(pipe)
        self._close(self._stdin)
        for tee in self._tees:
            tee.close()

    def _read(self, pipe: IO[bytes]) -> bool:
        """Read one piece; tell whether there was any."""
        if pipe.closed or (piece := pipe.read(_CHUNK)) is None:
            return False
        if not piece:
            self._close(pipe)
            return False
        self._sinks[pipe](piece)
        return True

    def _give(self) -> None:
        """Write the next part of the document; close stdin after the last, or when the child does not want it."""
        with contextlib.suppress(BrokenPipeError):
            self._document = self._document[self._stdin.write(self._document[:_CHUNK]) or 0 :]
            if self._document:
                return
        self._close(self._stdin)

    def _close(self, pipe: IO[bytes]) -> None:
        if not pipe.closed:
            self._selector.unregister(pipe)
            pipe.close()

    def _take_events(self, piece: bytes) -> None:
        *lines, self._partial = (self._partial + piece).split(b"\n")
        self._partial = self._partial[-LONGEST_EVENT:]
        for line in lines:
            if (event := _parse(line)) is not None:
                self._on_event(event)


def _parse(line: bytes) -> dict[str, Any] | None:
    """Return the event, or None for what is none: some library may write to any descriptor it finds."""
    with contextlib.suppress(ValueError, RecursionError):
        event = json.loads(line)
        return event if isinstance(event, dict) else None
    return None
