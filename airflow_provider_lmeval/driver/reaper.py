"""Process housekeeping: nothing the evaluation started may outlive it, and no zombie may pile up.

A container's PID 1 inherits every orphan; elsewhere the supervisor makes itself the "child subreaper" of its
descendants (prctl(2), Linux), so that even a grandchild that left the process group comes back to it when its parent
dies, and can be killed. The other direction is ``PR_SET_PDEATHSIG``: a supervisor that is killed with SIGKILL cannot
clean up, so its children ask the kernel for a SIGKILL of their own, and the accelerator is free again. Other systems
lack both: there the process group has to suffice.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None
"""Bound here, not between fork and exec, where only what needs no lock may run."""

SETTLE_S = 5.0
"""How long to go on killing what keeps appearing."""


class Reaper:
    """Starts processes and collects the exit status of every child, its own and inherited ones."""

    def __init__(self) -> None:
        self._mine: dict[int, subprocess.Popen[bytes]] = {}
        if _prctl:
            _prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def start(self, command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start a process that leads its own session and dies with this one.

        Its ``returncode`` is set by :meth:`collect`; ``poll`` and ``wait`` would compete for its status.

        :param command: arguments, no shell. :param options: of ``subprocess.Popen``.
        :raises OSError: it cannot be started.
        """
        options |= {"start_new_session": True, "preexec_fn": die_with_parent()}
        process = subprocess.Popen(command, **options)
        self._mine[process.pid] = process
        return process

    def collect(self) -> None:
        """Take the status of all children that have ended."""
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
                if process := self._mine.pop(ended[0], None):
                    process.returncode = os.waitstatus_to_exitcode(ended[1])

    def kill_strays(self) -> None:
        """Kill every inherited process, until none is left or :data:`SETTLE_S` has passed."""
        end = time.monotonic() + SETTLE_S
        self.collect()
        while (strays := _children() - set(self._mine)) and time.monotonic() < end:
            for pid in strays:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.005)
            self.collect()


def die_with_parent() -> Callable[[], None]:
    """Return a ``preexec_fn``: one prepared system call, which needs no lock another thread may hold at the fork."""
    parent = os.getpid()

    def ask() -> None:
        if _prctl:
            _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:  # it died before the kernel knew
                os._exit(137)

    return ask


def kill_group(leader: int, number: signal.Signals) -> None:
    """Send a signal to a process group that may be gone already."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS says EPERM for a group of zombies
        os.killpg(leader, number)


def _children() -> set[int]:
    """Return the direct children of this process (proc(5)); empty where there is no ``/proc``."""
    found: set[int] = set()
    for path in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):  # a thread that just ended
            found.update(map(int, path.read_text().split()))
    return found
