"""Pods under a real scheduler and triggerer: shown while deferred, ended by people, and by nobody else."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.airflow.conftest import lasting
from tests.kube import Image, KubeServer
from tests.kube_backend.conftest import IMAGE, NAMESPACE, ROLE, connections
from tests.support.airflow_api import wait_until
from tests.support.airflow_env import ROOT, AirflowEnv

DAG = "e2e_kubernetes"


@pytest.fixture(scope="module")
def server() -> Iterator[KubeServer]:
    image = Image(path=(Path(sys.executable).parent,), environment={"PYTHONPATH": str(ROOT)})
    with KubeServer({IMAGE: image}, namespaces=("default", NAMESPACE)) as server:
        server.user("airflow", ROLE)
        yield server


@pytest.fixture(scope="module")
def airflow(server: KubeServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowEnv]:
    home = tmp_path_factory.mktemp("airflow-kubernetes")
    settings = connections(server, home)
    with AirflowEnv(home, Path(__file__).parent / "dags", settings=settings) as env:
        yield env


def running(server: KubeServer, count: int = 1) -> list[dict[str, Any]]:
    def pods() -> list[dict[str, Any]] | None:
        alive = [pod for pod in server.pods(NAMESPACE) if "deletionTimestamp" not in pod["metadata"]]
        up = [pod for pod in alive if pod["status"].get("phase") == "Running"]
        return up if len(up) == len(alive) == count else None

    return server.wait(pods, 60)


def none_left(server: KubeServer) -> None:
    server.wait(lambda: not server.pods(NAMESPACE), 60)


def test_progress_is_in_xcom_while_the_task_is_deferred(airflow: AirflowEnv, server: KubeServer) -> None:
    api = airflow.api
    run = api.trigger(DAG, {"spec": lasting(100, 40)})
    api.wait_task(DAG, run, "evaluate", "deferred")
    wait_until(lambda: (api.xcom(DAG, run, "evaluate", "progress") or {}).get("total"), "progress in XCom", 60)
    assert api.task_state(DAG, run, "evaluate") == "deferred"
    api.set_task_state(DAG, run, "evaluate", "failed")
    none_left(server)


def test_a_triggerer_that_is_killed_ends_no_pod(airflow: AirflowEnv, server: KubeServer) -> None:
    run = airflow.api.trigger(DAG, {"spec": lasting(40, 2)})
    airflow.api.wait_task(DAG, run, "evaluate", "deferred")
    (pod,) = running(server)
    airflow.kill("triggerer")
    airflow.restart("triggerer")
    assert running(server)[0]["metadata"]["uid"] == pod["metadata"]["uid"]
    assert airflow.api.wait_run(DAG, run) == "success"
    assert airflow.api.xcom(DAG, run, "evaluate")["backend"] == "kubernetes"
    none_left(server)


def followed(airflow: AirflowEnv, run: str, try_number: int = 1) -> None:
    """Wait until the triggerer follows the run: what a person does before, only the reaper can tell."""

    def told() -> bool:
        return any("Running" in line for line in airflow.api.log(DAG, run, "evaluate", try_number))

    wait_until(told, "the trigger sees the pod run", 60)


def test_clearing_a_deferred_task_replaces_its_pod_and_failing_it_ends_it(
    airflow: AirflowEnv, server: KubeServer
) -> None:
    api = airflow.api
    run = api.trigger(DAG, {"spec": lasting(100, 50)})
    api.wait_task(DAG, run, "evaluate", "deferred")
    (old,) = running(server)
    api.clear_task(DAG, run, "evaluate")
    server.wait(lambda: old["metadata"]["uid"] not in {pod["metadata"]["uid"] for pod in server.pods(NAMESPACE)}, 60)
    (new,) = running(server)
    assert new["metadata"]["name"] != old["metadata"]["name"]
    api.wait_task(DAG, run, "evaluate", "deferred")
    followed(airflow, run, 2)
    api.set_task_state(DAG, run, "evaluate", "failed")
    none_left(server)
