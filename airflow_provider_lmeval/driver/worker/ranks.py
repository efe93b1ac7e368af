"""One process per device: the worker starts its own copies, as ``torchrun`` and ``accelerate launch`` would start them.

What makes a process a rank is a handful of environment variables (PyTorch: "torchrun, Environment Variables"); accelerate,
transformers and lm-eval read those and nothing else. A launcher in between would set them too, and would take away the two
things a worker lives by: the request on stdin, which holds secrets and is read once, and the pipe that its supervisor
listens to. So the first rank is the process the supervisor knows; it reads the request, starts the others, and ends the way
the first of them to fail ends. The others evaluate their share, write nothing and speak only to say why they failed.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from airflow_provider_lmeval.driver.reaper import die_with_parent
from airflow_provider_lmeval.driver.worker.events import DESCRIPTOR
from airflow_provider_lmeval.wire import Request

LOOPBACK = {"linux": "lo", "darwin": "lo0"}
"""All ranks are on one machine: gloo need not find out which network interface leads to the others."""
SETTLE_S = 2.0
"""How long after an error of its own the first rank waits for the end of another that may have caused it."""


class Ranks:
    """The other ranks, as the first sees them.

    :param directory: the run directory. :param document: what the first rank read from stdin.
    :param count: of all ranks. :param descriptor: the supervisor's pipe, or None.
    """

    def __init__(self, directory: str, document: Mapping[str, Any], count: int, descriptor: int | None) -> None:
        self._over = False
        self._failed = threading.Event()
        self._processes = [self._start(directory, rank, descriptor) for rank in range(1, count)]
        line = json.dumps(document).encode() + b"\n"
        for rank, process in enumerate(self._processes, 1):
            self._send(process, line)
            threading.Thread(target=self._watch, args=(process, rank), daemon=True).start()

    def tell(self, tasks: Sequence[str]) -> None:
        """Let the others begin: with these tasks, in this order."""
        for process in self._processes:
            self._send(process, json.dumps(list(tasks)).encode() + b"\n")

    def over(self) -> None:
        """Note that the work is done: however the others end does not matter any more."""
        self._over = True

    def settle(self) -> None:
        """Give another rank's failure time to be noticed; then this process ends with it and the call does not return."""
        if self._failed.wait(SETTLE_S):
            threading.Event().wait()

    def _start(self, directory: str, rank: int, descriptor: int | None) -> subprocess.Popen[bytes]:
        pipe = {} if descriptor is None else {DESCRIPTOR: str(descriptor)}
        command = [sys.executable, "-P", "-m", "airflow_provider_lmeval.driver.worker", directory, str(rank)]
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            env={**os.environ, **pipe, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            pass_fds=() if descriptor is None else (descriptor,),
            preexec_fn=die_with_parent(),  # noqa: PLW1509 - no thread is started before all ranks are
        )

    def _send(self, process: subprocess.Popen[bytes], line: bytes) -> None:
        assert process.stdin is not None  # noqa: S101 - asked for
        try:
            process.stdin.write(line)
            process.stdin.flush()
        except BrokenPipeError:  # it has ended, which its watcher sees
            return

    def _watch(self, process: subprocess.Popen[bytes], rank: int) -> None:
        code = process.wait()
        if code and not self._over:
            self._failed.set()
            _end_like(code, f"rank {rank} of {len(self._processes) + 1}")


def _end_like(code: int, who: str) -> NoReturn:
    """End this process as another one has ended, so that whoever judges it sees the cause and not its consequences."""
    if code > 0:
        os._exit(code)
    number = signal.Signals(-code)
    sys.stderr.write(f"{who} was killed by {number.name}\n")
    sys.stderr.flush()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
    os.kill(os.getpid(), signal.SIGKILL if number == signal.SIGTERM else number)
    os._exit(128 + number)


def start_ranks(directory: str, document: Mapping[str, Any], request: Request, descriptor: int | None) -> Ranks | None:
    """Make this process the first of several ranks and start the others; None where one process is enough.

    Has to happen before torch is imported.
    """
    count = int((request.parallel or {}).get("processes") or 1)
    if count == 1:
        return None
    os.environ.update(variables(count))
    return Ranks(directory, document, count, descriptor)


def variables(count: int) -> dict[str, str]:
    """Return the environment of the first rank; what the administrator has set stays."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    chosen = {
        "OMP_NUM_THREADS": str(max(1, cores // count)),  # else each rank takes all cores
        "GLOO_SOCKET_IFNAME": LOOPBACK.get(sys.platform, ""),
    }
    fixed = {
        "RANK": "0",
        "LOCAL_RANK": "0",
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
    }
    return fixed | {name: value for name, value in chosen.items() if value and name not in os.environ}


def own_directory(directory: str, rank: int) -> Path:
    """Return where a further rank works: nothing in it is kept."""
    return Path(directory) / "scratch" / f"rank-{rank}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
