"""Publishing from Airflow: in a task of its own, and at the end of an evaluation that it cannot harm."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import AirflowException, TaskDeferred

from airflow_provider_lmeval.errors import SpecError
from airflow_provider_lmeval.hooks.outputs import account
from airflow_provider_lmeval.operators.lmeval import LMEvalOperator
from airflow_provider_lmeval.operators.publish import LMEvalPublishOperator
from airflow_provider_lmeval.spec.outputs import MlflowRun
from airflow_provider_lmeval.store import Store
from tests.support.context import context
from tests.support.evidence import document, write_run
from tests.support.loopback import Answer
from tests.support.scripts import success
from tests.support.tracking import Tracking

MLFLOW = {"type": "mlflow", "conn_id": "tracking"}
SPEC = {"model": {"type": "hf", "pretrained": "/models/candidate"}, "tasks": ["arc_easy"]}


@pytest.fixture
def server() -> Iterator[Tracking]:
    with Tracking("Bearer a-token") as running:
        os.environ["AIRFLOW_CONN_TRACKING"] = f'{{"conn_type": "http", "host": "{running.url}", "password": "a-token"}}'
        yield running
        del os.environ["AIRFLOW_CONN_TRACKING"]


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return Store(tmp_path / "store").put_run(write_run(tmp_path / "run", document()))


def publish(result: object, *outputs: object, **fields: object) -> LMEvalPublishOperator:
    return LMEvalPublishOperator(task_id="publish", result=result, outputs=list(outputs), **fields)


@pytest.mark.parametrize("output", [MLFLOW, MlflowRun(conn_id="tracking")])
def test_a_result_is_published_with_the_login_of_the_connection(output: object, server: Tracking, uri: str) -> None:
    ctx = context()
    (done,) = publish({"result_uri": uri}, output).execute(ctx)
    assert done["where"].startswith(server.url)
    assert (done["type"], done["error"], ctx["ti"].xcoms["return_value"]) == ("mlflow", None, [done])


@pytest.mark.parametrize(
    ("connection", "url"),
    [
        ('{"conn_type": "generic", "host": "quay.io"}', "https://quay.io"),
        ('{"conn_type": "generic", "host": "registry", "port": 5000}', "https://registry:5000"),
        ('{"conn_type": "http", "host": "mlflow", "port": 5000, "schema": "http"}', "http://mlflow:5000"),
        ('{"conn_type": "http", "host": "http://mlflow:5000/base/", "port": 80}', "http://mlflow:5000/base"),
        ('{"conn_type": "generic"}', ""),
    ],
)
def test_a_connection_s_address_is_encrypted_unless_it_says_otherwise(connection: str, url: str) -> None:
    os.environ["AIRFLOW_CONN_PLACE"] = connection
    try:
        assert account("place").url() == url
    finally:
        del os.environ["AIRFLOW_CONN_PLACE"]


def test_what_was_not_published_is_in_xcom_before_the_task_fails(server: Tracking, uri: str) -> None:
    ctx = context()
    with pytest.raises(AirflowException, match=r"1 of 2 outputs not published; the result is stored\. mlflow"):
        publish(uri, MLFLOW | {"conn_id": "nowhere"}, MLFLOW).execute(ctx)
    first, second = ctx["ti"].xcoms["return_value"]
    assert "no connection 'nowhere'" in first["error"]
    assert second["error"] is None


def test_a_result_that_is_not_stored_fails_the_task(server: Tracking, tmp_path: Path) -> None:
    with pytest.raises(AirflowException, match="names no stored result"):
        publish({"result_uri": None}, MLFLOW).execute(context())
    with pytest.raises(AirflowException, match="no complete result"):
        publish(str(tmp_path / "nothing"), MLFLOW).execute(context())
    assert server.asked == []


def test_constant_outputs_are_checked_when_the_dag_is_parsed_and_templates_later() -> None:
    with pytest.raises(SpecError, match="repository"):
        publish("/r", {"type": "oci", "conn_id": "quay", "repository": "UPPER"})
    with pytest.raises(SpecError, match="repository"):
        LMEvalOperator(task_id="e", spec=SPEC, outputs=[{"type": "oci", "conn_id": "quay", "repository": "UPPER"}])
    publish("/r", {"type": "oci", "conn_id": "quay", "repository": "{{ params.repository }}"})


def test_an_evaluation_without_waiting_cannot_publish() -> None:
    with pytest.raises(SpecError, match="LMEvalPublishOperator after the sensor"):
        LMEvalOperator(task_id="e", spec=SPEC, outputs=[MLFLOW], wait_for_completion=False)


async def evaluate(conn_id: str, place: Path) -> dict[str, object]:
    """Run a scripted evaluation that publishes, and return its XComs."""
    task, ctx = LMEvalOperator(task_id="evaluate", spec=SPEC, lmeval_conn_id=conn_id, outputs=[MLFLOW]), context()
    with pytest.raises(TaskDeferred) as deferral:
        task.execute(ctx)
    run_id = deferral.value.kwargs["handle"]["run_id"]
    Store("memory://").put_run(write_run(place, document(run_id=run_id)))
    async for event in deferral.value.trigger.run():
        assert task.resume(ctx, event=event.payload, **deferral.value.kwargs)["reason"] == "Succeeded"
    return ctx["ti"].xcoms


async def test_an_evaluation_publishes_at_its_end(scripted, server: Tracking, tmp_path: Path) -> None:
    xcoms = await evaluate(scripted(success()), tmp_path / "run")
    (done,) = xcoms["outputs"]
    assert done["where"].startswith(server.url)
    assert xcoms["return_value"]["reason"] == "Succeeded"


async def test_what_cannot_be_published_does_not_fail_the_evaluation(
    scripted, server: Tracking, tmp_path: Path, capsys
) -> None:
    server.troubles = [Answer(400, b"no")]
    xcoms = await evaluate(scripted(success()), tmp_path / "run")
    assert "HTTP 400" in xcoms["outputs"][0]["error"]
    assert "not published to mlflow (lm-eval) in 1 attempts" in capsys.readouterr().out
    assert xcoms["return_value"]["results"]
