"""Runs asynchronous code for callers without an event loop.

In a thread of its own: Airflow calls ``on_kill`` from a signal handler, that is in the middle of whatever the main thread is
doing, and an event loop that runs there could not be entered again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Result = TypeVar("Result")


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Return what ``work`` returns, or raise what it raises."""
    with ThreadPoolExecutor(1, thread_name_prefix="lmeval-kubernetes") as pool:
        return pool.submit(asyncio.run, work).result()
