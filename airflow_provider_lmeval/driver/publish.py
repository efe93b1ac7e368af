"""Runs the uploader beside the evaluation: after each finished task, and once more at the end. Before it, the fetcher.

Never two at once, never in the way of the loop. A store that is down while the evaluation runs costs nothing but a
line in the log; only the last upload decides whether the run has succeeded.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import IO

from airflow_provider_lmeval.driver.environment import python_path
from airflow_provider_lmeval.driver.interrupt import Interrupt
from airflow_provider_lmeval.driver.logs import Console
from airflow_provider_lmeval.driver.reaper import Reaper, kill_group
from airflow_provider_lmeval.errors import RunFailedError
from airflow_provider_lmeval.wire import Cause, RunDir

LAST_UPLOAD_S = 900.0
"""Longest wait for the upload at the end: three attempts of five minutes."""
ASSETS_S = 6 * 3600.0
"""Longest wait for models and data, where the run has no time limit of its own."""
FETCH_S = 300.0
"""Longest wait for what an earlier attempt stored: beyond that, evaluating again is as good."""
_LONGEST_REASON = 2000


class Uploads:
    """The uploads of one run.

    :param run: its directory. :param wanted: whether the request names a store.
    :param reaper: starts the processes. :param console: hears of failures.
    """

    def __init__(self, run: RunDir, wanted: bool, reaper: Reaper, console: Console) -> None:
        self._run = run
        self._wanted = wanted
        self._reaper = reaper
        self._console = console
        self._process: subprocess.Popen[bytes] | None = None
        self._words: IO[bytes] | None = None
        self._again = False
        self._trouble: str | None = None

    def fetch(self, interrupt: Interrupt, idle: Callable[[], None]) -> str:
        """Bring back tasks that an earlier attempt finished, and wait for it; a wish to stop ends the wait.

        :param interrupt: to sleep on. :param idle: called now and then meanwhile.
        :returns: what came of it, in words; nothing if there was nothing to fetch.
        """
        reason, words = self._bring("fetch", FETCH_S, interrupt, idle)
        return f"not fetched: {reason}" if reason else words

    def fetch_assets(self, seconds: float, interrupt: Interrupt, idle: Callable[[], None]) -> None:
        """Copy models and data into the run's cache, and wait for it; a wish to stop ends the wait.

        :param seconds: how long it may take.
        :raises RunFailedError: ``dataset``: it did not all come.
        """
        reason, words = self._bring("assets", seconds, interrupt, idle)
        if reason and not interrupt.why:
            message = f"offline.s3: models and data could not be copied: {reason}"
            raise RunFailedError(message, Cause.DATASET)
        self._console.say(f"copying models and data: {reason or words}")

    def _bring(
        self, what: str, seconds: float, interrupt: Interrupt, idle: Callable[[], None]
    ) -> tuple[str | None, str]:
        """Run a program that fetches; return what went wrong, and what it said last."""
        self._start(what)
        self._wait(interrupt, time.monotonic() + seconds, idle, until=lambda: interrupt.why is not None)
        return ("it was not done in time", "") if self._abandon() else self._end()

    def request(self) -> None:
        """Upload what is finished, now or after the upload that is under way."""
        self._again = self._wanted
        self.tick()

    def tick(self) -> None:
        """Notice the end of an upload and start the next one."""
        if self._running():
            return
        if reason := self._end()[0]:
            self._console.say(f"storing finished tasks failed, the run goes on: {reason}")
        if self._again:
            self._start("upload")

    def finish(self, interrupt: Interrupt, idle: Callable[[], None]) -> str | None:
        """Upload everything and wait for it. Only a deadline interrupts this: the results are what is left.

        :param interrupt: to sleep on. :param idle: called now and then meanwhile.
        :returns: why it failed, or None.
        """
        if not self._wanted:
            return None
        end = time.monotonic() + LAST_UPLOAD_S
        self._wait(interrupt, end, idle)
        self._end()
        self._start("upload")
        self._wait(interrupt, end, idle)
        if self._abandon():
            given = "in the time the run was given to stop" if interrupt.why else f"after {LAST_UPLOAD_S:.0f} s"
            return f"not done {given}"
        return self._end()[0]

    def _start(self, what: str) -> None:
        self._again = False
        try:
            # nameless, because it may quote a secret; closed by _end
            self._words = tempfile.TemporaryFile(dir=self._run.scratch)  # noqa: SIM115
            self._process = self._reaper.start(
                [sys.executable, "-P", "-m", f"airflow_provider_lmeval.driver.{what}", str(self._run.root)],
                env={**os.environ, "PYTHONPATH": python_path(os.environ)},
                stdin=subprocess.DEVNULL,
                stdout=self._words,
                stderr=self._words,
            )
        except OSError as error:
            self._trouble = f"cannot start: {error}"

    def _running(self) -> bool:
        self._reaper.collect()
        return self._process is not None and self._process.returncode is None

    def _wait(
        self, interrupt: Interrupt, end: float, idle: Callable[[], None], until: Callable[[], bool] = lambda: False
    ) -> None:
        while self._running() and not until() and (left := min(end, interrupt.deadline) - time.monotonic()) > 0:
            interrupt.wait(min(left, 1.0))
            idle()

    def _abandon(self) -> bool:
        """Kill what is still running, and tell whether there was anything."""
        if not self._running() or self._process is None:
            return False
        kill_group(self._process.pid, signal.SIGKILL)
        self._process = None
        return True

    def _end(self) -> tuple[str | None, str]:
        """Forget the process that has ended; return what went wrong with it, and what it said last."""
        process, self._process = self._process, None
        trouble, self._trouble = self._trouble, None
        if process is None or self._words is None:
            return trouble, ""
        with self._words as words:
            words.seek(max(0, words.seek(0, os.SEEK_END) - _LONGEST_REASON))
            lines = words.read().decode("utf-8", "replace").splitlines()
        said = self._console.redactor.text(lines[-1] if lines else "")
        return (None if process.returncode == 0 else said or f"it ended with {process.returncode}"), said
