"""Logging a result to MLflow: what arrives, that a second time changes the same run, what refusals say."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_lmeval.errors import OutputError
from airflow_provider_lmeval.outputs import Credentials, StoredRun
from airflow_provider_lmeval.outputs.mlflow import batches, log
from airflow_provider_lmeval.spec.outputs import MlflowRun
from airflow_provider_lmeval.store import Store
from tests.support.evidence import document, metric, task, write_run
from tests.support.tracking import Tracking


@pytest.fixture
def server() -> Iterator[Tracking]:
    with Tracking() as running:
        yield running


def output(**fields) -> MlflowRun:
    return MlflowRun(**{"conn_id": "mlflow"} | fields)


def test_scores_settings_and_document_arrive_as_a_finished_run(server: Tracking, run: StoredRun) -> None:
    where = log(run, output(experiment="nightly", tags={"team": "chat"}), Credentials(host=server.url))

    (run_id,) = server.runs
    logged = server.runs[run_id]
    assert where == f"{server.url}/#/experiments/{server.experiments['nightly']}/runs/{run_id}"
    assert logged["metrics"] == {"tiny_mc/acc": 0.85, "tiny_mc/acc/stderr": 0.04}
    assert logged["params"]["lmeval.model"] == "/models/candidate-1"
    assert logged["tags"]["team"] == "chat"
    assert logged["tags"]["lmeval.result_uri"] == run.uri
    assert (logged["info"]["status"], logged["info"]["end_time"]) == ("FINISHED", 1_000_000_012_500)
    (artifact,) = server.artifacts.items()
    assert artifact == (f"1/{run_id}/artifacts/lmeval/result.json", run.document.content)


def test_logging_again_changes_the_same_run(server: Tracking, run: StoredRun) -> None:
    first = log(run, output(), Credentials(host=server.url))
    assert log(run, output(), Credentials(host=server.url)) == first
    assert len(server.runs) == 1


def test_scores_can_go_to_the_run_of_the_training_which_stays_as_it_is(server: Tracking, run: StoredRun) -> None:
    training = server.add_run()
    where = log(run, output(run_id=training), Credentials(host=server.url))
    assert where.endswith(f"/experiments/7/runs/{training}")
    assert server.runs[training]["metrics"]["tiny_mc/acc"] == 0.85
    assert server.runs[training]["info"]["status"] == "RUNNING"
    assert list(server.runs) == [training]


def test_a_server_that_takes_no_artifacts_is_told_where_the_document_is(run: StoredRun) -> None:
    with Tracking(artifacts=False) as server:
        log(run, output(), Credentials(host=server.url))
        (logged,) = server.runs.values()
        assert logged["tags"]["lmeval.result_uri"] == run.uri
        assert server.artifacts == {}


@pytest.mark.parametrize(
    ("login", "authorization"),
    [("ada", "Basic " + base64.b64encode(b"ada:pass-word").decode()), ("", "Bearer pass-word")],
)
def test_login_and_password_or_a_token_alone_are_sent(login: str, authorization: str, run: StoredRun) -> None:
    with Tracking(authorization) as server:
        assert log(run, output(), Credentials(host=server.url, login=login, password="pass-word"))
        with pytest.raises(OutputError, match=r"401 \(the login is refused\)") as caught:
            log(run, output(), Credentials(host=server.url, login=login, password="wrong"))
    assert not caught.value.transient


def test_a_host_that_is_no_tracking_server_is_named(run: StoredRun) -> None:
    with pytest.raises(OutputError, match="tracking URI"):
        log(run, output(), Credentials("mlflow"))


def test_a_large_suite_is_sent_in_batches_with_names_that_mlflow_takes(tmp_path: Path) -> None:
    tasks = {
        f"suite:{n}": task({"exact_match,strict": metric(0.5), "acc,none": metric(None)}, scores=None)
        for n in range(600)
    }
    uri = Store(tmp_path / "store").put_run(write_run(tmp_path / "run", document(tasks)))
    sent = [batch["metrics"] for batch in batches(StoredRun(uri), output()) if "metrics" in batch]
    assert [len(batch) for batch in sent] == [1000, 200]
    assert {entry["key"] for entry in sent[0][:2]} == {
        "suite_0/exact_match/strict",
        "suite_0/exact_match/strict/stderr",
    }
