"""Airflow's public REST API, as far as the end-to-end tests and the demo need it.

They look at Airflow the way a user's browser does and never into its database, so what they show is what users get.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import httpx

T = TypeVar("T")

ENDED = frozenset({"success", "failed"})
"""States in which a DAG run stays."""
TASK_ENDED = ENDED | {"skipped", "upstream_failed", "removed"}
"""States in which a task stays until someone clears it."""


def wait_until(check: Callable[[], T], what: str, timeout: float, interval: float = 0.25) -> T:
    """Return the first true value of ``check``.

    :param check: called until its value is true; an ``httpx.TransportError`` counts as "not yet".
    :param what: what is waited for, for the message.
    :param timeout: seconds.
    :param interval: seconds between two calls.
    :raises TimeoutError: not in time.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            if value := check():
                return value
        except httpx.TransportError:
            pass
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout:.0f} s: {what}")
        time.sleep(interval)


class AirflowAPI:
    """A client of one API server.

    :param url: address of the API server, without a path.
    :param login: user name and password; without one, every visitor has to be an admin
        (``[core] simple_auth_manager_all_admins``).
    """

    def __init__(self, url: str, login: tuple[str, str] | None = None) -> None:
        self.url = url
        self._login = login
        self._http = httpx.Client(base_url=url, timeout=30)

    def close(self) -> None:
        self._http.close()

    def authenticate(self) -> None:
        """Fetch a token and send it with every later request."""
        if self._login is None:
            answer = self._http.get("/auth/token")
        else:
            answer = self._http.post("/auth/token", json=dict(zip(("username", "password"), self._login, strict=True)))
        token = answer.raise_for_status().json()["access_token"]
        self._http.headers["Authorization"] = f"Bearer {token}"

    def call(self, method: str, path: str, **options: Any) -> Any:
        """Call the API.

        :param path: below ``/api/v2/``.
        :param options: as ``httpx.Client.request`` takes them.
        :returns: the decoded answer.
        :raises RuntimeError: the server refused, in its own words.
        """
        answer = self._http.request(method, f"/api/v2/{path}", **options)
        if answer.is_error:
            raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text[:2000]}")
        return answer.json() if answer.content else None

    def healthy(self) -> bool:
        """Whether scheduler, triggerer and DAG processor have all been heard of lately."""
        health = self._http.get("/api/v2/monitor/health")
        if health.is_error:
            return False
        parts = health.json()
        names = ("metadatabase", "scheduler", "triggerer", "dag_processor")
        return all((parts.get(name) or {}).get("status") == "healthy" for name in names)

    def has_dag(self, dag_id: str) -> bool:
        """Whether a DAG has been parsed.

        :raises RuntimeError: some DAG file does not parse: the import errors.
        """
        if errors := self.import_errors():
            raise RuntimeError("\n".join(errors))
        return self._http.get(f"/api/v2/dags/{dag_id}").is_success

    def import_errors(self) -> list[str]:
        return [error["stack_trace"] for error in self.call("GET", "importErrors")["import_errors"]]

    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None, timeout: float = 60) -> str:
        """Start a run of a DAG as soon as the DAG is known.

        :param conf: values for the DAG's params.
        :param timeout: seconds to wait for the DAG.
        :returns: the run's id.
        """
        wait_until(lambda: self.has_dag(dag_id), f"DAG {dag_id} parsed", timeout)
        body = {"logical_date": None, "conf": conf or {}}
        run_id: str = self.call("POST", f"dags/{dag_id}/dagRuns", json=body)["dag_run_id"]
        return run_id

    def run_state(self, dag_id: str, run_id: str) -> str:
        state: str = self.call("GET", f"dags/{dag_id}/dagRuns/{run_id}")["state"]
        return state

    def wait_run(self, dag_id: str, run_id: str, timeout: float = 120) -> str:
        """Wait for a run's end and return its state."""
        check = self.run_state
        wait_until(lambda: check(dag_id, run_id) in ENDED, f"{dag_id} {run_id} ended", timeout)
        return check(dag_id, run_id)

    def tasks(self, dag_id: str, run_id: str) -> dict[str, dict[str, Any]]:
        """Return the task instances of a run by task id."""
        found = self.call("GET", f"dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"]
        return {task["task_id"]: task for task in found}

    def task_state(self, dag_id: str, run_id: str, task_id: str) -> str | None:
        state: str | None = self.tasks(dag_id, run_id)[task_id]["state"]
        return state

    def wait_task(self, dag_id: str, run_id: str, task_id: str, *states: str, timeout: float = 90) -> str:
        """Wait until a task is in one of ``states`` and return which.

        :raises RuntimeError: it has ended in another one; with its log.
        """

        def there() -> str | None:
            state = self.task_state(dag_id, run_id, task_id)
            if state in TASK_ENDED and state not in states:
                log = "\n".join(self.log(dag_id, run_id, task_id))
                raise RuntimeError(f"{task_id} of {dag_id} is {state}, never was {' or '.join(states)}\n{log}")
            return state if state in states else None

        return wait_until(there, f"{task_id} of {dag_id} in {' or '.join(states)}", timeout)

    def set_task_state(self, dag_id: str, run_id: str, task_id: str, state: str) -> None:
        """Do what "Mark as …" in the UI does."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
        self.call("PATCH", path, json={"new_state": state})

    def clear_task(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Do what "Clear task" in the UI does: the task runs again."""
        body = {"dry_run": False, "dag_run_id": run_id, "task_ids": [task_id], "only_failed": False}
        self.call("POST", f"dags/{dag_id}/clearTaskInstances", json=body)

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> Any:
        """Return an XCom as the task pushed it, None when there is none."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries"
        if key not in {entry["key"] for entry in self.call("GET", path)["xcom_entries"]}:
            return None
        return self.call("GET", f"{path}/{key}", params={"stringify": False})["value"]

    def log(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1) -> list[str]:
        """Return the lines of a task's log: the triggerer's lines and the exceptions' own words included."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}"
        answer = self.call("GET", path, headers={"Accept": "application/json"}, params={"full_content": True})
        return [text for line in answer["content"] for text in _texts(line)]


def _texts(line: str | dict[str, Any]) -> list[str]:
    if isinstance(line, str):
        return [line]
    errors = line.get("error_detail") or []
    return [line.get("event", ""), *(f"{error['exc_type']}: {error['exc_value']}" for error in errors)]
