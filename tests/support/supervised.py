"""Runs of the real supervisor in processes of their own, with scripted children in place of lm-eval."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_provider_lmeval.wire import TOKEN_HEADER, Request, RunDir, dump, process_start

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TOKEN = "token-of-this-run"
STATUS_SERVER = {"host": "127.0.0.1", "port": 0, "token_sha256": hashlib.sha256(TOKEN.encode()).hexdigest()}


@dataclass
class Run:
    """A run directory with its request, and the supervisors started in it."""

    root: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def files(self) -> RunDir:
        return RunDir(self.root)

    def request(self, **fields: Any) -> Run:
        self.root.mkdir(parents=True, exist_ok=True)
        defaults = {"run_id": "run-1", "spec_hash": "0", "model": "hf", "model_args": {"pretrained": "tiny"}}
        self.files.request.write_bytes(dump(Request(**{**defaults, "grace_s": 1.0, **fields}).to_json()))
        return self

    def start(self, child: str, *arguments: str, prefix: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
        script = [str(HERE / "supervise.py"), str(self.root), str(HERE / "children" / f"{child}.py"), *arguments]
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        environ = {**kept, "PYTHONPATH": str(ROOT), "TMPDIR": str(self.root.parent), **self.environ}
        command = [*prefix, sys.executable, *script]
        process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.started.append(process)
        return process

    def finish(self, child: str, *arguments: str, prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[bytes]:
        return end_of(self.start(child, *arguments, prefix=prefix))

    @property
    def status(self) -> dict[str, Any]:
        return json.loads(self.files.status.read_bytes())

    @property
    def result(self) -> dict[str, Any]:
        return json.loads(self.files.result.read_bytes())

    @property
    def log(self) -> str:
        return (self.files.logs / "stdout.log").read_text() + (self.files.logs / "stderr.log").read_text()

    def pids(self) -> list[int]:
        """The process ids of ``waits.py`` and its descendants, once it is waiting."""
        path = self.files.scratch / "pids.txt"
        wait_for(path.exists)
        return [int(pid) for pid in path.read_text().split()]

    def ask(self, method: str, path: str, token: str | None = TOKEN) -> tuple[int, dict[str, str], bytes]:
        """Send one request to the run's status server."""
        address = self.files.scratch / "server.json"
        wait_for(address.exists)
        where = json.loads(address.read_text())
        connection = http.client.HTTPConnection(where["host"], where["port"], timeout=10)
        connection.request(method, path, headers={TOKEN_HEADER: token} if token else {})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, dict(answer.getheaders()), body


def end_of(process: subprocess.Popen[bytes], timeout: float = 30) -> subprocess.CompletedProcess[bytes]:
    """Wait for a started supervisor and return what it said."""
    stdout, stderr = process.communicate(timeout=timeout)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def wait_for(condition: Callable[[], Any], timeout: float = 15) -> Any:
    """Return the first true value of ``condition``."""
    end = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
    return value


def gone(pid: int) -> bool:
    return process_start(pid) is None


def texts_below(root: Path) -> dict[Path, bytes]:
    """Every file below a directory, to look for what must not be there."""
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
