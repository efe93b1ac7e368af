"""Watches one child from its start to its end: its pipes, the wish to stop, and the clock, in one ``select`` loop.

What it returns is evidence, not a verdict: ``outcome.decide`` draws the conclusion, as a function that can be tested
with every combination.
"""

from __future__ import annotations

import contextlib
import selectors
import time
from collections.abc import Callable
from typing import Any

from airflow_provider_lmeval.driver.child import Child
from airflow_provider_lmeval.driver.interrupt import Interrupt
from airflow_provider_lmeval.driver.logs import Console
from airflow_provider_lmeval.driver.outcome import Evidence, Outcome, reported
from airflow_provider_lmeval.driver.progress import Milestones, Pace, sentence
from airflow_provider_lmeval.driver.publish import Uploads
from airflow_provider_lmeval.driver.status import Board
from airflow_provider_lmeval.wire import Cause, Phase, Request

TICK_S = 0.25
"""Longest sleep of the loop: how late a deadline or the end of the grace period may be noticed."""


class Watch:
    """The supervisor's loop.

    :param request: its limits count. :param interrupt: wakes the loop and says when to stop.
    :param board: told of phases and progress. :param uploads: kept going. :param console: for the log.
    :param on_task: told the name of each finished task.
    """

    def __init__(
        self,
        request: Request,
        *,
        interrupt: Interrupt,
        board: Board,
        uploads: Uploads,
        console: Console,
        on_task: Callable[[str], None],
    ) -> None:
        self._request = request
        self._interrupt = interrupt
        self._board = board
        self._uploads = uploads
        self._console = console
        self._on_task = on_task
        self._seen = Evidence()
        self._pace = Pace()
        self._milestones = Milestones(request.report_s)
        self._began = self._active = time.monotonic()
        self._kill_at = float("inf")

    def until_end(self, child: Child) -> Evidence:
        """Serve a child that was just started until it has ended, and everything it started with it."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._interrupt, selectors.EVENT_READ, self._interrupt.clear)
            child.serve(selector)
            try:
                while (code := child.exit_code) is None:
                    for key, _ in selector.select(TICK_S):
                        key.data()
                    self._stop_if_due(child)
                    self._uploads.tick()
                    self._board.tick()
            finally:
                child.bury()
        self._seen.exit_code = code
        return self._seen

    def on_event(self, event: dict[str, Any]) -> None:
        """Take one event of the child; what is not understood counts as a sign of life all the same."""
        self._active = time.monotonic()
        match event:
            case {"event": "phase", "phase": str(phase)}:
                with contextlib.suppress(ValueError):
                    self._board.enter(Phase(phase))
                    self._console.say(f"phase: {phase}")
            case {"event": "progress"}:
                self._show(self._pace.measure(event, self._active))
            case {"event": "task", "task": str(task)}:
                self._console.say(f"task finished: {task}")
                self._on_task(task)
            case {"event": "failed"}:
                self._seen.failed = self._seen.failed or reported(event)  # others may follow from the first
            case {"event": "finished"}:
                self._seen.finished = True

    def _show(self, progress: dict[str, Any]) -> None:
        self._board.set(progress=progress)
        if self._milestones.reached(progress, self._active):
            self._console.say(sentence(progress))

    def _stop_if_due(self, child: Child) -> None:
        """Ask the child to end when there is a reason; insist after the grace period."""
        if self._seen.stopped is None:
            if stop := self._reason_to_stop():
                self._seen.stopped = stop
                self._kill_at = time.monotonic() + self._request.grace_s
                self._console.say(f"stopping the evaluation: {stop.message}")
                child.terminate()
        elif time.monotonic() >= min(self._kill_at, self._interrupt.halftime):
            child.kill()

    def _waits_for_server(self) -> bool:
        """Whether a served model owes answers; where it does not, the metrics may be what takes so long."""
        status = self._board.status
        owed = status.progress.get("done", 0) < status.progress.get("total", 0)
        asking = status.phase == Phase.CHECKING_ENDPOINT or (status.phase == Phase.EVALUATING and owed)
        return asking and bool(self._request.model_args.get("base_url"))

    def _reason_to_stop(self) -> Outcome | None:
        now, timeout, silence = time.monotonic(), self._request.timeout_s, self._request.no_progress_s
        if self._interrupt.why:
            return Outcome(Cause.CANCELLED, self._interrupt.why)
        if timeout is not None and now - self._began > timeout:
            return Outcome(Cause.DEADLINE, f"not done after {timeout:g} s (timeout_s)")
        if silence is not None and now - self._active > silence:
            phase = self._board.status.phase
            cause, what = Cause.HUNG, "no progress"
            if self._waits_for_server():
                cause, what = Cause.ENDPOINT, "no progress of the model's server"
            return Outcome(cause, f"{what} for {silence:g} s (no_progress_s) while {phase}")
        return None
