"""Time as the API writes it: whole seconds in objects, nanoseconds in logs, always UTC."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def timestamp(when: float | None = None) -> str:
    """Return ``metav1.Time``'s text.

    :param when: POSIX time, seconds; default: now.
    """
    return datetime.fromtimestamp(time.time() if when is None else when, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse(text: str) -> float:
    """Return the POSIX time of an RFC 3339 timestamp.

    :raises ValueError: it is none.
    """
    return datetime.fromisoformat(text).timestamp()


def log_timestamp(nanoseconds: int) -> str:
    """Return the prefix of a log line, RFC 3339 with nanoseconds."""
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z"
