"""One place where "stop" arrives, whoever says it, and the one thing the supervisor's loop sleeps on.

As PID 1 of a container a process has no default signal actions: without handlers, SIGTERM is ignored. Handlers here
only note the wish and wake the loop through a pipe, because nothing else is safe in a signal handler. The HTTP
server's threads use the same door. SIGCHLD also wakes the loop, so a dead child is seen at once.

A kubelet that sends SIGTERM sends SIGKILL some time later. The evaluation gets the first half of that time, storing what
it has finished the rest, except for a moment to say so.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import time
from types import FrameType

PARTING_S = 2.0
"""For writing down how the run ended, after all else."""


class Interrupt:
    """The wish to stop, and a file descriptor that becomes readable when something happened.

    :param notice_s: seconds between a signal and SIGKILL; infinite where nobody insists.
    """

    def __init__(self, notice_s: float = math.inf) -> None:
        self.why: str | None = None
        self.halftime = self.deadline = math.inf
        """Monotonic time by which the evaluation, and everything else, has to be over."""
        self._notice_s = notice_s
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)

    def install(self) -> None:
        """Handle SIGTERM, SIGINT and SIGCHLD from now on. Only the main thread may call this."""
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)

    def request(self, why: str) -> None:
        """Ask the run to stop; the first reason given is kept. Callable from any thread."""
        self.why = self.why or why
        with contextlib.suppress(BlockingIOError):  # full: the loop has plenty of reasons to wake
            os.write(self._writer, b"\0")

    def fileno(self) -> int:
        """Return the descriptor to select on."""
        return self._reader

    def clear(self) -> None:
        """Forget the wake-ups seen so far, not the wish to stop."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self._reader, 4096):
                pass

    def wait(self, seconds: float) -> None:
        """Sleep until something happens, at most ``seconds``."""
        select.select([self], [], [], seconds)
        self.clear()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self.halftime = min(self.halftime, time.monotonic() + self._notice_s / 2)
        self.deadline = min(self.deadline, time.monotonic() + self._notice_s - min(PARTING_S, self._notice_s / 4))
        self.request(f"stopped by {signal.Signals(number).name}")
