"""Reads the log of the operator's pod piece by piece, for the task's own log.

A stream for each run would be a connection for each run, kept open for hours. So the log takes its turn in the poller's
round, as a driver's status does: every ten seconds, or more rarely if there are many runs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator

from airflow_provider_lmeval.backends.kubernetes.api import Api, Call
from airflow_provider_lmeval.backends.kubernetes.resources import PODS
from airflow_provider_lmeval.backends.lmevaljob.failure import LAST_LINES
from airflow_provider_lmeval.backends.lmevaljob.view import JobView
from airflow_provider_lmeval.errors import ClusterError
from airflow_provider_lmeval.wire import Status

CONTAINER = "main"
"""Of the operator's pods, the one that evaluates."""
MOST_BYTES = 1024 * 1024
"""Of one piece."""


class PodLog:
    """The log of one job's pod.

    :param tell: takes each new line; None: they are only kept.
    """

    lack = "the pod's log is not shown"

    def __init__(self, tell: Callable[[str], None] | None = None) -> None:
        self._tell = tell
        self._last, self._told = "", 0
        self.lines: deque[str] = deque(maxlen=LAST_LINES)
        """The newest lines."""

    def can_ask(self, view: JobView) -> bool:
        """Whether there may be a log."""
        return bool(view.pod) and view.state == "Running"

    async def status(self, api: Api, view: JobView) -> Status | None:
        """Tell the lines that are new; a pod that has no log yet, or no more, is no trouble.

        :raises ClusterError: the log may not be read.
        """
        query = {"container": CONTAINER, "timestamps": "true", "limitBytes": MOST_BYTES}
        query |= {"sinceTime": f"{self._last[:19]}Z"} if self._last else {}
        path = f"{PODS.path(view.namespace, view.pod)}/log"
        try:
            answer = await api.patient(0).send(Call("GET", path, query))
        except ClusterError as error:
            if error.transient or error.status in (400, 404):
                return None
            raise
        for line in self._news(answer.body.decode("utf-8", "replace").split("\n")):
            shown = line.rstrip("\r").rpartition("\r")[
                2
            ]  # of a progress bar, which writes over itself, what it said last
            if shown.strip():
                self.lines.append(shown)
                if self._tell is not None:
                    self._tell(shown)
        return None

    def _news(self, lines: Iterable[str]) -> Iterator[str]:
        """Yield the text of lines that were not told yet. Several may have one time, of which some were there before."""
        before, again = self._last, self._told
        for line in lines:
            stamp, _, text = line.partition(" ")
            if stamp < before or not stamp[:4].isdecimal():
                continue
            if stamp == before and again:
                again -= 1
                continue
            self._told = self._told + 1 if stamp == self._last else 1
            self._last = stamp
            yield text
