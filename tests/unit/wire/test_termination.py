"""The termination message: what fits into 2,000 bytes, in the right order, and never more."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lmeval.errors import ProtocolError
from airflow_provider_lmeval.wire_pod import MAX_TERMINATION, Termination

anything = st.text(st.characters(), max_size=300)  # lone surrogates and control characters too
scores = st.none() | st.floats()
tables = st.dictionaries(anything, st.dictionaries(anything, scores, max_size=5), max_size=30)


def message(**fields: Any) -> Termination:
    return Termination(**{"run_id": "run-1", **fields})


@given(text=st.none() | st.text(st.characters(), max_size=5000), metrics=tables, location=st.none() | anything)
def test_it_never_has_more_than_2000_bytes_and_can_always_be_read(
    text: str | None, metrics: dict[str, dict[str, float | None]], location: str | None
) -> None:
    written = message(run_id="r" * 200, message=text, metrics=metrics, location=location, digest="f" * 64).to_text()

    assert len(written.encode()) <= MAX_TERMINATION
    read = Termination.parse(written)
    shown = sum(map(len, read.metrics.values()))
    assert read.truncated == (shown < sum(map(len, metrics.values())))


def test_what_fits_arrives_as_it_was() -> None:
    sent = message(
        state="Complete", reason="Failed", cause="out_of_memory", message="ein Töpfchen", phase="evaluating",
        metrics={"a": {"acc,none": 0.1 + 0.2, "f1,none": None}}, tasks_done=1, digest="0" * 64,
        location="s3://bucket/run-1", records=3,
    )  # fmt: skip
    assert Termination.parse(sent.to_text()) == sent


@pytest.mark.parametrize("name", ["task_{}", "задача_{}", "任务_{}", '"{}\\\x07'])
def test_of_500_tasks_the_first_ones_stay_and_the_rest_is_admitted(name: str) -> None:
    metrics = {name.format(n): {"acc,none": n / 7, "acc_norm,none": n / 3} for n in range(500)}
    read = Termination.parse(message(state="Complete", reason="Succeeded", metrics=metrics, tasks_done=500).to_text())

    kept = list(read.metrics)
    assert kept[:20] == list(metrics)[:20]
    assert read.truncated
    assert read.tasks_done == 500
    assert {task: values["acc,none"] for task, values in read.metrics.items()} == {
        task: metrics[task]["acc,none"] for task in kept
    }


def test_every_tasks_first_metric_goes_before_anybodys_second() -> None:
    metrics = {f"t{n}": {f"metric-{m}-{'x' * 40},none": 1.0 for m in range(5)} for n in range(20)}
    read = Termination.parse(message(metrics=metrics).to_text())
    assert set(read.metrics) == set(metrics)


def test_one_endless_name_does_not_keep_the_others_out() -> None:
    read = Termination.parse(message(metrics={"x" * 3000: {"acc,none": 1.0}, "b": {"acc,none": 0.5}}).to_text())
    assert (read.metrics, read.truncated) == ({"b": {"acc,none": 0.5}}, True)


def test_a_long_message_is_cut_and_half_an_address_is_left_out() -> None:
    read = Termination.parse(message(message="word " * 1000, location="s3://" + "x" * 3000).to_text())
    assert str(read.message).startswith("word word")
    assert str(read.message).endswith("…")
    assert read.location is None


def test_a_score_that_is_no_number_is_null() -> None:
    assert Termination.parse(message(metrics={"a": {"ppl,none": math.inf}}).to_text()).metrics == {
        "a": {"ppl,none": None}
    }


def test_an_interrupted_overwrite_leaves_spaces_that_do_not_matter() -> None:
    assert Termination.parse(message().to_text() + "   \n") == message()


GOOD = message(metrics={"a": {"acc,none": 1.0}}).to_json()


@pytest.mark.parametrize(
    "text",
    [
        "", "Traceback (most recent call last): …", "[]", "[" * 100_000, json.dumps({**GOOD, "protocol": 2}),
        json.dumps({**GOOD, "state": "Done"}), json.dumps({**GOOD, "metrics": [1]}), json.dumps({**GOOD, "records": "3"}),
        json.dumps({**GOOD, "metrics": {"a": {"acc,none": "1"}}}), json.dumps({**GOOD, "truncated": 0}),
        json.dumps({**GOOD, "message": 3}), json.dumps({**GOOD, "run_id": None}), json.dumps({**GOOD, "state": []}),
        json.dumps({**GOOD, "metrics": {"a": {"acc,none": math.nan}}}),
    ],
)  # fmt: skip
def test_what_is_not_the_drivers_message_is_an_error(text: str) -> None:
    with pytest.raises(ProtocolError):
        Termination.parse(text)


def test_keys_of_a_later_release_are_ignored() -> None:
    assert Termination.parse(json.dumps({**GOOD, "news": 1})).metrics == {"a": {"acc,none": 1.0}}
