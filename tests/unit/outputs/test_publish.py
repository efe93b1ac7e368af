"""Publishing at several places: each is tried again, accounted for, and stands alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_lmeval.errors import ConfigError, DamagedResultError, OutputError
from airflow_provider_lmeval.outputs import Credentials, Publication, StoredRun, publish
from airflow_provider_lmeval.spec.outputs import MlflowRun, Output, WandbRun
from airflow_provider_lmeval.store import Store
from tests.support.evidence import document, failed, metric, task, write_run
from tests.support.loopback import Answer
from tests.support.tracking import Tracking

MLFLOW = MlflowRun(conn_id="mlflow")
BUSY = Answer(503)


def to(server: Tracking, run: StoredRun, *outputs: Output, password: str = "") -> tuple[Publication, ...]:
    def accounts(conn_id: str) -> Credentials:
        if conn_id != "mlflow":
            raise ConfigError(f"there is no connection {conn_id!r}")
        return Credentials(conn_id, server.url, password=password)

    return publish(run, outputs, accounts, pause_s=0.001)


def test_a_server_that_is_busy_is_asked_again(run: StoredRun) -> None:
    with Tracking() as server:
        server.troubles = [BUSY, BUSY]
        (done,) = to(server, run, MLFLOW)
        assert (done.published, done.attempts, done.type, done.target) == (True, 3, "mlflow", "lm-eval")
        assert len(server.runs) == 1


def test_a_server_that_stays_busy_is_given_up_after_the_attempts_it_has(run: StoredRun) -> None:
    with Tracking() as server:
        server.troubles = [BUSY] * 10
        (done,) = to(server, run, MlflowRun(conn_id="mlflow", attempts=2))
        assert (done.where, done.attempts, len(server.asked)) == (None, 2, 2)
    assert "HTTP 503" in str(done.error)


def test_a_refusal_is_not_repeated_and_shows_no_secret(run: StoredRun) -> None:
    with Tracking() as server:
        server.troubles = [Answer(400, b"no such token: my-secret-token")]
        (done,) = to(server, run, MLFLOW, password="my-secret-token")
    assert done.attempts == 1
    assert "no such token: ***" in str(done.error)


def test_one_failure_does_not_keep_the_others_from_trying(run: StoredRun) -> None:
    with Tracking() as server:
        wrong = MlflowRun(conn_id="elsewhere")
        first, second = to(server, run, wrong, MLFLOW)
    assert (first.published, first.attempts) == (False, 0)
    assert "no connection 'elsewhere'" in str(first.error)
    assert second.published


def test_trouble_within_a_client_library_is_reported_like_any_other(tmp_path: Path, run: StoredRun) -> None:
    pytest.importorskip("wandb", reason="needs the wandb extra")
    taken = tmp_path / "file"
    taken.write_text("")
    output = WandbRun(wandb_args={"mode": "offline", "dir": str(taken / "below"), "project": "a/b:c"})
    with Tracking() as server:
        first, second = to(server, run, output, MLFLOW)
    assert first.error
    assert second.published


def test_a_run_that_failed_is_not_published(tmp_path: Path) -> None:
    uri = Store(tmp_path / "store").put_run(write_run(tmp_path / "run", failed()))
    with pytest.raises(OutputError, match="did not succeed \\(out_of_memory\\)"):
        StoredRun(uri)


def test_a_result_that_was_changed_in_the_store_is_not_published(uri: str) -> None:
    result = Path(uri) / "result.json"
    result.write_text(result.read_text().replace("0.85", "0.99"))
    with pytest.raises(DamagedResultError):
        StoredRun(uri)


def test_scores_without_a_value_are_left_out_and_samples_unless_asked_for(tmp_path: Path) -> None:
    tasks = {"tiny_mc": task({"acc,none": metric(None), "f1,strict": metric(0.5)})}
    run = StoredRun(Store(tmp_path / "store").put_run(write_run(tmp_path / "run", document(tasks))))
    assert [(name, metric_, chosen) for name, metric_, chosen, _ in run.metrics()] == [("tiny_mc", "f1", "strict")]
    assert [file.name for file in run.tables(samples=True)] == ["tasks/tiny_mc/scores.jsonl.gz"]


def test_credentials_do_not_show_their_secrets() -> None:
    shown = repr(Credentials("c", "host", login="ada", password="pass-word", extra={"docker_config_json": "s3cret"}))
    assert "pass-word" not in shown
    assert "s3cret" not in shown
