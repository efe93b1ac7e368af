"""The store: writes complete runs, reads only what matches its marker."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import fsspec
import pytest

from airflow_provider_lmeval.errors import DamagedResultError, ResultNotFoundError, StoreError
from airflow_provider_lmeval.results import EvalResult, read_scores
from airflow_provider_lmeval.store import Store, open_result
from airflow_provider_lmeval.wire import dump
from tests.support.evidence import document, failed, mark, write_run

RUN = "candidate-1"
SCORES = "tasks/tiny_mc/scores.jsonl.gz"
_numbers = itertools.count()


@pytest.fixture(params=["plain", "file", "memory", "spaces"])
def url(request, tmp_path: Path) -> str:
    return {
        "plain": str(tmp_path / "store"),
        "file": f"file://{tmp_path}/store",
        "memory": f"memory://bucket-{next(_numbers)}/lmeval",
        "spaces": str(tmp_path / "ein Ordner #1 [ü] 100% 評価"),
    }[request.param]


@pytest.fixture
def run(tmp_path: Path):
    return write_run(tmp_path / "runs" / "anything", document())


def stored(store: Store) -> set[str]:
    fs, root = fsspec.core.url_to_fs(store.url) if "://" in store.url else (fsspec.filesystem("file"), store.url)
    return {path.removeprefix(root).lstrip("/") for path in fs.find(root)}


def test_a_run_comes_back_as_it_was(url, run):
    store = Store(url)
    uri = store.put_run(run)
    assert uri == store.uri(RUN)
    assert (
        open_result(uri) == open_result(f"{uri}/result.json") == store.read_result(RUN) == EvalResult.parse(document())
    )
    assert len(list(read_scores(store.read_file(RUN, SCORES)))) == 3


def test_only_kept_files_are_stored_and_no_temporary_ones_stay(url, run):
    store = Store(url)
    store.put_run(run)
    kept = {"_COMPLETE.json", "result.json", SCORES, "logs/stderr.log"}
    assert stored(store) == {f"{RUN}/{name}" for name in kept}


def test_a_store_without_runs_is_empty(url):
    store = Store(url)
    assert store.runs() == []
    assert not store.exists(RUN)
    with pytest.raises(ResultNotFoundError, match=r"_COMPLETE\.json is missing"):
        store.read_result(RUN)


def test_complete_runs_are_listed(url, run, tmp_path):
    store = Store(url)
    store.put_run(run)
    store.put_run(write_run(tmp_path / "b", document(run_id="a-second")))
    incomplete = write_run(tmp_path / "c", document(run_id="third"))
    incomplete.marker.write_bytes(b"")
    assert store.runs() == ["a-second", RUN]
    assert store.exists(RUN)


def test_storing_twice_changes_nothing_and_a_repeated_run_replaces_the_failed_one(url, tmp_path):
    store = Store(url)
    store.put_run(write_run(tmp_path / "first", failed()))
    assert not store.read_result(RUN).succeeded
    again = write_run(tmp_path / "again", document())
    store.put_run(again)
    before = stored(store)
    store.put_run(again)
    assert store.read_result(RUN).succeeded
    assert stored(store) == before


def test_storing_again_repairs_a_damaged_file(tmp_path, run):
    store = Store(tmp_path / "store")
    damaged = Path(store.put_run(run), "result.json")
    damaged.write_bytes(damaged.read_bytes()[:-20])
    store.put_run(run)
    assert store.read_result(RUN).succeeded


def test_a_run_that_has_not_ended_is_not_stored(tmp_path, run):
    run.marker.unlink()
    with pytest.raises(ResultNotFoundError, match="not found"):
        Store(tmp_path / "store").put_run(run)
    assert not (tmp_path / "store").exists()


def test_a_run_that_does_not_match_its_marker_is_not_stored(tmp_path, run):
    (run.root / SCORES).write_bytes(b"changed afterwards")
    with pytest.raises(DamagedResultError, match="scores"):
        Store(tmp_path / "store").put_run(run)
    assert not (tmp_path / "store").exists()


def test_a_link_to_something_outside_is_not_stored(tmp_path, run):
    (tmp_path / "secret").write_text("password")
    (run.task("tiny_mc") / "samples.jsonl.gz").symlink_to(tmp_path / "secret")
    mark(run, RUN, kept=("result.json", "samples.jsonl.gz"))
    with pytest.raises(StoreError, match="leads out of the run"):
        Store(tmp_path / "store").put_run(run)


@pytest.mark.parametrize("name", ["core.dump", "status.json", "evaluation.json"])
def test_a_marker_cannot_smuggle_in_files_that_are_not_kept(tmp_path, run, name):
    mark(run, RUN, kept=("result.json", name))
    with pytest.raises(StoreError, match="not a file that is kept"):
        Store(tmp_path / "store").put_run(run)


@pytest.mark.parametrize(
    "run_id", ["", "..", ".", "a/b", "a\\b", "a b", "ü", "a\x00", "x" * 100, "-rf", "$(id)", "a\n"]
)
def test_a_run_id_that_is_no_plain_name_is_refused(tmp_path, run_id):
    store = Store(tmp_path)
    for use in (store.uri, store.exists, store.read_result):
        with pytest.raises(StoreError, match="not a run id"):
            use(run_id)


@pytest.mark.parametrize(
    "name", ["", "/etc/passwd", "../other/result.json", "tasks/../../x", "tasks//x", "./result.json", "a\\b", "a\x00"]
)
def test_a_path_that_leads_elsewhere_is_refused(url, run, name):
    store = Store(url)
    store.put_run(run)
    with pytest.raises(StoreError, match=r"plain relative path|leads out") as caught:
        store.read_file(RUN, name)
    assert type(caught.value) is StoreError


def test_a_file_that_the_run_does_not_have_is_not_found_with_near_matches(url, run):
    store = Store(url)
    store.put_run(run)
    with pytest.raises(ResultNotFoundError, match=r"did you mean 'logs/stderr\.log'"):
        store.read_file(RUN, "logs/stdout.log")


def test_a_file_that_the_marker_lists_but_nobody_finds_is_damage(tmp_path, run):
    store = Store(tmp_path / "store")
    Path(store.put_run(run), SCORES).unlink()
    with pytest.raises(DamagedResultError, match="missing"):
        store.read_file(RUN, SCORES)


def test_a_result_of_another_run_under_this_name_is_damage(tmp_path):
    prefix = tmp_path / "mine"
    run = write_run(prefix, document(run_id="other"))
    mark(run, "mine")
    with pytest.raises(DamagedResultError, match="another run, 'other'"):
        open_result(str(prefix))


def test_a_result_with_a_right_digest_and_a_wrong_schema_is_damage_and_says_where(tmp_path):
    run = write_run(tmp_path / "mine", document(run_id="mine"))
    run.result.write_bytes(dump(document(run_id="mine", schema_version=9)))
    mark(run, "mine")
    with pytest.raises(DamagedResultError, match=r"mine: schema_version: 9"):
        open_result(str(run.root))


def test_a_writable_store_is_found_writable_and_left_empty(url):
    store = Store(url)
    store.check_writable()
    assert stored(store) == set()


def test_an_unwritable_store_is_an_error_with_the_remedy(tmp_path):
    (tmp_path / "file").write_text("in the way")
    store = Store(tmp_path / "file" / "store")
    with pytest.raises(StoreError, match=r"cannot write to .*set another results_uri"):
        store.check_writable()


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("", "does not name a place"),
        ("a\x00b", "does not name a place"),
        ("nosuch://x/y", "nosuch"),
        ("s3x://b", "s3x"),
    ],
)
def test_a_place_that_cannot_be_used_is_an_error_that_names_it(bad, words):
    with pytest.raises(StoreError, match=words):
        Store(bad)


def test_a_password_in_a_url_is_not_repeated_in_messages():
    with pytest.raises(StoreError) as caught:
        Store("nosuch://me:hunter2@host/x")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("uri", ["", "/", "memory://", "file:///"])
def test_a_uri_without_a_run_is_refused(uri):
    with pytest.raises(StoreError):
        open_result(uri)


def test_a_bare_scheme_is_a_store_of_its_own(tmp_path):
    run = write_run(tmp_path / "x", document(run_id=f"bare-{next(_numbers)}"))
    uri = Store("memory://").put_run(run)
    assert uri.startswith("memory://bare-")
    assert open_result(uri).succeeded


def test_relative_paths_become_absolute_so_that_another_process_finds_them(tmp_path):
    relative = os.path.relpath(tmp_path / "store")
    assert Path(Store(relative).uri(RUN)).is_absolute()


PROBE = """
import json, sys
from airflow_provider_lmeval.store import Store, open_result
loaded = [name for name in ("airflow", "fsspec", "numpy") if name in sys.modules]
print(json.dumps([loaded, open_result(sys.argv[1]).run_id]))
"""


def test_nothing_heavy_is_loaded_before_a_store_is_used(tmp_path, run):
    uri = Store(tmp_path / "store").put_run(run)
    done = subprocess.run([sys.executable, "-c", PROBE, uri], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[], RUN]
