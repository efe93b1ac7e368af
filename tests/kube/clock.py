"""Time as the API writes it: whole seconds in objects, nanoseconds in logs, always UTC.

A test that is about something that has lasted for minutes lets this clock lag: then what is new looks old to a client.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import formatdate

_lags: list[float] = []
_errors: list[float] = []


def timestamp(when: float | None = None) -> str:
    """Return ``metav1.Time``'s text.

    :param when: POSIX time, seconds; default: now.
    """
    moment = (time.time() if when is None else when) - sum(_lags) - sum(_errors)
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@contextmanager
def lagging(seconds: float) -> Iterator[None]:
    """Let everything that is written meanwhile be dated so much earlier."""
    _lags.append(seconds)
    try:
        yield
    finally:
        _lags.remove(seconds)


@contextmanager
def slow(seconds: float) -> Iterator[None]:
    """Let the server's clock be so much behind: all that is written, and the date of every answer."""
    _errors.append(seconds)
    try:
        yield
    finally:
        _errors.remove(seconds)


def http_date() -> str:
    """Return the ``Date`` of an answer."""
    return formatdate(time.time() - sum(_errors), usegmt=True)


def parse(text: str) -> float:
    """Return the POSIX time of an RFC 3339 timestamp.

    :raises ValueError: it is none.
    """
    return datetime.fromisoformat(text).timestamp()


def log_timestamp(nanoseconds: int) -> str:
    """Return the prefix of a log line, RFC 3339 with nanoseconds."""
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z"
