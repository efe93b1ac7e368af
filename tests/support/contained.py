"""Containers without a cluster: the driver as main process, with what a kubelet gives it and keeps of it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_provider_lmeval.errors import ProtocolError
from airflow_provider_lmeval.wire import Request, RunDir
from airflow_provider_lmeval.wire_pod import (
    REQUEST_ENV,
    RUN_DIR_ENV,
    TERMINATION_LOG_ENV,
    Termination,
    pack_request,
)
from airflow_provider_lmeval.wire_record import RECORD_MARK, RecordReader
from tests.support.supervised import HERE, ROOT, end_of

DRIVER = ("-m", "airflow_provider_lmeval.driver")


@dataclass
class Container:
    """One container: a directory for its run, and the termination message's file, which exists before it starts.

    :param root: directory of its own. :param environ: further variables.
    """

    root: Path
    environ: dict[str, str] = field(default_factory=dict)
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.root.mkdir()
        self.message.write_bytes(b"")
        self.message.chmod(0o666)  # as the kubelet makes it

    @property
    def message(self) -> Path:
        return self.root / "termination-log"

    @property
    def run(self) -> RunDir:
        return RunDir(self.root / "run")

    @property
    def termination(self) -> Termination | None:
        """What the message says now that the container has ended; the kubelet reads it no sooner."""
        text = self.message.read_text()
        return Termination.parse(text) if text else None

    @property
    def glimpse(self) -> Termination | None:
        """What the message says while the container is running; None if it is just being written."""
        with contextlib.suppress(ProtocolError):
            return self.termination
        return None

    def start(self, request: Request | None, *what: str, prefix: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
        """Start it.

        :param request: put into its environment. :param what: a scripted child and its arguments; default: the worker.
        :param prefix: of the command line.
        """
        child, *arguments = what or ("",)
        script = [str(HERE / "contain.py"), str(HERE / "children" / f"{child}.py"), *arguments] if child else DRIVER
        given = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(self.root),
            RUN_DIR_ENV: str(self.run.root),
            TERMINATION_LOG_ENV: str(self.message),
            **({REQUEST_ENV: pack_request(request)} if request else {}),
            **self.environ,
        }
        process = subprocess.Popen(
            [*prefix, sys.executable, *script], env=given, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.started.append(process)
        return process

    def finish(
        self, request: Request | None, *what: str, prefix: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess[bytes]:
        """Run it to its end; arguments as for :meth:`start`."""
        return end_of(self.start(request, *what, prefix=prefix), timeout=120)

    def end(self) -> None:
        """Kill and close what a test left running."""
        for process in self.started:
            with process:
                process.kill()


def request(**fields: Any) -> Request:
    defaults: dict[str, Any] = {"spec_hash": "0", "model": "hf", "model_args": {"pretrained": "tiny"}, "grace_s": 1.0}
    return Request(**{"run_id": "run-1", **defaults, **fields})


def document(stdout: bytes, run_id: str = "run-1") -> bytes | None:
    """Return the result document from a container's log."""
    reader = RecordReader(run_id)
    for line in stdout.decode("utf-8", "replace").splitlines():
        reader.feed(line)
    return reader.document()


def tail_of_records(stdout: bytes) -> int:
    """Return how many lines at the very end of a log are record lines."""
    count = 0
    for line in reversed(stdout.decode("utf-8", "replace").splitlines()):
        if not line.startswith(RECORD_MARK):
            break
        count += 1
    return count
