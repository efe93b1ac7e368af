"""Pods and LMEvalJobs under a real scheduler and triggerer: shown while deferred, ended by people, and by nobody else."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.airflow.conftest import lasting
from tests.kube import Image, KubeServer
from tests.kube.custom import LMEVALJOBS
from tests.kube.trustyai import JobScript, TrustyAI
from tests.kube_backend.conftest import IMAGE, NAMESPACE, ROLE, connections, spec
from tests.kube_backend.lmevaljob.jobs import jobs, results, role
from tests.kube_backend.lmevaljob.jobs import state as job_state
from tests.support.airflow_api import wait_until
from tests.support.airflow_env import COMPONENTS, ROOT, AirflowEnv

pytestmark = pytest.mark.timeout(600)

DAG, DEVICE_DAG, TIMEOUT_DAG = "e2e_kubernetes", "e2e_kubernetes_device", "e2e_kubernetes_timeout"
JOB_DAG = "e2e_lmevaljob"
SOON = 120
"""Seconds within which what has to happen happens on a busy machine: the first request that a triggerer answers for its
triggers builds a whole API server in it."""


@pytest.fixture(scope="module")
def server() -> Iterator[KubeServer]:
    image = Image(path=(Path(sys.executable).parent,), environment={"PYTHONPATH": str(ROOT)})
    capacity = {"example.com/device": "1"}
    with KubeServer({IMAGE: image}, namespaces=("default", NAMESPACE), capacity=capacity) as server:
        server.register(LMEVALJOBS)
        server.user("airflow", [*ROLE, *role()])
        yield server


@pytest.fixture(scope="module")
def trusty(server: KubeServer) -> TrustyAI:
    operator = TrustyAI(server, JobScript(stays="Running"))
    operator.start()
    return operator


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

    return server.wait(pods, SOON)


def none_left(server: KubeServer) -> None:
    server.wait(lambda: not server.pods(NAMESPACE), SOON)


def evaluating(airflow: AirflowEnv, server: KubeServer, spec: dict[str, Any], dag: str = DAG) -> tuple[str, str]:
    """Start a run whose pod runs and whose task is deferred; return its id and the pod's UID."""
    run = airflow.api.trigger(dag, {"spec": spec})
    airflow.api.wait_task(dag, run, "evaluate", "deferred")
    (pod,) = running(server)
    return run, pod["metadata"]["uid"]


def followed(airflow: AirflowEnv, run: str, try_number: int = 1, dag: str = DAG) -> None:
    """Wait until the triggerer follows the run: what a person does before, only the reaper can tell."""

    def told() -> bool:
        return any("Running" in line for line in airflow.api.log(dag, run, "evaluate", try_number))

    wait_until(told, "the trigger sees it run", SOON)


def bring_up(airflow: AirflowEnv) -> None:
    """Start everything, the API server first: a task that is started without one has failed for the scheduler."""
    airflow.restart("api-server")
    wait_until(lambda: airflow.api.call("GET", "version"), "the API server answers", SOON)
    for component in COMPONENTS:
        if component != "api-server":
            airflow.restart(component)


def ended(server: KubeServer) -> list[dict[str, Any]]:
    """Return the pods once none runs any more."""

    def pods() -> list[dict[str, Any]] | None:
        found = server.pods(NAMESPACE)
        return found if all(pod["status"].get("phase") in ("Succeeded", "Failed") for pod in found) else None

    return server.wait(pods, SOON)


def test_progress_is_in_xcom_while_the_task_is_deferred_and_marking_it_successful_ends_the_pod(
    airflow: AirflowEnv, server: KubeServer
) -> None:
    api = airflow.api
    run, _ = evaluating(airflow, server, lasting(100, 40))
    wait_until(lambda: (api.xcom(DAG, run, "evaluate", "progress") or {}).get("total"), "progress in XCom", SOON)
    assert api.task_state(DAG, run, "evaluate") == "deferred"
    api.set_task_state(DAG, run, "evaluate", "success")
    none_left(server)
    assert api.task_state(DAG, run, "evaluate") == "success"


def test_a_triggerer_that_is_killed_ends_no_pod(airflow: AirflowEnv, server: KubeServer) -> None:
    run, uid = evaluating(airflow, server, lasting(40))
    airflow.kill("triggerer")
    airflow.restart("triggerer")
    assert running(server)[0]["metadata"]["uid"] == uid
    assert airflow.api.wait_run(DAG, run, 2 * SOON) == "success"
    assert airflow.api.xcom(DAG, run, "evaluate")["backend"] == "kubernetes"
    none_left(server)


