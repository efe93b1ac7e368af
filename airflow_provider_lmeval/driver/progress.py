"""Turns counts of finished requests into a rate, an estimate and the few lines worth logging.

Pure: time is an argument.
"""

from __future__ import annotations

from collections import deque
from typing import Any

WINDOW_S = 30.0
"""The rate is that of the last half minute: the first batches of a run are slow and say little about the rest."""
SPEAK_EVERY_S = 10.0
SPEAK_EVERY_SHARE = 0.1
SPEAK_AT_MOST_EVERY_S = 1.0


class Pace:
    """Requests per second, and seconds to go, of the batch of requests under way."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()
        self._batch: tuple[Any, ...] = ()

    def measure(self, event: dict[str, Any], now: float) -> dict[str, Any]:
        """Return the status's ``progress`` for a progress event.

        :param event: ``task``, ``kind``, ``done``, ``total``, ``tasks_done``, ``tasks_total``.
        :param now: monotonic time, seconds.
        """
        counts = {key: _count(event.get(key)) for key in ("done", "total", "tasks_done", "tasks_total")}
        names = {key: name if isinstance(name := event.get(key), str) else None for key in ("task", "kind")}
        done, total = counts["done"], counts["total"]
        batch = (*names.values(), total)
        if batch != self._batch or (self._seen and done < self._seen[-1][1]):
            self._batch = batch
            self._seen.clear()
        self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[1][0] > WINDOW_S:
            self._seen.popleft()
        rate = self._rate()
        eta = round((total - done) / rate, 1) if rate else None
        return {**names, **counts, "rate": rate, "eta_s": eta}

    def _rate(self) -> float | None:
        (began, first), (now, last) = self._seen[0], self._seen[-1]
        return round((last - first) / (now - began), 3) if last > first and now > began else None


def _count(value: object) -> int:
    """Return a count sent by a process that runs other people's code, too."""
    return value if isinstance(value, int) and value > 0 else 0


class Milestones:
    """Decides when progress is worth a line: every tenth or every so often, never more than one a second.

    :param every_s: seconds after which there is a line though less than a tenth was done.
    """

    def __init__(self, every_s: float = SPEAK_EVERY_S) -> None:
        self._every_s = every_s
        self._spoken: tuple[float, float] = (-every_s, 0.0)

    def reached(self, progress: dict[str, Any], now: float) -> bool:
        """Tell whether to speak now, and if so remember it.

        :param progress: as :meth:`Pace.measure` returns it. :param now: monotonic time, seconds.
        """
        then, before = self._spoken
        share = progress["done"] / progress["total"] if progress["total"] else 0.0
        step = abs(share - before) >= SPEAK_EVERY_SHARE and now - then >= SPEAK_AT_MOST_EVERY_S
        if not step and now - then < self._every_s:
            return False
        self._spoken = (now, share)
        return True


def sentence(progress: dict[str, Any]) -> str:
    """Return a line for people about ``progress``."""
    task = f"{progress['task']}: " if progress["task"] else ""
    rate = f", {progress['rate']:g}/s" if progress["rate"] else ""
    eta = f", {progress['eta_s']:.0f} s to go" if progress["eta_s"] is not None else ""
    tasks = f" (task {progress['tasks_done'] + 1} of {progress['tasks_total']})" if progress["tasks_total"] else ""
    return f"{task}{progress['done']}/{progress['total']} requests{rate}{eta}{tasks}"
