"""Reports lie beside the runs, whatever they are called, and samples are read from where the runs are."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from airflow_provider_lmeval.errors import DamagedResultError, StoreError
from airflow_provider_lmeval.store import Store
from airflow_provider_lmeval.store.evidence import read_evidence
from airflow_provider_lmeval.store.reports import store_report
from tests.support.evidence import document, mark, metric, task, write_run

NAME = "tasks/tiny_mc/samples.jsonl.gz"
KEPT = ("result.json", "scores.jsonl.gz", "samples.jsonl.gz", "stderr.log")


def stored(place: Path, content: bytes) -> str:
    """Store a run with samples; return its URI."""
    data = document({"tiny_mc": task({"acc,none": metric(0.85)}, samples=NAME)})
    run = write_run(place / "run", data)
    (run.root / NAME).write_bytes(content)
    mark(run, data["run_id"], KEPT)
    return Store(place / "store").put_run(run)


def test_the_samples_of_a_stored_run_can_be_read(tmp_path) -> None:
    rows = [{"doc_id": n, "doc_hash": str(n)} for n in range(3)]
    uri = stored(tmp_path, gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    evidence = read_evidence(uri)
    assert list(evidence.samples("tiny_mc") or ()) == rows
    assert evidence.samples("other") is None


@pytest.mark.parametrize("content", [b"no gzip", gzip.compress(b"{]\n", mtime=0), gzip.compress(b"{}\n", mtime=0)[:-9]])
def test_damaged_samples_are_named(tmp_path, content) -> None:
    found = read_evidence(stored(tmp_path, content)).samples("tiny_mc")
    assert found is not None
    with pytest.raises(DamagedResultError, match="samples"):
        list(found)


@pytest.mark.parametrize("name", ["gate.html", "../../gate.html", "a/b\n.html", "ü" * 300 + ".html"])
def test_a_report_stays_below_the_store_whatever_its_names(tmp_path, name) -> None:
    place = Path(store_report(str(tmp_path / "store"), ("..", "manual__2026+00:00", name), "said").uri)
    assert place.resolve().is_relative_to((tmp_path / "store" / "reports").resolve())
    assert place.suffix == ".html"
    assert place.read_text() == "said"


def test_a_report_of_the_same_name_is_replaced(tmp_path) -> None:
    for text in ("first", "second"):
        uri = store_report(str(tmp_path), ("dag", "run", "gate.html"), text).uri
    assert Path(uri).read_text() == "second"


def test_other_stores_than_directories_take_reports_too() -> None:
    import fsspec

    uri = store_report("memory://reports-test", ("dag", "run", "gate.html"), "said ü").uri
    assert uri == "memory://reports-test/reports/dag/run/gate.html"
    assert fsspec.open(uri).open().read().decode() == "said ü"


def test_a_store_that_cannot_be_written_is_named(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file"):
        store_report(str(tmp_path / "file"), ("dag", "run", "gate.html"), "said")