def test_an_evaluation_that_ends_while_all_of_airflow_is_down_is_collected(
    airflow: AirflowEnv, server: KubeServer
) -> None:
    run, uid = evaluating(airflow, server, lasting(20))
    for component in COMPONENTS:
        airflow.kill(component)
    (pod,) = ended(server)
    assert (pod["metadata"]["uid"], pod["status"]["phase"]) == (uid, "Succeeded")
    bring_up(airflow)
    assert airflow.api.wait_run(DAG, run, 2 * SOON) == "success"
    assert airflow.api.xcom(DAG, run, "evaluate")["results"]["lasting"]
    assert airflow.api.tasks(DAG, run)["evaluate"]["try_number"] == 1
    none_left(server)


def test_clearing_a_deferred_task_replaces_its_pod_and_failing_it_ends_it(
    airflow: AirflowEnv, server: KubeServer
) -> None:
    api = airflow.api
    run, old = evaluating(airflow, server, lasting(100, 50))
    api.clear_task(DAG, run, "evaluate")
    server.wait(lambda: old not in {pod["metadata"]["uid"] for pod in server.pods(NAMESPACE)}, SOON)
    (new,) = running(server)
    assert new["metadata"]["uid"] != old
    api.wait_task(DAG, run, "evaluate", "deferred")
    followed(airflow, run, 2)
    api.set_task_state(DAG, run, "evaluate", "failed")
    none_left(server)


def test_execution_timeout_ends_the_pod_of_a_deferred_task(airflow: AirflowEnv, server: KubeServer) -> None:
    api = airflow.api
    run, _ = evaluating(airflow, server, lasting(100, 50), TIMEOUT_DAG)
    assert api.wait_run(TIMEOUT_DAG, run, 2 * SOON) == "failed"
    assert any("execution_timeout" in line for line in api.log(TIMEOUT_DAG, run, "evaluate"))
    none_left(server)


def test_a_run_with_a_device_is_looked_at_first_and_its_task_waits_twice(
    airflow: AirflowEnv, server: KubeServer
) -> None:
    before = server.requests.count("create", "pods")
    run = airflow.api.trigger(DEVICE_DAG, {"spec": lasting(1)})
    assert airflow.api.wait_run(DEVICE_DAG, run, 2 * SOON) == "success"
    assert server.requests.count("create", "pods") == before + 2
    found = airflow.api.xcom(DEVICE_DAG, run, "evaluate", "preflight")
    assert {check["finding"] for check in found} == {"ok", "skipped"}
    assert airflow.api.xcom(DEVICE_DAG, run, "evaluate")["results"]["lasting"]
    none_left(server)


def test_a_job_that_ends_while_no_triggerer_watches_is_collected(
    airflow: AirflowEnv, server: KubeServer, trusty: TrustyAI
) -> None:
    run = airflow.api.trigger(JOB_DAG, {"spec": spec()})
    airflow.api.wait_task(JOB_DAG, run, "evaluate", "deferred")
    server.wait(lambda: job_state(server) == "Running", SOON)
    airflow.kill("triggerer")
    trusty.end(jobs(server)[0]["metadata"]["name"], NAMESPACE, state="Complete", reason="Succeeded", results=results())
    airflow.restart("triggerer")
    assert airflow.api.wait_run(JOB_DAG, run, 2 * SOON) == "success"
    found = airflow.api.xcom(JOB_DAG, run, "evaluate")
    assert (found["backend"], found["results"]) == (
        "lmevaljob",
        {"arc_easy": {"acc,none": 0.9, "acc_stderr,none": 0.01}},
    )
    server.wait(lambda: not jobs(server), SOON)


@pytest.mark.usefixtures("trusty")
def test_failing_a_deferred_task_deletes_its_job(airflow: AirflowEnv, server: KubeServer) -> None:
    run = airflow.api.trigger(JOB_DAG, {"spec": spec(limit=7)})
    airflow.api.wait_task(JOB_DAG, run, "evaluate", "deferred")
    server.wait(lambda: job_state(server) == "Running", SOON)
    followed(airflow, run, dag=JOB_DAG)
    airflow.api.set_task_state(JOB_DAG, run, "evaluate", "failed")
    server.wait(lambda: not jobs(server), SOON)
    none_left(server)
