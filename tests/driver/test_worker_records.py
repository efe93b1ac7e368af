"""A task's files: what becomes of lm-eval's results, and when a task counts as finished."""

import json
import math

import pytest

from airflow_provider_lmeval.driver.redact import Redactor
from airflow_provider_lmeval.driver.worker.plain import number, plain, score
from airflow_provider_lmeval.driver.worker.record import (
    Records,
    exact_metrics,
    metric_table,
    raw_metrics,
    sample_row,
    score_row,
)
from airflow_provider_lmeval.wire import RunDir

ROW = {
    "doc_id": 3,
    "doc": {"question": "why"},
    "target": 1,
    "arguments": [("why", " a"), ("why", " b")],
    "resps": [[(-1.5, True)], [(-2.5, False)]],
    "filtered_resps": [(-1.5, True), (-2.5, False)],
    "filter": "none",
    "metrics": ["acc", "f1"],
    "doc_hash": "d",
    "prompt_hash": "p",
    "target_hash": "t",
    "acc": 1.0,
    "f1": (1, 0),
}


class Scalar:
    """What a numpy or torch scalar looks like."""

    shape = ()

    def __init__(self, value):
        self.value = value

    def item(self):
        return self.value


def a_function():
    """Stand where lm-eval's ``bypass`` metric puts one."""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (math.nan, None),
        (-math.inf, None),
        (Scalar(math.inf), None),
        (Scalar(3), 3),
        ((1, [2.5, math.nan]), [1, [2.5, None]]),
        ({1: {"a"}}, {"1": ["a"]}),
        (a_function, "a_function"),
        ("text", "text"),
        (True, True),
    ],
)
def test_plain_data_is_strict_json(value, expected):
    assert plain(value) == expected
    json.dumps(plain(value), allow_nan=False)


@pytest.mark.parametrize(("value", "expected"), [("N/A", None), (True, None), (0, 0), (0.25, 0.25), ([1], None)])
def test_a_metric_is_a_number_or_nothing(value, expected):
    assert number(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(True, 1), ((1, 0.5), [1, 0.5]), (("gold", "answer"), None), ("text", None), ([], None)]
)
def test_a_score_holds_no_text(value, expected):
    assert score(value) == expected


def test_a_score_row_has_hashes_numbers_and_loglikelihoods():
    row = score_row(ROW)

    assert row["metrics"] == {"acc": 1.0, "f1": [1, 0]}
    assert row["loglikelihoods"] == [-1.5, -2.5]
    assert "why" not in json.dumps(row)


def test_generated_answers_have_no_loglikelihoods():
    assert "loglikelihoods" not in score_row({**ROW, "resps": [["an answer"]]})


def test_other_answers_have_another_hash():
    assert (
        score_row(ROW)["response_hash"]
        != score_row({**ROW, "resps": [[(-1.5, False)], [(-2.5, False)]]})["response_hash"]
    )


def test_a_sample_row_is_spelled_as_lm_eval_spells_it():
    row = sample_row(ROW)

    assert row["arguments"]["gen_args_1"] == {"arg_0": "why", "arg_1": " b"}
    assert row["resps"] == [[["-1.5", "True"]], [["-2.5", "False"]]]
    assert row["target"] == "1"


def test_metrics_come_with_error_number_and_direction():
    flat = {
        "alias": "a",
        "sample_len": 9,
        "acc,none": 0.5,
        "acc_stderr,none": "N/A",
        "ppl,x": math.nan,
        "ppl_stderr,x": 1.0,
    }

    table = metric_table(flat, {"acc": True, "ppl": False}, {"acc,none": 8})

    assert table == {
        "acc,none": {"value": 0.5, "stderr": None, "n": 8, "higher_is_better": True},
        "ppl,x": {"value": None, "stderr": 1.0, "n": 9, "higher_is_better": False},
    }


def test_kept_metrics_come_back_bit_by_bit():
    metrics = {"a,none": 0.1 + 0.2, "b,none": math.inf, "c,none": math.nan, "c_stderr,none": "N/A", "alias": "NaN?"}

    back = raw_metrics(json.loads(json.dumps({"raw": {"metrics": exact_metrics(metrics)}}, allow_nan=False)))

    assert math.isnan(back.pop("c,none"))
    assert back == {name: value for name, value in metrics.items() if name != "c,none"}


@pytest.fixture
def records(tmp_path):
    return Records(RunDir(tmp_path), Redactor(["s3cret"]), log_samples=True)


def record(settings="h"):
    return {"task": "../a b", "settings": settings, "document": {"kind": "task"}, "config": {"key": "s3cret"}}


def test_a_written_task_is_finished_under_its_settings_only(records):
    records.write(record(), [ROW])

    assert records.any()
    assert records.finished("../a b", "h")["document"]["kind"] == "task"
    assert records.finished("../a b", "other") is None
    assert records.finished("a b", "h") is None


@pytest.mark.parametrize("missing", ["scores.jsonl.gz", "samples.jsonl.gz", "result.json"])
def test_a_task_with_a_missing_file_is_not_finished(records, tmp_path, missing):
    records.write(record(), [ROW])
    next(tmp_path.rglob(missing)).unlink()

    assert records.finished("../a b", "h") is None


@pytest.mark.parametrize("torn", ["scores.jsonl.gz", "samples.jsonl.gz"])
def test_a_task_with_a_torn_table_is_not_finished(records, tmp_path, torn):
    records.write(record(), [ROW])
    path = next(tmp_path.rglob(torn))
    path.write_bytes(path.read_bytes()[:-1])

    assert records.finished("../a b", "h") is None


def test_half_a_document_is_no_record(records, tmp_path):
    records.write(record(), [ROW])
    path = next(tmp_path.rglob("result.json"))
    path.write_bytes(path.read_bytes()[:20])

    assert records.finished("../a b", "h") is None


def test_a_name_with_dots_stays_in_the_run_directory(records, tmp_path):
    written = records.write(record(), [ROW])

    assert written["document"]["scores"].startswith("tasks/")
    assert (tmp_path / written["document"]["scores"]).resolve().is_relative_to(tmp_path / "tasks")


def test_secrets_are_not_written(records, tmp_path):
    written = records.write(record(), [{**ROW, "doc": {"question": "s3cret?"}}])

    assert written["config"] == {"key": "***"}
    assert b"s3cret" not in b"".join(path.read_bytes() for path in tmp_path.rglob("*.json"))


def test_equal_rows_give_equal_files(tmp_path):
    written = []
    for name in ("one", "two"):
        Records(RunDir(tmp_path / name), Redactor(), log_samples=False).write(record(), [ROW])
        written.append(next((tmp_path / name).rglob("scores.jsonl.gz")).read_bytes())

    assert written[0] == written[1]
