"""Evidence is opened wherever it lies; what looks like a run of ours is read as nothing else."""

from __future__ import annotations

import shutil
import uuid

import fsspec
import pytest

from airflow_provider_lmeval.errors import DamagedResultError, ResultNotFoundError, StoreError
from airflow_provider_lmeval.store import Store
from airflow_provider_lmeval.store.evidence import read_evidence, score_tables
from airflow_provider_lmeval.wire import MARKER_NAME
from tests.support.evidence import document, write_run
from tests.support.foreign import DATA, samples, write_output


@pytest.fixture
def run(tmp_path):
    """URI of a run of ours with one score table."""
    data = document()
    store = Store(tmp_path / "store")
    return store.put_run(write_run(tmp_path / "run", data))


def test_a_run_of_ours_comes_with_its_score_tables(run):
    found = read_evidence(run)

    assert found.result.run_id == "candidate-1"
    assert len(list(found.scores("tiny_mc"))) == 3
    assert found.scores("unknown") is None


def test_its_document_may_be_named_instead(run):
    assert read_evidence(f"{run}/result.json").result.run_id == "candidate-1"


def test_an_incomplete_run_of_ours_is_not_read_by_anybody_else(run):
    write_output(type(DATA)(run), {"quiz": samples(3)})
    (type(DATA)(run) / MARKER_NAME).unlink()

    with pytest.raises(ResultNotFoundError, match=MARKER_NAME):
        read_evidence(run)


def test_evidence_of_other_tools_is_read_from_any_file_system(tmp_path):
    place = f"memory://{uuid.uuid4().hex}"
    fs = fsspec.filesystem("memory")
    fs.put(f"{DATA / 'lm_eval'}/", place.removeprefix("memory:/"), recursive=True)

    for uri in (place, f"{place}/org__model", f"{place}/org__model/results_2026-03-01T12-00-00.000001.json"):
        found = read_evidence(uri)
        assert len(list(found.scores("quiz_a"))) == 6, uri


def test_a_bundle_may_be_named_relative_to_the_working_directory(tmp_path, monkeypatch):
    shutil.copytree(DATA / "lm_eval", tmp_path / "out")
    monkeypatch.chdir(tmp_path)

    assert read_evidence("out").result.succeeded
    assert read_evidence("out/").result.succeeded


def test_a_place_with_no_end_of_files_is_a_mistake(tmp_path):
    for directory in range(5):
        (tmp_path / str(directory)).mkdir()
        for number in range(4100):
            (tmp_path / str(directory) / str(number)).touch()

    with pytest.raises(StoreError, match="20,000 files"):
        read_evidence(str(tmp_path))


def test_a_file_that_vanishes_is_told_by_name(tmp_path):
    write_output(tmp_path, {"quiz": samples(3)})
    found = read_evidence(str(tmp_path))
    shutil.rmtree(tmp_path / "org__model")

    with pytest.raises(StoreError, match="samples_quiz"):
        list(found.scores("quiz"))


def test_a_gate_gets_the_tables_of_both_sides(run, tmp_path):
    write_output(tmp_path / "theirs", {"quiz": samples(4)})
    tables = score_tables(read_evidence(run), read_evidence(str(tmp_path / "theirs")))

    assert len(list(tables("candidate", "tiny_mc"))) == 3
    assert len(list(tables("baseline", "quiz"))) == 4
    assert score_tables(read_evidence(run), None)("baseline", "quiz") is None


def test_damage_is_damage_and_not_another_kind(tmp_path):
    (tmp_path / "eval-1.json").write_text("{")

    with pytest.raises(DamagedResultError, match="not valid JSON"):
        read_evidence(str(tmp_path))
