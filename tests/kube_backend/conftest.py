"""A cluster, Airflow's connections to it, and operators that run to their end in this process."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.sdk.execution_time import task_runner

from airflow_provider_lmeval.backends import Handle
from airflow_provider_lmeval.operators.lmeval import LMEvalOperator
from tests.kube import Image, KubeServer, Rule, Script
from tests.kube.kinds import NAMESPACES
from tests.kube_backend.hurry import hurried
from tests.support.certificates import Authority
from tests.support.context import TaskInstance
from tests.support.tiny import tiny_model, tiny_tasks
from tests.unit.triggers.conftest import Supervisor

IMAGE = "localhost/lmeval:test"
BARE = "localhost/lm-eval-only:test"
NAMESPACE = "evaluations"
REPOSITORY = Path(__file__).parents[2]


PAGE = (REPOSITORY / "docs" / "kubernetes.md").read_text(encoding="utf-8")


def what_you_see() -> set[str]:
    """Return the words that docs/kubernetes.md lets people look for when something around a run fails."""
    rows = PAGE.partition("## When something around it fails")[2].partition("\n## ")[0].splitlines()
    cells = [row.split("|")[2] for row in rows if row.startswith("| ")][1:]
    return {words for cell in cells for words in re.findall(r"`([^`]+)`", cell) if " " in words}


def documented(words: str) -> str:
    """Return words of an error or a log, which the documentation has to have as well."""
    assert words in what_you_see()
    return words


def documented_role() -> list[Rule]:
    """Return the Role that docs/kubernetes.md asks for: no test here has more rights than that."""
    (text,) = re.findall(r"```yml\n(.*?)```", PAGE, re.DOTALL)
    rules = yaml.safe_load(text)["rules"]
    return [Rule(tuple(rule["verbs"]), tuple(rule["resources"]), namespaces=(NAMESPACE,)) for rule in rules]


ROLE = documented_role()


def without(verb: str, resource: str) -> list[Rule]:
    """Return the Role without one right."""
    rules = []
    for rule in ROLE:
        for one in rule.resources:
            verbs = tuple(each for each in rule.verbs if (each, one) != (verb, resource))
            rules += [Rule(verbs, (one,), namespaces=rule.namespaces)] if verbs else []
    return rules


@pytest.fixture
def server() -> Iterator[KubeServer]:
    python = Image(path=(Path(sys.executable).parent,), environment={"PYTHONPATH": str(REPOSITORY)})
    bare = Image(path=python.path, hides=(REPOSITORY / "airflow_provider_lmeval",))
    with KubeServer({IMAGE: python, BARE: bare}, pull_backoff_s=0.2, capacity={"nvidia.com/gpu": "1"}) as server:
        restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
        server.create({"metadata": {"name": NAMESPACE, "labels": restricted}}, NAMESPACES)
        yield server


def connections(server: KubeServer, home: Path, user: str = "airflow", **extra: Any) -> dict[str, str]:
    """Return environment variables that define the connections ``kube`` and ``eval``.

    :param home: for the kubeconfig and ``results``. :param extra: further settings of ``eval``.
    """
    path = server.kubeconfig(home / f"kubeconfig-{user}", user)
    kubernetes = {"conn_type": "kubernetes", "extra": {"kube_config_path": str(path), "namespace": NAMESPACE}}
    settings = {
        "backend": "kubernetes",
        "kubernetes_conn_id": "kube",
        "image": IMAGE,
        "results_uri": str(home / "results"),
        "pod": {"python": Path(sys.executable).name, "grace_period": 3, **extra.pop("pod", {})},
    }
    lmeval = {"conn_type": "lmeval", "password": "status-secret", "extra": settings | extra}
    return {"AIRFLOW_CONN_KUBE": json.dumps(kubernetes), "AIRFLOW_CONN_EVAL": json.dumps(lmeval)}


@dataclass
class Airflow:
    """Airflow's side: two connections, and somewhere to keep results.

    :param results: root of the store.
    """

    server: KubeServer
    results: Path
    settings: dict[str, Any] = field(default_factory=dict)

    def connect(self, user: str = "airflow", **extra: Any) -> None:
        """Define the connections ``kube`` and ``eval``.

        :param extra: further settings of ``eval``.
        """
        os.environ.update(connections(self.server, self.results.parent, user, **extra))

    def operator(self, **fields: Any) -> LMEvalOperator:
        defaults: dict[str, Any] = {"task_id": "evaluate", "spec": spec(), "lmeval_conn_id": "eval"}
        return LMEvalOperator(**defaults | fields)


@pytest.fixture
def airflow(server: KubeServer, tmp_path: Path) -> Iterator[Airflow]:
    before = dict(os.environ)
    server.user("airflow", ROLE)
    found = Airflow(server, tmp_path / "results")
    found.connect()
    yield found
    os.environ.clear()
    os.environ.update(before)


class Said:
    """What a test's tasks, and whatever else runs in its process, have said so far: ``words in said``."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._text = ""

    def __contains__(self, words: str) -> bool:
        self._text += self._capsys.readouterr().out
        return words in self._text


