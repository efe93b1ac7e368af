"""The API server's clock, as seen from here.

Pods are dated by the API server, patience is counted here. If the two clocks lie minutes apart, a pod that was created a
moment ago looks overdue and is given up, or one that is lost is waited for. Every answer says what time it is over there.
"""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime

TOLERANCE_S = 5.0
"""Whole seconds, and the time that an answer takes, are no difference."""


class ServerClock:
    """Tells the time by which a server dates its objects.

    ``ahead_s``: by how many seconds its clock is ahead of ours; 0 until it has said so.
    """

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def note(self, date: str | None) -> None:
        """Take the ``Date`` of an answer that has just come (RFC 9110, section 6.6.1)."""
        try:
            ahead = parsedate_to_datetime(date or "").timestamp() - time.time()
        except ValueError:
            return
        self.ahead_s = ahead if abs(ahead) > TOLERANCE_S else 0.0

    def now(self) -> float:
        """Return the server's POSIX time, in seconds."""
        return time.time() + self.ahead_s
