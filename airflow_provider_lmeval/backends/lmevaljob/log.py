"""Reads the log of the operator's pod piece by piece, for the task's own log.

A stream for each run would be a connection for each run, kept open for hours. So the log takes its turn in the poller's
round, as a driver's status does: every ten seconds, or more rarely if there are many runs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta

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
        self._last, self._told, self._since = "", 0, ""
        self._lacking = False
        self.lines: deque[str] = deque(maxlen=LAST_LINES)
        """The newest lines."""

    def can_ask(self, view: JobView) -> bool:
        """Whether there may be a log."""
        return bool(view.pod) and view.state == "Running"

    async def status(self, api: Api, view: JobView) -> Status | None:
        """Tell the lines that are new.

        :raises ClusterError: the log may not be read.
        """
        for line in await self._read(api, view):
            if self._tell is not None:
                self._tell(line)
        return None

    async def news(self, api: Api, view: JobView) -> list[str]:
        """Return the lines that are new; once, why there are none."""
        try:
            return await self._read(api, view)
        except ClusterError as error:
            told, self._lacking = self._lacking, True
            return [] if told else [f"{self.lack}: {error}"]

    async def _read(self, api: Api, view: JobView) -> list[str]:
        """Return the lines that are new; a pod that has no log yet, or no more, is no trouble."""
        query = {"container": CONTAINER, "timestamps": "true", "limitBytes": MOST_BYTES}
        query |= {"sinceTime": self._since} if self._since else {}
        path = f"{PODS.path(view.namespace, view.pod)}/log"
        try:
            answer = await api.patient(0).send(Call("GET", path, query))
        except ClusterError as error:
            if error.transient or error.status in (400, 404):
                return []
            raise
        return self.take(answer.body)

    def take(self, piece: bytes) -> list[str]:
        """Return the lines of a piece that were not there before; see :attr:`lines` for the newest of all.

        A piece begins with the second of the last line, since the kubelet counts in seconds, and ends after so many bytes.
        A line that is cut off there comes again, whole, with the next piece.
        """
        cut = len(piece) >= MOST_BYTES
        whole = piece[: piece.rfind(b"\n") + 1] if cut and b"\n" in piece else piece
        news = list(self._news(whole.decode("utf-8", "replace").split("\n")))
        if cut and not news and self._last:
            news = [f"… more than {MOST_BYTES // 1024} KiB of log within a second: the rest of it is left out"]
            second = datetime.fromisoformat(self._since) + timedelta(seconds=1)
            self._last, self._told, self._since = second.isoformat()[:19], 0, second.isoformat()
        # of a progress bar, which writes over itself, what it said last
        shown = [line for each in news if (line := each.rstrip("\r").rpartition("\r")[2]).strip()]
        self.lines.extend(shown)
        return shown

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
            self._last, self._since = stamp, _second(stamp)
            yield text


def _second(stamp: str) -> str:
    """Return the second of a time as the kubelet writes it, ``2026-01-01T00:00:00.123456789+02:00``: nodes have zones."""
    return stamp[:19] + (stamp[-6:] if stamp[-6:-5] in ("+", "-") else "+00:00")
