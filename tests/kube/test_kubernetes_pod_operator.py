"""Airflow's own KubernetesPodOperator lives on this server as on a cluster, by a kubeconfig in a connection."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.kube import KubeServer, Rule
from tests.kube.conftest import IMAGE

CONNECTION = "kube_test"
ROLE = [
    Rule(("get", "list", "watch", "create", "patch", "delete"), ("pods",), namespaces=("default",)),
    Rule(("get",), ("pods/log",), namespaces=("default",)),
    Rule(("list",), ("events",), namespaces=("default",)),
]


@pytest.fixture
def connection(server: KubeServer, tmp_path: Path) -> Iterator[str]:
    server.user("airflow", ROLE)
    path = server.kubeconfig(tmp_path / "kubeconfig", "airflow")
    name = f"AIRFLOW_CONN_{CONNECTION.upper()}"
    os.environ[name] = json.dumps({"conn_type": "kubernetes", "extra": {"kube_config_path": str(path)}})
    yield CONNECTION
    del os.environ[name]


def operator(name: str, script: str, **more: Any) -> Any:
    from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator

    return KubernetesPodOperator(
        task_id="evaluate",
        name=name,
        namespace="default",
        kubernetes_conn_id=CONNECTION,
        image=IMAGE,
        cmds=["sh", "-c", script],
        random_name_suffix=False,
        startup_check_interval_seconds=1,
        poll_interval=0.2,
        **more,
    )


def context() -> dict[str, Any]:
    """Return what a task process hands to ``execute``, as far as the operator looks at it."""
    pushed: dict[str, Any] = {}
    ti = SimpleNamespace(
        dag_id="dag", task_id="evaluate", run_id="run", try_number=1, map_index=-1, start_date=datetime.now(UTC),
        xcom_push=lambda key, value: pushed.update({key: value}), is_mapped=False, id="0",
        raw=False,
    )  # fmt: skip
    dag = SimpleNamespace(dag_id="dag", parent_dag=None, is_subdag=False)
    return {"ti": ti, "task_instance": ti, "run_id": "run", "dag": dag, "pushed": pushed, "dag_run": SimpleNamespace()}


def test_it_creates_follows_and_deletes_a_pod(server: KubeServer, connection: str, capsys: Any) -> None:
    given = context()
    operator("eval", "echo evaluated").execute_sync(given)
    assert given["pushed"]["pod_name"] == "eval"
    assert "[base] evaluated" in capsys.readouterr().out
    server.wait_until_gone("eval")
    verbs = {seen.verb for seen in server.requests.log if seen.user == "airflow"}
    assert {"create", "get", "delete"} <= verbs
    assert not [seen for seen in server.requests.log if seen.status == 403]


def test_it_reports_a_failing_pod(server: KubeServer, connection: str) -> None:
    from airflow.sdk.exceptions import AirflowException

    with pytest.raises(AirflowException, match="returned a failure"):
        operator("eval", "exit 3", on_finish_action="keep_pod").execute_sync(context())
    assert server.phase("eval") == "Failed"


def test_it_defers_and_its_trigger_sees_the_end(server: KubeServer, connection: str) -> None:
    from airflow.sdk.exceptions import TaskDeferred

    task = operator("eval", "sleep 0.5; echo evaluated", deferrable=True)
    with pytest.raises(TaskDeferred) as deferred:
        task.execute_async(context())

    async def first() -> Any:
        async for event in deferred.value.trigger.run():
            return event

    event = asyncio.run(first())
    assert event.payload["status"] == "success"
    task.trigger_reentry(context(), event.payload)
    server.wait_until_gone("eval")
