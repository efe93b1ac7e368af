"""Storing results: after each task, at the end, the marker last, and never a success that is not stored."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from airflow_provider_lmeval.driver.remote import Remote
from airflow_provider_lmeval.driver.upload import Upload, main
from airflow_provider_lmeval.wire import EXIT_CODES, MARKER_NAME
from tests.support.supervised import Run, end_of, texts_below, wait_for


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "run")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def stored(store: Path) -> dict[str, bytes]:
    root = store / "run-1"
    return {path.relative_to(root).as_posix(): data for path, data in texts_below(root).items()}


@pytest.mark.parametrize("scheme", ["file://", ""])
def test_a_finished_run_is_stored_with_everything_its_marker_names(run: Run, store: Path, scheme: str) -> None:
    done = run.request(store={"url": f"{scheme}{store}"}).finish("evaluates", "a", "b")

    assert done.returncode == 0, done.stderr
    files = stored(store)
    marker = json.loads(files.pop(MARKER_NAME))
    assert {name: entry["sha256"] for name, entry in marker["files"].items()} == {
        name: hashlib.sha256(data).hexdigest() for name, data in files.items()
    }
    assert json.loads(files["result.json"]) == run.result


def test_a_finished_task_is_stored_while_the_run_goes_on(run: Run, store: Path) -> None:
    process = run.request(store={"url": f"file://{store}"}).start("waits")
    run.pids()
    wait_for((store / "run-1" / "tasks" / "first" / "result.json").exists)

    assert run.status["state"] == "Running"
    assert MARKER_NAME not in stored(store)
    process.terminate()
    assert end_of(process).returncode == EXIT_CODES["cancelled"]
    assert json.loads(stored(store)["result.json"])["state"] == "Cancelled"
    assert MARKER_NAME in stored(store)


def test_a_failed_run_stores_its_logs_and_finished_tasks(run: Run, store: Path) -> None:
    done = run.request(store={"url": f"file://{store}"}).finish("ends", "signal", "SIGKILL", "0")

    assert done.returncode == EXIT_CODES["killed"]
    files = stored(store)
    assert b"the last words" in files["logs/stderr.log"]
    assert {"tasks/first/result.json", "result.json", MARKER_NAME} <= set(files)


def test_a_success_that_cannot_be_stored_fails_for_storage_and_can_be_completed_later(run: Run, store: Path) -> None:
    store.write_text("a file where the store should be")
    done = run.request(store={"url": f"file://{store}"}).finish("evaluates", "a")

    assert done.returncode == EXIT_CODES["storage"]
    assert (run.result["reason"], run.result["cause"]) == ("Failed", "storage")
    assert str(run.root) in run.result["message"]
    assert (run.status["cause"], set(run.result["tasks"])) == ("storage", {"a"})

    store.unlink()
    assert run.finish("evaluates", "a").returncode == 0
    assert json.loads(stored(store)["result.json"])["reason"] == "Succeeded"


def test_a_store_that_fails_does_not_hide_why_the_run_failed(run: Run, store: Path) -> None:
    done = run.request(store={"url": "nosuchprotocol://x"}).finish("ends", "failed", "dataset", "4")

    assert done.returncode == EXIT_CODES["dataset"]
    assert run.result["cause"] == "dataset"
    assert b"storing the results failed" in done.stderr
    assert b"nosuchprotocol" in done.stderr


def test_a_run_killed_before_its_upload_only_uploads(run: Run, store: Path) -> None:
    run.request(store={"url": f"file://{store}"}).finish("evaluates", "a")
    before = run.files.result.stat().st_mtime_ns
    status = run.status
    run.files.status.write_text(json.dumps({**status, "state": "Running"}))
    (store / "run-1" / MARKER_NAME).unlink()

    assert run.finish("evaluates", "a").returncode == 0
    assert MARKER_NAME in stored(store)
    assert run.status["reason"] == "Succeeded"
    assert run.files.result.stat().st_mtime_ns == before


def test_the_marker_of_an_earlier_attempt_goes_before_anything_new_comes(run: Run, store: Path) -> None:
    run.request(store={"url": f"file://{store}"}).finish("ends", "failed", "endpoint", "6")
    assert MARKER_NAME in stored(store)
    process = run.start("waits")
    run.pids()
    wait_for(lambda: MARKER_NAME not in stored(store))

    process.terminate()
    end_of(process)
    assert json.loads(stored(store)["result.json"])["cause"] == "cancelled"


def test_uploading_again_changes_nothing_and_a_changed_file_is_copied(run: Run, store: Path) -> None:
    run.request(store={"url": f"file://{store}"}).finish("evaluates", "a")
    times = {path: path.stat().st_mtime_ns for path in store.rglob("*")}
    assert main([str(run.root)]) == 0
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*")} == times

    run.files.marker.unlink()
    (run.files.task("a") / "result.json").write_text("{}")
    assert main([str(run.root)]) == 0
    assert stored(store)["tasks/a/result.json"] == b"{}"
    assert MARKER_NAME not in stored(store)


def test_a_file_lost_in_the_store_is_copied_again(run: Run, store: Path) -> None:
    run.request(store={"url": f"file://{store}"}).finish("evaluates", "a")
    (store / "run-1" / "tasks" / "a" / "scores.jsonl.gz").unlink()
    (store / "run-1" / MARKER_NAME).unlink()

    assert main([str(run.root)]) == 0
    assert "tasks/a/scores.jsonl.gz" in stored(store)


def test_other_file_systems_get_the_same_files(run: Run) -> None:
    import fsspec

    run.request().finish("evaluates", "a")
    Upload(run.files, Remote("memory://bucket/evaluations", "run-1", {})).copy()

    files = fsspec.filesystem("memory")
    found = {path.removeprefix("/bucket/evaluations/run-1/") for path in files.find("/bucket/evaluations/run-1")}
    marker = json.loads(files.cat_file(f"/bucket/evaluations/run-1/{MARKER_NAME}"))
    assert found == {MARKER_NAME, *marker["files"]}
    assert files.cat_file("/bucket/evaluations/run-1/result.json") == run.files.result.read_bytes()


def test_nothing_but_results_is_stored(run: Run, store: Path) -> None:
    run.request(store={"url": f"file://{store}"}).finish("evaluates", "a")
    (run.files.task("a") / "private.txt").write_text("not a result")
    (run.files.task("a") / "samples.jsonl.gz").symlink_to("/etc/passwd")
    run.files.marker.unlink()

    assert main([str(run.root)]) == 0
    assert not {"tasks/a/private.txt", "tasks/a/samples.jsonl.gz", "request.json", "status.json"} & set(stored(store))


def test_the_uploader_says_in_one_line_what_went_wrong(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run.request(store={"url": "nosuchprotocol://x"})

    assert main([str(run.root)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
