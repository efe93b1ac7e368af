"""A container that takes over from another one: with the tasks that the store has, whole ones only.

The last tests run lm-eval in a container as strict as clusters get.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_lmeval.driver.fetch import Fetch
from airflow_provider_lmeval.driver.remote import Remote
from airflow_provider_lmeval.wire import EXIT_CODES, MARKER_NAME, RunDir, dump, file_digest
from tests.support.contained import Container, document, request
from tests.support.harsh import HARSH, possible
from tests.support.supervised import end_of, texts_below, wait_for
from tests.support.tiny import tiny_model
from tests.support.worker import NOT_CATALOGUED, tiny_request


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[[], Container]]:
    made: list[Container] = []

    def container() -> Container:
        made.append(Container(tmp_path / f"container-{len(made)}"))
        return made[-1]

    yield container
    for one in made:
        one.end()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def finished(store: Path) -> Path:
    """Directory of the first task in the store."""
    return store / "run-1" / "tasks" / "first"


def test_tasks_that_a_killed_container_stored_are_taken_up(make: Callable[[], Container], store: Path) -> None:
    asked = request(store={"url": f"file://{store}"})
    first, second = make(), make()
    process = first.start(asked, "waits")
    wait_for((finished(store) / "result.json").exists)
    wait_for((finished(store) / "scores.jsonl.gz").exists)
    process.kill()
    end_of(process)
    done = second.finish(asked, "ends", "failed", "endpoint", "6")

    assert b"finished tasks in the store: 1 finished before" in done.stderr
    assert second.termination
    assert list(second.termination.metrics) == ["first"]
    assert second.termination.location == f"file://{store}/run-1"


def test_what_was_fetched_is_not_stored_again(make: Callable[[], Container], store: Path) -> None:
    asked = request(store={"url": f"file://{store}"})
    make().finish(asked, "ends", "failed", "endpoint", "6")
    before = (finished(store) / "scores.jsonl.gz").stat().st_mtime_ns
    second = make()
    assert second.finish(asked, "evaluates", "second").returncode == 0

    assert (second.run.tasks / "first" / "scores.jsonl.gz").read_bytes() == b"scores of first"
    assert (finished(store) / "scores.jsonl.gz").stat().st_mtime_ns == before
    assert (store / "run-1" / MARKER_NAME).read_bytes() == second.run.marker.read_bytes()


@pytest.mark.parametrize("name", ["scores.jsonl.gz", "result.json"])
def test_a_damaged_task_is_left_out(make: Callable[[], Container], store: Path, name: str) -> None:
    asked = request(store={"url": f"file://{store}"})
    make().finish(asked, "ends", "failed", "endpoint", "6")
    damaged = finished(store) / name
    damaged.write_bytes(damaged.read_bytes().replace(b"first", b"fir5t"))
    second = make()
    done = second.finish(asked, "evaluates", "second")

    assert done.returncode == 0
    assert b"1 damaged and left out" in done.stderr
    assert not (second.run.tasks / "first").exists()


def test_a_store_that_cannot_be_asked_only_costs_time(make: Callable[[], Container]) -> None:
    container = make()
    done = container.finish(request(store={"url": "nosuchprotocol://x"}), "evaluates", "a")

    assert b"not fetched: ValueError: Protocol not known: nosuchprotocol" in done.stderr
    assert done.returncode == EXIT_CODES["storage"]  # it was evaluated, but could not be stored
    assert container.termination
    assert container.termination.metrics == {"a": {"acc,none": 0.5}}


def put(
    files: Any, directory: str, record: dict[str, Any], tables: dict[str, bytes], root: str = "/bucket/run-1"
) -> None:
    for name, content in {"result.json": dump(record), **tables}.items():
        files.pipe_file(f"{root}/tasks/{directory}/{name}", content)


def test_only_whole_tasks_in_their_own_place_are_fetched(tmp_path: Path) -> None:
    import fsspec

    table = tmp_path / "table"
    table.write_bytes(b"rows")
    whole = {"scores.jsonl.gz": file_digest(table)}
    files, rows = fsspec.filesystem("memory"), {"scores.jsonl.gz": b"rows"}
    files.store.clear()
    put(files, "good", {"task": "good", "files": whole}, {**rows, "stray.txt": b"not a table"})
    put(files, "torn", {"task": "torn", "files": whole}, {"scores.jsonl.gz": b"row"})
    put(files, "bare", {"task": "bare", "files": whole}, {})
    put(files, "unknown", {"task": "unknown"}, rows)
    put(files, "misplaced", {"task": "good", "files": whole}, rows)
    put(files, "leads-out", {"task": "leads-out", "files": {"../../request.json": file_digest(table)}}, rows)
    put(files, "there", {"task": "there", "files": whole}, rows)
    files.pipe_file("/bucket/run-1/tasks/half/scores.jsonl.gz", b"rows")
    run = RunDir(tmp_path / "run")
    run.scratch.mkdir(parents=True)
    (run.tasks / "there").mkdir(parents=True)

    assert Fetch(run, Remote("memory://bucket", "run-1", {})).copy() == (1, 5)
    found = {path.relative_to(run.tasks).as_posix() for path in texts_below(run.tasks)}
    assert found == {"good/result.json", "good/scores.jsonl.gz"}
    assert {path.name for path in run.scratch.iterdir()} == {"uploaded.json"}
    files.store.clear()


def test_from_an_empty_store_nothing_comes(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run")
    assert Fetch(run, Remote(f"file://{tmp_path}/nothing", "run-1", {})).copy() == (0, 0)


@pytest.fixture
def strict() -> Iterator[Callable[[], Container]]:
    """Make containers with a read-only root, an arbitrary user, no network, and one directory to write to."""
    if why_not := possible():
        pytest.skip(why_not)
    with tempfile.TemporaryDirectory(prefix="lmeval-strict-", dir="/tmp") as directory:
        Path(directory).chmod(0o777)  # as an emptyDir

        def container() -> Container:
            made = Container(Path(directory, f"container-{len(list(Path(directory).iterdir()))}"), {"HOME": "/"})
            made.root.chmod(0o777)
            return made

        yield container


@pytest.mark.driver
def test_lm_eval_runs_and_resumes_as_an_arbitrary_user_with_a_read_only_root(strict: Callable[[], Container]) -> None:
    first, second = strict(), strict()
    prefix = (*HARSH, str(first.root.parent))
    (store := first.root.parent / "store").mkdir(mode=0o777)
    store.chmod(0o777)
    common: dict[str, Any] = {"store": {"url": f"file://{store}"}, "allowed_env": [], **NOT_CATALOGUED}
    done = first.finish(tiny_request("tiny_mc", evaluate={"batch_size": 8}, **common), prefix=prefix)

    assert done.returncode == 0, done.stderr.decode()[-3000:]
    assert first.message.stat().st_uid != first.run.result.stat().st_uid
    told = first.termination
    assert told is not None
    assert (told.reason, told.location) == ("Succeeded", f"file://{store}/test")
    result = json.loads(document(done.stdout, "test") or b"{}")
    assert result["tasks"]["tiny_mc"]["metrics"]["acc,none"]["value"] == told.metrics["tiny_mc"]["acc,none"] > 0.5
    assert result["model"]["name"] == str(tiny_model())

    # as after running out of memory: the same run goes on with a smaller batch and keeps what it has
    again = tiny_request("tiny_mc", "tiny_gen", evaluate={"batch_size": 2}, **common)
    done = second.finish(again, prefix=prefix)
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    assert b"1 finished before" in done.stderr
    assert b"task finished: tiny_mc" not in done.stderr
    assert json.loads(second.run.status.read_bytes())["pid"] == 1
    resumed = json.loads(second.run.result.read_bytes())
    assert resumed["tasks"]["tiny_mc"] == result["tasks"]["tiny_mc"]
    assert resumed["tasks"]["tiny_gen"]["n_samples"]["effective"] == 40
    assert [part["fingerprint"]["batch_size"] for part in (result, resumed)] == [8, "mixed"]
    assert resumed["config"]["batch_size"] == "mixed"
