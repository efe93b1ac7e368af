"""Asks the kernel whether the out-of-memory killer struck here.

A process killed for memory looks like any other ``kill -9``; only the control group's counter tells them apart.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

_COUNTER = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)


def oom_kills(mounted: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> int:
    """Return how many processes of this control group were killed for memory so far; 0 where nothing counts them.

    :param mounted: where control groups are mounted. :param membership: the group of this process.

    cgroup v2: ``memory.events``; v1: ``memory.oom_control`` (kernel documentation, admin-guide/cgroup-v1/memory).
    Inside a container the group is usually mounted as the root, on a host below it: the nearest file that exists
    counts.
    """
    for path in _candidates(mounted, membership):
        with contextlib.suppress(OSError):
            if found := _COUNTER.search(path.read_text()):
                return int(found[1])
    return 0


def _candidates(mounted: Path, membership: Path) -> list[Path]:
    groups = {"": "", "memory": ""}
    with contextlib.suppress(OSError):
        for line in membership.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            groups.update({name: path.lstrip("/") for name in controllers.split(",") if name in groups})
    version2, version1 = ("memory.events", mounted, ""), ("memory.oom_control", mounted / "memory", "memory")
    return [
        directory / name
        for name, base, controller in (version2, version1)
        for directory in (base / groups[controller], base)
    ]
