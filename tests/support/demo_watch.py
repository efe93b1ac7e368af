"""Says what happens in some DAG runs while it happens: one line for each change, and the progress of evaluations."""

from __future__ import annotations

import time
from collections.abc import Mapping

from rich.console import Console

from airflow_provider_lmeval.wire import State
from tests.support.airflow_api import ENDED, AirflowAPI

SHOWN = {"running": "runs", "deferred": "waits (deferred)", "success": "done", "failed": "FAILED", "skipped": "skipped"}
SHOWN |= {"upstream_failed": "not run"}
"""Task states worth a line, in words."""
PROGRESS = tuple(f"{state}:" for state in (State.NEW, State.RUNNING))
"""What the progress lines in a task's log begin with."""


class Watch:
    """Follows runs of one DAG through the REST API.

    :param api: of the Airflow.
    :param dag_id: the DAG.
    :param runs: run ids by the name to show.
    :param console: where to print.
    """

    def __init__(self, api: AirflowAPI, dag_id: str, runs: Mapping[str, str], console: Console) -> None:
        self.api, self.dag_id, self.runs, self.console = api, dag_id, dict(runs), console
        self._seen: dict[tuple[str, str], str] = {}
        self._started = time.monotonic()

    def until_ended(self, deadline: float, interval: float = 1.0) -> None:
        """Print changes until every run has ended.

        :param deadline: on ``time.monotonic()``'s clock.
        :param interval: seconds between two looks.
        :raises TimeoutError: some run goes on at the deadline.
        """
        going = dict(self.runs)
        while going:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.dag_id}: still going on: {', '.join(going)}")
            for name, run_id in list(going.items()):
                state = self.api.run_state(self.dag_id, run_id)
                self._look(name, run_id)
                if state in ENDED:
                    self._say(name, self.dag_id, f"ended: {state}")
                    del going[name]
            time.sleep(interval)

    def _look(self, name: str, run_id: str) -> None:
        for task_id, task in self.api.tasks(self.dag_id, run_id).items():
            state = task["state"]
            if state in SHOWN:
                self._say(name, task_id, SHOWN[state])
            if state == "deferred":
                self._progress(name, run_id, task_id)

    def _progress(self, name: str, run_id: str, task_id: str) -> None:
        lines = [line for line in self.api.log(self.dag_id, run_id, task_id) if line.startswith(PROGRESS)]
        if lines:
            self._say(name, f"{task_id} ", lines[-1])

    def _say(self, name: str, what: str, text: str) -> None:
        if self._seen.get((name, what)) != text:
            self._seen[name, what] = text
            self.console.print(f"{time.monotonic() - self._started:5.0f} s  {name:<13} {what:<19} {text}", markup=False)
