"""Event loops whose seconds are short, so that a minute of trouble takes a test three seconds.

The product's pauses, time-outs and intervals are what they are; only the clock of the loops they run in goes faster. What
the API server does, it does in real time, in a loop of its own.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Iterator
from contextlib import contextmanager

FACTOR = 20.0
"""Seconds of the loop in one real second."""


class _Selector(selectors.DefaultSelector):  # type: ignore[name-defined, misc]
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(None if timeout is None else timeout / FACTOR)  # type: ignore[no-any-return]


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        super().__init__(_Selector())

    def time(self) -> float:
        return time.monotonic() * FACTOR


class _Policy(asyncio.DefaultEventLoopPolicy):
    _loop_factory = _Loop  # type: ignore[assignment]


@contextmanager
def hurried() -> Iterator[None]:
    """Let every event loop that begins meanwhile hurry."""
    before = asyncio.get_event_loop_policy()
    asyncio.set_event_loop_policy(_Policy())
    try:
        yield
    finally:
        asyncio.set_event_loop_policy(before)
