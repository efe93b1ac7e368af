"""Runs evaluations as processes of this machine: the embedded default, which needs no cluster.

A run is the driver, detached from whoever started it: the task process ends when its task defers, and the run goes on. It
is found again by host, process id *and* start time, since process ids are reused. Its status is a file the driver replaces
atomically, so nothing has to be asked and nothing is lost when the driver is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from airflow_provider_lmeval import wire
from airflow_provider_lmeval.backends import driver_files, interpreter
from airflow_provider_lmeval.backends.base import Backend, Handle
from airflow_provider_lmeval.backends.hub_cache import check_cached
from airflow_provider_lmeval.errors import BackendError, RunFailedError, RunNotFoundError, SpecError, WrongHostError
from airflow_provider_lmeval.plan import Grants, Placement, Problem, check, plan_request, raise_errors, same_task
from airflow_provider_lmeval.plan.data import task_directories
from airflow_provider_lmeval.plan.parallel import check_parallel
from airflow_provider_lmeval.results import EvalResult
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.spec.pod_parts import Gpu
from airflow_provider_lmeval.store import Store, has_connection
from airflow_provider_lmeval.wire import Cause, Reason, RunDir, State, Status

KILL_MARGIN_S = 5.0
"""Seconds beyond the grace period before the whole session of a run that does not stop is killed."""
_AIRFLOW_VARIABLES = ("AIRFLOW", "_AIRFLOW")


class LocalBackend(Backend):
    """Detached driver processes on the worker's machine.

    :param directory: where runs work, one sub-directory each.
    :param results_uri: root of the store.
    :param python: interpreter that has lm-eval; default: this one.
    :param max_runs: evaluations running at once on this machine; others wait as *New*.
    :param grace_s: seconds a cancelled run gets to stop by itself.
    :param report_s: seconds between two lines of progress in a run's log.
    :param gpu: devices of a run and how they share it; None: the first that the worker finds.
    """

    name = "local"

    def __init__(
        self,
        *,
        directory: str | Path,
        results_uri: str,
        python: str | None = None,
        max_runs: int = 4,
        grace_s: float = 10.0,
        report_s: float = 10.0,
        gpu: Gpu | None = None,
    ) -> None:
        self.directory = Path(directory).expanduser().absolute()
        self.results_uri = results_uri
        self.python = python or sys.executable
        self.max_runs = max_runs
        self.grace_s, self.report_s = grace_s, report_s
        self.gpu = gpu

    @cached_property
    def store(self) -> Store:
        """The store; opened on first use, since a triggerer never needs it and a connection is looked up for it."""
        return Store(self.results_uri)

    def check(self, spec: EvalSpec, grants: Grants) -> list[Problem]:
        version = interpreter.probe(self.python).lm_eval
        problems = check(spec, grants, lm_eval_version=version) + check_cached(spec, grants, os.environ, version)
        problems += check_parallel(spec, self.gpu) if self.gpu else []
        raise_errors(problems)
        interpreter.check(self.python, spec.model.type)
        task_directories(spec)
        _check_model_directory(spec)
        self.store.check_writable()
        return problems

    def test(self) -> str:
        """Check interpreter and store without a spec, and return lm-eval's version.

        :raises LMEvalError: what is wrong and what to do.
        """
        self.store.check_writable()
        return interpreter.probe(self.python).lm_eval

    def submit(self, spec: EvalSpec, run_id: str, grants: Grants) -> Handle:
        run_dir = RunDir(self.directory / run_id)
        if found := self.find(run_id):
            return found
        self._supersede(run_id)
        try:
            self._write_request(spec, run_id, grants, run_dir)
            code = driver_files.install(self.directory)
            pid = self._spawn(run_dir, code)
        except OSError as error:
            raise BackendError(
                f"cannot start the run in {run_dir.root}: {error}. Check [lmeval] local_dir and driver_python"
            ) from error
        handle = self._handle(run_id, run_dir, pid, wire.process_start(pid))
        wire.write_atomic(_launched(run_dir), wire.dump(handle.to_json()))
        return handle

    def find(self, run_id: str) -> Handle | None:
        run_dir = RunDir(self.directory / run_id)
        try:
            handle = Handle.from_json(json.loads(_launched(run_dir).read_bytes()))
        except FileNotFoundError:
            return None
        if handle.where["host"] != socket.gethostname():
            return None
        status = self.status(handle)
        ended = State(status.state).ended
        return handle if not ended or (status.reason == Reason.SUCCEEDED and run_dir.marker.exists()) else None

    def _supersede(self, run_id: str) -> None:
        """Stop what an earlier generation of the same task (before a clear, or an edit of the spec) left running."""
        for sibling in self.directory.glob(f"{same_task(run_id)}*"):
            if sibling.name != run_id and (handle := self.find(sibling.name)):
                self.cancel(handle)

    def _write_request(self, spec: EvalSpec, run_id: str, grants: Grants, run_dir: RunDir) -> None:
        placement = Placement(
            # a driver knows no Airflow connections: there, results are copied when they are collected
            store=None if has_connection(self.store.url) else {"url": self.store.url, "options": {}},
            slots={"directory": str(self.directory / "slots"), "count": self.max_runs},
            grace_s=self.grace_s,
            report_s=self.report_s,
            gpu=self.gpu,
        )
        run_dir.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        run_dir.status.unlink(missing_ok=True)
        request = plan_request(spec, run_id, grants, placement)
        wire.write_atomic(run_dir.request, wire.dump(request.to_json(), sort_keys=False))

    def _spawn(self, run_dir: RunDir, code: Path) -> int:
        """Start the driver in a session of its own; what it says goes to a file, nobody waits for it."""
        argv = [self.python, "-m", "airflow_provider_lmeval.driver", str(run_dir.request)]
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(run_dir.root / "driver.log"), flags, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
            *((os.POSIX_SPAWN_CLOSE, number) for number in _leaking_files()),
        ]
        return os.posix_spawnp(self.python, argv, _environment(os.environ, code), file_actions=actions, setsid=True)

    def _handle(self, run_id: str, run_dir: RunDir, pid: int, pid_start: str | None) -> Handle:
        where = {"host": socket.gethostname(), "directory": str(run_dir.root), "pid": pid, "pid_start": pid_start}
        return Handle(backend=self.name, run_id=run_id, result_uri=self.store.uri(run_id), where=where)

    def status(self, handle: Handle) -> Status:
        run_dir = _run_dir(handle)
        alive = _alive(handle)  # asked before the file is read, so that an end in between is not taken for a loss
        status = _read_status(run_dir)
        if status is not None and (State(status.state).ended or alive):
            return status
        if alive:
            return Status(run_id=handle.run_id, state=State.NEW, message="the driver is starting")
        if status is None and not run_dir.request.exists():
            raise RunNotFoundError(f"run {handle.run_id}: nothing in {run_dir.root}; it was removed")
        return _lost(handle, status, run_dir)

    def cancel(self, handle: Handle) -> None:
        _run_dir(handle)
        pid = int(handle.where["pid"])
        if not _alive(handle):
            return
        _signal(pid, signal.SIGTERM, group=False)
        if not _ends_within(handle, self.grace_s + KILL_MARGIN_S):
            _signal(pid, signal.SIGKILL, group=True)

    def collect(self, handle: Handle) -> EvalResult:
        run_dir = _run_dir(handle)
        store = Store(handle.result_uri.rpartition("/")[0])  # the handle's, which its starter may have chosen
        if run_dir.marker.exists() and not store.exists(handle.run_id):
            store.put_run(run_dir)
        if store.exists(handle.run_id):
            return store.read_result(handle.run_id)
        status = self.status(handle)
        raise RunFailedError(
            f"{status.message or 'the run left no result'} (see {run_dir.root})", status.cause or Cause.INTERNAL
        )

    def remove(self, handle: Handle) -> None:
        """Delete the working files of an ended run; what is in the store stays."""
        run_dir = _run_dir(handle)
        status = _read_status(run_dir)
        told = status is not None and State(status.state).ended  # the process needs a moment to exit after that
        if not _ends_within(handle, KILL_MARGIN_S if told else 0):
            raise BackendError(f"run {handle.run_id} is still going on; cancel it first")
        shutil.rmtree(run_dir.root, ignore_errors=True)


def _leaking_files() -> list[int]:
    """Return the open files that a new process would inherit.

    Airflow talks to a task over sockets, and does not let go of the task's worker slot before the last holder of them has
    closed them: a driver that inherits one keeps the slot of a deferred task busy until the evaluation ends.
    """
    numbers = (int(path.name) for path in Path("/dev/fd").iterdir())
    return [number for number in numbers if number > 2 and _is_inheritable(number)]


def _is_inheritable(number: int) -> bool:
    try:
        return os.get_inheritable(number)
    except OSError:  # the one that listed the directory
        return False


def _environment(environ: Mapping[str, str], code: Path) -> dict[str, str]:
    """Return the driver's environment: this process's without Airflow's own settings, which hold credentials."""
    kept = {name: value for name, value in environ.items() if not name.startswith(_AIRFLOW_VARIABLES)}
    return kept | {"PYTHONPATH": str(code), "PYTHONUNBUFFERED": "1"}


