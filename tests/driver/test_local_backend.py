"""Local runs with the real driver and the real lm-eval: started, found again, waiting, cancelled, lost."""

from __future__ import annotations

import dataclasses
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airflow_provider_lmeval import wire
from airflow_provider_lmeval.backends import Handle
from airflow_provider_lmeval.backends.local import LocalBackend
from airflow_provider_lmeval.errors import (
    MissingExtraError,
    RunFailedError,
    RunNotFoundError,
    SpecError,
    StoreError,
    WrongHostError,
)
from airflow_provider_lmeval.plan import Grants
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.store import open_result
from tests.support.bare_python import python_without_airflow
from tests.support.endpoint import HangingEndpoint
from tests.support.tiny import tiny_model, tiny_tasks

pytestmark = pytest.mark.driver


def wait(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"still waiting for {what}"
        time.sleep(0.02)


def served(url: str) -> EvalSpec:
    model = {"type": "local-completions", "model": "tiny", "base_url": url, "tokenizer": str(tiny_model())}
    return EvalSpec.parse({"model": model, "tasks": ["tiny_gen"], "include_paths": [str(tiny_tasks())]})


def processes_of(handle: Handle) -> list[str]:
    """Command lines of all processes that work in the run's directory."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (OSError, UnicodeDecodeError):
            continue
        if str(handle.where["directory"]) in line and wire.process_start(int(entry.name)) is not None:
            found.append(line)
    return found


@pytest.fixture
def backend(tmp_path) -> LocalBackend:
    (tmp_path / "runs").mkdir()
    return LocalBackend(directory=tmp_path / "runs", results_uri=str(tmp_path / "results"), max_runs=1, grace_s=5)


@pytest.fixture
def hanging(backend: LocalBackend) -> Iterator[tuple[EvalSpec, HangingEndpoint]]:
    """A spec whose evaluation never ends, and the endpoint it waits for; all its runs are stopped afterwards."""
    with HangingEndpoint() as endpoint:
        yield served(endpoint.address), endpoint
        for directory in backend.directory.glob("run-*"):
            if found := backend.find(directory.name):
                backend.cancel(found)


def test_a_run_ends_with_its_result_in_the_store(backend: LocalBackend) -> None:
    model = {"type": "hf", "pretrained": str(tiny_model()), "dtype": "float32"}
    spec = EvalSpec.parse({"model": model, "tasks": ["tiny_mc"], "include_paths": [str(tiny_tasks())], "batch_size": 8})
    backend.check(spec, Grants())
    handle = backend.submit(spec, "run-good", Grants())
    assert backend.submit(spec, "run-good", Grants()) == handle
    wait(lambda: wire.State(backend.status(handle).state).ended, "the end")
    result = backend.collect(handle)
    assert result.succeeded, result.message
    assert result.metric("tiny_mc", "acc").value > 0.8
    assert open_result(handle.result_uri) == result
    again = backend.submit(spec, "run-good", Grants())
    assert again.where == handle.where, "a run that has succeeded is not evaluated again"
    backend.remove(handle)
    assert open_result(handle.result_uri).succeeded


def test_a_second_run_waits_as_new_and_a_cancelled_one_leaves_no_process(backend: LocalBackend, hanging) -> None:
    spec, endpoint = hanging
    first = backend.submit(spec, "run-a-1", Grants())
    wait(endpoint.silent.is_set, "the evaluation to hang")
    second = backend.submit(spec, "run-b-1", Grants())
    wait(lambda: backend.status(second).pid is not None, "the second driver")
    assert backend.status(first).state == "Running"
    assert backend.status(second).state == "New"
    backend.cancel(second)
    assert backend.status(second).state == "Cancelled"
    backend.cancel(first)
    assert (backend.status(first).state, backend.status(first).cause) == ("Cancelled", "cancelled")
    assert processes_of(first) == processes_of(second) == []
    assert backend.collect(first).reason == "Cancelled"


def test_a_driver_holds_nothing_open_of_what_started_it(backend: LocalBackend, hanging) -> None:
    spec, _ = hanging
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    backend.submit(spec, "run-files-1", Grants())
    os.close(writer)
    with open(reader, "rb") as end:
        assert select.select([end], [], [], 10)[0], "a driver that holds a task's sockets holds its worker slot"
        assert end.read() == b""


def test_a_new_generation_of_a_task_stops_the_old_one(backend: LocalBackend, hanging) -> None:
    spec, endpoint = hanging
    old = backend.submit(spec, "run-task-1", Grants())
    wait(endpoint.silent.is_set, "the evaluation to hang")
    new = backend.submit(spec, "run-task-2", Grants())
    assert backend.status(old).state == "Cancelled"
    assert new.run_id == "run-task-2"


def test_a_driver_that_was_killed_is_reported_and_a_retry_starts_it_again(backend: LocalBackend, hanging) -> None:
    spec, endpoint = hanging
    handle = backend.submit(spec, "run-lost-1", Grants())
    wait(endpoint.silent.is_set, "the evaluation to hang")
    os.kill(handle.where["pid"], signal.SIGKILL)
    wait(lambda: backend.status(handle).state == "Complete", "the loss to be noticed")
    status = backend.status(handle)
    assert (status.reason, status.cause) == ("Failed", "killed")
    assert "evaluating" in status.message
    wait(lambda: not processes_of(handle), "the evaluation to end with its driver")
    with pytest.raises(RunFailedError, match="killed") as caught:
        backend.collect(handle)
    assert caught.value.cause == "killed"
    assert backend.submit(spec, "run-lost-1", Grants()).where["pid"] != handle.where["pid"]


def test_a_reused_process_id_is_not_taken_for_the_run(backend: LocalBackend, hanging) -> None:
    spec, endpoint = hanging
    handle = backend.submit(spec, "run-pid-1", Grants())
    wait(endpoint.silent.is_set, "the evaluation to hang")
    stranger = dataclasses.replace(handle, where=handle.where | {"pid_start": "1"})
    assert backend.status(stranger).cause == "killed"
    backend.cancel(stranger)
    assert backend.status(handle).state == "Running"


def test_a_run_of_another_machine_is_an_error_that_says_so(backend: LocalBackend) -> None:
    where = {"host": "elsewhere", "directory": "/nowhere", "pid": 1, "pid_start": "1"}
    handle = Handle(backend="local", run_id="run-x", result_uri="/nowhere/run-x", where=where)
    for method in (backend.status, backend.cancel, backend.collect):
        with pytest.raises(WrongHostError, match="'elsewhere'"):
            method(handle)


def test_a_run_that_was_removed_is_an_error(backend: LocalBackend) -> None:
    handle = backend._handle("run-gone", wire.RunDir(backend.directory / "run-gone"), 1, None)
    with pytest.raises(RunNotFoundError, match="run-gone"):
        backend.status(handle)


def test_what_cannot_run_here_is_refused_before_anything_starts(tmp_path) -> None:
    def check(model: dict, **fields: object) -> None:
        backend = LocalBackend(**{"directory": tmp_path, "results_uri": str(tmp_path / "results")} | fields)
        backend.check(EvalSpec.parse({"model": model, "tasks": ["arc_easy"]}), Grants())

    with pytest.raises(SpecError, match="not a directory on this machine"):
        check({"type": "hf", "pretrained": "/no/such/model"})
    with pytest.raises(MissingExtraError, match=r"pip install 'lm-eval\[vllm\]'"):
        check({"type": "vllm", "pretrained": "org/model"})
    with pytest.raises(MissingExtraError, match=r"airflow-provider-lmeval\[driver\]"):
        check({"type": "hf", "pretrained": "org/model"}, python=_bare_python(tmp_path))
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file"):
        check({"type": "hf", "pretrained": "org/model"}, results_uri=str(tmp_path / "file" / "results"))


def _bare_python(tmp_path: Path) -> str:
    import venv

    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    return str(tmp_path / "bare" / "bin" / "python")


def test_another_interpreter_without_airflow_runs_the_driver(tmp_path) -> None:
    python = python_without_airflow(tmp_path / "evaluation-image")
    for stranger in ("airflow", "pydantic", "airflow_provider_lmeval"):
        probe = subprocess.run([python, "-c", f"import {stranger}"], capture_output=True, text=True, cwd=tmp_path)
        assert f"No module named '{stranger}'" in probe.stderr
    (tmp_path / "runs").mkdir()
    backend = LocalBackend(directory=tmp_path / "runs", results_uri=str(tmp_path / "results"), python=str(python))
    model = {"type": "hf", "pretrained": str(tiny_model()), "dtype": "float32"}
    spec = EvalSpec.parse({"model": model, "tasks": ["tiny_mc"], "include_paths": [str(tiny_tasks())], "limit": 4})
    backend.check(spec, Grants())
    handle = backend.submit(spec, "run-bare", Grants())
    wait(lambda: wire.State(backend.status(handle).state).ended, "the end")
    result = backend.collect(handle)
    assert result.succeeded, result.message
    assert result.tasks["tiny_mc"].n_samples.effective == 4


def test_a_result_is_found_where_the_run_was_told_to_put_it(tmp_path) -> None:
    (tmp_path / "runs").mkdir()
    starter = LocalBackend(directory=tmp_path / "runs", results_uri=str(tmp_path / "chosen"))
    spec = EvalSpec.parse(
        {
            "model": {"type": "hf", "pretrained": str(tiny_model())},
            "tasks": ["no_such_task"],
            "include_paths": [str(tiny_tasks())],
        }
    )
    handle = starter.submit(spec, "run-elsewhere", Grants())
    other = LocalBackend(directory=tmp_path / "runs", results_uri=str(tmp_path / "default"))
    wait(lambda: wire.State(other.status(handle).state).ended, "the end")
    assert other.collect(handle).cause == "unknown_task"
    assert not (tmp_path / "default").exists()