@pytest.fixture
def hurry() -> Iterator[None]:
    with hurried():
        yield


@pytest.fixture
def endless(server: KubeServer) -> None:
    server.script(Script())


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    """The triggerer's supervisor, which knows the task's state."""
    before = getattr(task_runner, "SUPERVISOR_COMMS", None)
    found = Supervisor("deferred")
    task_runner.SUPERVISOR_COMMS = found  # type: ignore[assignment]
    yield found
    if before is None:
        del task_runner.SUPERVISOR_COMMS
    else:
        task_runner.SUPERVISOR_COMMS = before


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    return Said(capsys)


def spec(**fields: Any) -> dict[str, Any]:
    """Return a spec that pods can be started for; nothing evaluates it."""
    return {"model": {"type": "hf", "pretrained": "/models/tiny"}, "tasks": ["arc_easy"]} | fields


def real(*tasks: str) -> dict[str, Any]:
    """Return a spec for the tiny model, which the pods see where this machine has it."""
    model = {"type": "hf", "pretrained": str(tiny_model()), "dtype": "float32"}
    return {"model": model, "tasks": list(tasks), "include_paths": [str(tiny_tasks())], "device": "cpu"}


def tls_secret(place: Path) -> dict[str, Any]:
    """Return the Secret ``driver-tls`` for a driver that shows its status over HTTPS; its files are made in ``place``."""
    files = Authority().write(place / "driver-tls", "driver").iterdir()
    data = {file.name: base64.b64encode(file.read_bytes()).decode() for file in files}
    return {"metadata": {"name": "driver-tls", "namespace": NAMESPACE}, "data": data}


class StateStore(dict[str, Any]):
    """Airflow 3.3's store of a task's state, as far as it is used."""

    def set(self, key: str, value: Any) -> None:
        self[key] = value


def context(**fields: Any) -> dict[str, Any]:
    """Return what a task process hands to ``execute``, as far as operators look at it."""
    ti = TaskInstance(**fields)
    ti.try_number = 1  # type: ignore[attr-defined]
    dag = SimpleNamespace(dag_id=ti.dag_id, parent_dag=None, default_args={})
    return {"ti": ti, "task_instance": ti, "run_id": ti.run_id, "dag": dag}


def defer(task: LMEvalOperator, ctx: dict[str, Any]) -> TaskDeferred:
    """Execute until the task defers."""
    with pytest.raises(TaskDeferred) as caught:
        task.execute(ctx)
    caught.value.trigger.not_before = 0.0  # there is no scheduler that would have to settle
    return caught.value


def fire(deferral: TaskDeferred, within_s: float = 60) -> dict[str, Any]:
    """Run a trigger in an event loop of its own until it fires, and return the event."""

    async def first() -> dict[str, Any]:
        async for event in deferral.trigger.run():
            return event.payload
        raise AssertionError("the trigger ended without an event")

    return asyncio.run(asyncio.wait_for(first(), within_s))


def finish(task: LMEvalOperator, ctx: dict[str, Any], deferral: TaskDeferred, event: dict[str, Any]) -> Any:
    """Resume the task with the event."""
    return task.resume(ctx, event=event, **deferral.kwargs)


def handle_of(ctx: dict[str, Any]) -> Handle:
    return Handle.parse(ctx["ti"].xcoms["handle"])
