"""What can be known of a run without its store, and what must not be taken for more."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_lmeval.results import summary
from airflow_provider_lmeval.results.evidence import from_records, from_termination, partial_summary
from airflow_provider_lmeval.wire_pod import Termination
from airflow_provider_lmeval.wire_record import record_lines

DOCUMENT = (Path(__file__).parents[2] / "data" / "golden" / "result.json").read_bytes()
RUN_ID = json.loads(DOCUMENT)["run_id"]


def log(document: bytes = DOCUMENT, run_id: str = RUN_ID) -> list[str]:
    return ["loading model", *record_lines(run_id, document), "lmeval: ended"]


def words(**fields: Any) -> Termination:
    return Termination(**{"run_id": RUN_ID, "state": "Complete", "reason": "Succeeded", **fields})


def test_the_log_gives_the_whole_result() -> None:
    result = from_records(log(), RUN_ID, hashlib.sha256(DOCUMENT).hexdigest())
    assert result is not None
    assert result.to_data() == json.loads(DOCUMENT)


@pytest.mark.parametrize(
    ("lines", "run_id", "digest"),
    [
        (log()[:1], RUN_ID, None),
        (log(), "another-run", None),
        (log(), RUN_ID, "0" * 64),
        (log(b'{"schema_version": 1}'), RUN_ID, None),
        (log(b"\xff"), RUN_ID, None),
        (log(DOCUMENT, "another-run"), "another-run", None),
    ],
)
def test_the_log_gives_nothing_rather_than_something_else(lines: list[str], run_id: str, digest: str | None) -> None:
    assert from_records(lines, run_id, digest) is None


def test_last_words_are_the_runs_own_or_those_of_a_driver_that_could_not_read_its_request() -> None:
    assert from_termination(words().to_text(), RUN_ID) == words()
    assert from_termination(words(run_id="", cause="bad_spec").to_text(), RUN_ID) == words(run_id="", cause="bad_spec")
    assert from_termination(words().to_text(), "another-run") is None


@pytest.mark.parametrize("text", [None, "", "the last lines of some log"])
def test_what_is_not_the_drivers_is_nothing(text: str | None) -> None:
    assert from_termination(text, RUN_ID) is None


def test_a_summary_of_last_words_has_the_keys_of_a_whole_one_and_says_that_scores_are_missing() -> None:
    found = words(metrics={"a": {"acc,none": 0.5}}, truncated=True, location="s3://b/r")
    result = from_records(log(), RUN_ID)
    assert result is not None

    told = partial_summary(found, backend="kubernetes")
    assert set(told) == {*summary(result, backend="kubernetes", result_uri=None), "truncated"}
    assert (told["results"], told["truncated"], told["result_uri"]) == ({"a": {"acc,none": 0.5}}, True, "s3://b/r")
    assert json.loads(json.dumps(told)) == told


def test_scores_of_a_run_that_did_not_succeed_are_left_out() -> None:
    found = words(reason="Failed", cause="evicted", metrics={"a": {"acc,none": 0.5}})
    assert partial_summary(found, backend="kubernetes")["results"] == {}
