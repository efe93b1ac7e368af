"""A real Airflow on this machine: API server, scheduler, triggerer and DAG processor, each a process of its own.

Deferral, restarts and kills only mean something with the real parts, and each part must be killable alone: therefore it
is not ``airflow standalone``. SQLite and the LocalExecutor keep it to one machine, short intervals make it quick, free
ports let several live side by side. Whatever happens, ``stop`` leaves no process behind.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from tests.support import dies_with_parent
from tests.support.airflow_api import AirflowAPI, wait_until

ROOT = Path(__file__).resolve().parents[2]
COMPONENTS = ("api-server", "scheduler", "triggerer", "dag-processor")
USER = "admin"


class AirflowEnv:
    """Start with ``with AirflowEnv(home, dags) as airflow``, then talk to ``airflow.api``.

    :param home: becomes ``AIRFLOW_HOME``; logs of the components are in ``home/logs/*.log``.
    :param dags: one DAGs folder or several.
    :param settings: further environment variables (``AIRFLOW__SECTION__KEY`` …), which win over the ones set here.
    :param login: ask visitors for a password (``admin`` and ``password``) instead of letting everyone in as admin.
    :param port: of the API server; default: a free one.
    """

    def __init__(
        self,
        home: Path,
        *dags: Path,
        settings: Mapping[str, str] | None = None,
        login: bool = False,
        port: int | None = None,
    ) -> None:
        self.home, self.dags = home.resolve(), [folder.resolve() for folder in dags]
        self.port = port or _free_port()
        self.password = secrets.token_urlsafe(9) if login else None
        self.url = f"http://127.0.0.1:{self.port}"
        self.api = AirflowAPI(self.url, (USER, self.password) if self.password else None)
        self.environment = os.environ | self._settings() | dict(settings or {})
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, timeout: float = 120) -> None:
        """Create the database, start every component and wait until all are healthy.

        :param timeout: seconds for the whole start.
        :raises RuntimeError: a component ended or is not healthy in time, with the end of its log.
        """
        self._prepare_home()
        self._migrate()
        for name in COMPONENTS:
            self._spawn(name)
        try:
            wait_until(self._up, "Airflow is healthy", timeout)
        except TimeoutError as error:
            raise RuntimeError(f"{error}\n{self.log_tails()}") from None
        self.api.authenticate()

    def stop(self) -> None:
        """End every process that was started here, evaluations included: first politely, then for good."""
        self.api.close()
        started = self._family()
        _end([psutil.Process(p.pid) for p in self._processes.values() if p.poll() is None], grace=8)
        _end(started, grace=0)
        _end(self.descendants(), grace=5)
        for process in self._processes.values():
            process.wait()

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to a component and all processes it started, and wait for their end.

        :param name: one of ``COMPONENTS``.
        """
        process = self._processes[name]
        os.killpg(process.pid, number)
        process.wait(timeout=30)

    def restart(self, name: str) -> None:
        """Start a component again after :meth:`kill`."""
        self._spawn(name)

    def descendants(self) -> list[psutil.Process]:
        """Return the living processes that work in this home, told by argument or environment; detached ones too."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def busy_workers(self) -> list[str]:
        """Return the titles of the LocalExecutor's worker processes that are at work."""
        titles = [process.cmdline()[0] for process in self._family() if process.is_running() and process.cmdline()]
        return [title for title in titles if "LocalExecutor:" in title and "<idle>" not in title]

    def log_tails(self, lines: int = 25) -> str:
        """Return the end of every component's log, for error messages."""
        return "\n".join(
            "\n".join([f"--- {path}", *path.read_text(errors="replace").splitlines()[-lines:]])
            for path in sorted((self.home / "logs").glob("*.log"))
        )

    def _settings(self) -> dict[str, str]:
        return {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags[0]),
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "8",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__FERNET_KEY": "",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": str(self.password is None),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.home / "passwords.json"),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_urlsafe(32),
            "AIRFLOW__API__SECRET_KEY": secrets.token_urlsafe(32),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.home / 'airflow.db'}",
            "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self.home / "logs"),
            "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
            "AIRFLOW__SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "5",
            "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
            "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
            "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "8",
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([_bundle(folder) for folder in self.dags]),
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "600",
            "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "PYTHONUNBUFFERED": "1",
        }

    def _prepare_home(self) -> None:
        (self.home / "logs").mkdir(parents=True, exist_ok=True)
        (self.home / "passwords.json").write_text(json.dumps({USER: self.password} if self.password else {}))

    def _migrate(self) -> None:
        command = [sys.executable, "-m", "airflow", "db", "migrate"]
        done = subprocess.run(command, env=self.environment, cwd=self.home, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"airflow db migrate failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")

    def _spawn(self, name: str) -> None:
        arguments = {
            "api-server": ["--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"],
            "scheduler": ["--skip-serve-logs"],
            "triggerer": ["--skip-serve-logs"],
        }
        command = [sys.executable, dies_with_parent.__file__, "airflow", name, *arguments.get(name, [])]
        with open(self.home / "logs" / f"{name}.log", "ab") as log:
            self._processes[name] = subprocess.Popen(
                command, env=self.environment, cwd=self.home, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def _up(self) -> bool:
        for name, process in self._processes.items():
            if process.poll() is not None:
                raise RuntimeError(f"{name} ended with status {process.returncode}\n{self.log_tails()}")
        return self.api.healthy()

    def _family(self) -> list[psutil.Process]:
        """Return the members of the components' process groups: they outlive a component that crashed."""
        groups = {process.pid for process in self._processes.values()}
        return [process for process in psutil.process_iter() if _group(process) in groups]

    def _is_ours(self, process: psutil.Process) -> bool:
        if process.pid == os.getpid():
            return False
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            named = any(str(self.home) in argument for argument in process.cmdline()[1:])
            return named or process.environ().get("AIRFLOW_HOME") == str(self.home)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False


def _bundle(folder: Path) -> dict[str, Any]:
    classpath = "airflow.dag_processing.bundles.local.LocalDagBundle"
    return {"name": f"{folder.parent.name}-{folder.name}", "classpath": classpath, "kwargs": {"path": str(folder)}}


def _end(processes: list[psutil.Process], grace: float) -> None:
    """Terminate, and kill what still lives after ``grace`` seconds."""
    for process in processes if grace else ():
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    for process in psutil.wait_procs(processes, timeout=grace)[1]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _group(process: psutil.Process) -> int | None:
    with contextlib.suppress(ProcessLookupError):
        return os.getpgid(process.pid)
    return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
