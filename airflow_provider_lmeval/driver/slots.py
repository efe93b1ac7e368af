"""Bounds how many evaluations run at once on one machine, without a daemon.

Each slot is a file locked with ``flock``: the kernel frees it when its holder ends, however it ends, so a crash never
loses a slot and there is nothing to clean up.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from airflow_provider_lmeval.driver.interrupt import Interrupt

POLL_S = 0.25
"""Seconds between two looks for a free slot: nothing tells when another process releases a lock."""


def try_lock(path: Path) -> int | None:
    """Lock a file for this process.

    :param path: made if missing.
    :returns: the descriptor that holds the lock until it is closed, or None while another process holds it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


@contextmanager
def slot(directory: Path, count: int, interrupt: Interrupt, idle: Callable[[], None]) -> Iterator[None]:
    """Hold one of ``count`` slots; wait until one is free or somebody asks to stop (see ``interrupt.why``).

    :param directory: shared by all who compete; made if missing.
    :param count: how many may run at once. :param idle: called after each look.
    """
    directory.mkdir(parents=True, exist_ok=True)
    held = _take(directory, count)
    while held is None and not interrupt.why:
        interrupt.wait(POLL_S)
        idle()
        held = _take(directory, count)
    try:
        yield
    finally:
        if held is not None:
            os.close(held)


def _take(directory: Path, count: int) -> int | None:
    locks = (try_lock(directory / f"slot-{number}") for number in range(count))
    return next((lock for lock in locks if lock is not None), None)