def _run_dir(handle: Handle) -> RunDir:
    """Return the run's directory, if it is on this machine.

    :raises WrongHostError: it is not.
    """
    here, there = socket.gethostname(), handle.where.get("host")
    if there != here:
        raise WrongHostError(
            f"run {handle.run_id} was started on {there!r}, this is {here!r}: a local run can only be reached from its own "
            "machine. Run worker and triggerer on one machine, or use the kubernetes backend"
        )
    return RunDir(Path(handle.where["directory"]))


def _launched(run_dir: RunDir) -> Path:
    """File that names the process a run was started as: the driver says so itself only some tenths of a second later."""
    return run_dir.root / "launched.json"


def _alive(handle: Handle) -> bool:
    started = handle.where.get("pid_start")
    return started is not None and wire.process_start(int(handle.where["pid"])) == started


def _ends_within(handle: Handle, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while (alive := _alive(handle)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not alive


def _read_status(run_dir: RunDir) -> Status | None:
    try:
        return Status.from_json(json.loads(run_dir.status.read_bytes()))
    except FileNotFoundError:
        return None


def _lost(handle: Handle, status: Status | None, run_dir: RunDir) -> Status:
    """Describe a driver that is gone and had not said how it ended."""
    phase = f" while {status.phase}" if status and status.phase else ""
    return Status(
        run_id=handle.run_id,
        state=State.COMPLETE,
        reason=Reason.FAILED,
        cause=Cause.KILLED,
        message=f"the driver (pid {handle.where['pid']}) is gone{phase}: it was killed or the machine restarted. "
        f"Its last words: {_last_words(run_dir.root / 'driver.log')}",
        phase=status.phase if status else None,
        progress=status.progress if status else {},
        started=status.started if status else None,
    )


def _last_words(log: Path, lines: int = 5) -> str:
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "none"
    return " | ".join(text.strip().splitlines()[-lines:]) or "none"


def _signal(pid: int, number: int, *, group: bool) -> None:
    with contextlib.suppress(ProcessLookupError):
        (os.killpg if group else os.kill)(pid, number)


def _check_model_directory(spec: EvalSpec) -> None:
    """Refuse a model path that is not there: on this machine it can be seen before anything is started."""
    path = getattr(spec.model, "pretrained", "")
    if path.startswith(("/", "./", "../", "~")) and not Path(path).expanduser().is_dir():
        raise SpecError(
            f"model.pretrained: {path!r} is not a directory on this machine; give the directory of the model"
        )
