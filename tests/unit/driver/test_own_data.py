"""Own data become task files, or an error that says what is wrong with the file and not only that something is."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("pyarrow")

from airflow_provider_lmeval.driver.worker.own_data import MOST_FAULTS, Prepared, prepare
from airflow_provider_lmeval.errors import RunFailedError
from airflow_provider_lmeval.plan import Grants, Placement, plan_request
from airflow_provider_lmeval.spec import EvalSpec

ROWS = [{"question": f"{n} + 1?", "choices": [str(n), str(n + 1)], "answer": 1} for n in range(4)]


def written(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def prepared(place: Path, online: bool = False, roots: tuple[str, ...] | None = None, **data: Any) -> Prepared:
    spec = EvalSpec.parse(
        {
            "model": {"type": "hf", "pretrained": "/m"},
            "data": [{"name": "mine", **data}],
            "allow_online": online,
        }
    )
    grants = Grants(online=online, data_roots=(str(place),) if roots is None else roots)
    return prepare(plan_request(spec, "run-1", grants, Placement()), place / "run", place / "run" / "data")


def refusal(place: Path, online: bool = False, roots: tuple[str, ...] | None = None, **data: Any) -> tuple[str, str]:
    with pytest.raises(RunFailedError) as refused:
        prepared(place, online, roots, **data)
    return refused.value.cause, str(refused.value)


def test_a_task_file_names_columns_and_no_template(tmp_path: Path) -> None:
    made = prepared(tmp_path, path=written(tmp_path / "rows.jsonl", ROWS))
    (directory,) = made.include_paths
    config = yaml.safe_load((Path(directory) / "mine.yaml").read_text())

    assert (config["doc_to_text"], config["doc_to_choice"], config["doc_to_target"]) == ("prompt", "choices", "answer")
    assert made.origins["mine"]["fingerprint"] == f"sha256:{made.origins['mine']['fingerprint'][7:]}"
    assert made.origins["mine"]["fingerprint"][7:].startswith(config["metadata"]["version"])


def test_answers_that_look_like_dates_stay_texts(tmp_path: Path) -> None:
    from pyarrow import parquet

    rows = [{"question": "When?", "answer": "2024-01-01"}, {"question": "How many?", "answer": "007"}]
    prepared(tmp_path, path=written(tmp_path / "rows.jsonl", rows), output_type="generate_until")
    kept = parquet.read_table(tmp_path / "run" / "data" / "mine.test.parquet")

    assert kept.column("answer").to_pylist() == ["2024-01-01", "007"]
    assert str(kept.schema.field("answer").type) == "string"


def test_a_file_must_have_the_digest_that_the_spec_names(tmp_path: Path) -> None:
    path = written(tmp_path / "rows.jsonl", ROWS)
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()

    assert prepared(tmp_path, path=path, sha256=digest).origins
    cause, message = refusal(tmp_path, path=path, sha256="0" * 64)
    assert (cause, digest in message) == ("dataset", True)


def test_faults_are_counted_and_the_first_ones_shown(tmp_path: Path) -> None:
    cause, message = refusal(tmp_path, path=written(tmp_path / "rows.jsonl", [{"question": n} for n in range(50)]))

    assert cause == "dataset"
    assert "rows.jsonl has 50 faults:\n  line 1: " in message
    assert message.count("\n  line") == MOST_FAULTS
    assert message.endswith("and 30 more")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    cause, message = refusal(tmp_path, path=str(tmp_path / "none.csv"))

    assert (cause, "none.csv" in message) == ("dataset", True)


def test_a_file_outside_the_allowed_directories_is_not_read(tmp_path: Path) -> None:
    path = written(tmp_path / "rows.jsonl", ROWS)

    for place, words in ((path, "[lmeval] allowed_data_roots"), ("/proc/self/environ", "where secrets lie")):
        cause, message = refusal(tmp_path, roots=(), path=place, format="jsonl")
        assert (cause, words in message) == ("code_denied", True)


def test_a_link_out_of_the_allowed_directories_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    written(tmp_path / "rows.jsonl", ROWS)
    link = tmp_path / "open" / "rows.jsonl"
    link.symlink_to(tmp_path / "rows.jsonl")

    assert refusal(tmp_path, roots=(str(tmp_path / "open"),), path=str(link))[0] == "code_denied"


def test_another_machine_is_not_asked_without_permission(tmp_path: Path) -> None:
    assert refusal(tmp_path, uri="http://127.0.0.1:9/rows.csv")[0] == "online_denied"


def test_a_machine_that_does_not_answer_is_an_error_about_the_data(tmp_path: Path) -> None:
    cause, message = refusal(tmp_path, online=True, uri="http://127.0.0.1:9/rows.csv")

    assert (cause, "http://127.0.0.1:9/rows.csv" in message) == ("dataset", True)
