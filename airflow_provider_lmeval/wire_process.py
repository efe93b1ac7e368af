"""Which process it is: a number is given to another one as soon as its owner has ended.

Part of the protocol, and read by way of ``wire``: the driver writes down who it is, the other side looks whether it still
is. Standard library only.
"""

from __future__ import annotations

from pathlib import Path


def process_start(pid: int) -> str | None:
    """Return the start time of a process, as an opaque text to compare, or None when it does not run.

    :param pid: process id on this machine.

    Linux: field 22 of ``/proc/PID/stat`` (proc(5)), a zombie counts as not running. Elsewhere ``ps -o lstart=``.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return None if Path("/proc/self/stat").exists() else _ps_start(pid)
    except ProcessLookupError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


def _ps_start(pid: int) -> str | None:
    import subprocess

    done = subprocess.run(["/bin/ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return done.stdout.strip() or None
