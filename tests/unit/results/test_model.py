"""The result document: what is read, what is refused, and how scores are found in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lmeval.errors import DamagedResultError, MetricNotFoundError
from airflow_provider_lmeval.results import EvalResult
from airflow_provider_lmeval.wire import dump
from tests.support.evidence import document, failed, group, metric, result, suite, task

GOLDEN = Path(__file__).parents[2] / "data" / "golden"


def test_the_golden_document_is_what_the_models_describe():
    golden = json.loads((GOLDEN / "result.json").read_bytes())
    assert golden == suite()
    assert EvalResult.parse(golden).to_data() == golden


def test_a_document_survives_the_round_trip_through_json():
    read = EvalResult.from_json(dump(suite()))
    assert EvalResult.from_json(dump(read.to_data())) == read


def test_unknown_keys_of_a_newer_driver_are_ignored_and_kept():
    data = suite() | {"carbon": {"kg": 0.1}}
    data["tasks"]["tiny_mc"]["metrics"]["acc,none"]["interval"] = [0.8, 0.9]
    data["fingerprint"]["tasks"]["tiny_mc"]["template"] = "x"
    read = EvalResult.parse(data)
    assert read.metric("tiny_mc", "acc").value == 0.85
    assert read.to_data() == data


def test_results_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        result().run_id = "other"


def test_a_cause_that_only_a_newer_driver_knows_is_read():
    assert EvalResult.parse(failed(cause="meteorite")).cause == "meteorite"


@pytest.mark.parametrize("version", [2, 0, "1", None, True])
def test_another_schema_version_is_refused_with_what_to_do(version):
    with pytest.raises(DamagedResultError, match=r"schema_version.*release of airflow-provider-lmeval"):
        EvalResult.parse(document(schema_version=version))


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (["run_id"], None, "run_id"),
        (["run_id"], "", "run_id"),
        (["state"], "Done", "state"),
        (["state"], "Running", "not an end"),
        (["tasks"], {}, "needs state Complete"),
        (["cause"], "dataset", "Succeeded contradicts"),
        (["tasks", "tiny_mc", "kind"], "tag", r"tasks\.tiny_mc\.kind"),
        (["tasks", "tiny_mc", "metrics", "acc,none", "value"], "0.85", r"tasks\.tiny_mc\.metrics\.acc,none\.value"),
        (["tasks", "tiny_mc", "metrics", "acc,none", "value"], True, "value"),
        (["tasks", "tiny_mc", "metrics", "acc,none", "value"], float("nan"), "finite"),
        (["tasks", "tiny_mc", "metrics", "acc,none", "stderr"], float("inf"), "finite"),
        (["tasks", "tiny_mc", "metrics", "acc,none", "n"], -1, r"\.n: "),
        (["tasks", "tiny_mc", "metrics", "acc,none", "n"], 1.5, r"\.n: "),
        (["tasks", "tiny_mc", "metrics", "acc,none", "higher_is_better"], "yes", "higher_is_better"),
        (["tasks", "tiny_mc", "n_samples"], {"original": 3}, "effective"),
        (["fingerprint", "tasks"], [], r"fingerprint\.tasks"),
    ],
)
def test_a_wrong_field_is_named(path, value, named):
    data = document()
    place = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(DamagedResultError, match=named):
        EvalResult.parse(data)


@pytest.mark.parametrize("field", ["run_id", "state", "reason", "schema_version"])
def test_a_missing_field_is_named(field):
    data = document()
    del data[field]
    with pytest.raises(DamagedResultError, match=field):
        EvalResult.parse(data)


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"[" * 100_000, b'{"schema_version": NaN}', dump(document())[:-1]],
)
def test_what_is_not_a_json_document_is_refused(raw):
    with pytest.raises(DamagedResultError):
        EvalResult.from_json(raw)


SCALARS = st.none() | st.booleans() | st.floats() | st.text()


@given(st.recursive(SCALARS, lambda inner: st.dictionaries(st.text(), inner) | st.lists(inner)))
def test_arbitrary_data_is_never_a_result_and_never_another_error(data):
    with pytest.raises(DamagedResultError):
        EvalResult.parse(data)


@given(st.sampled_from(sorted(document())), st.none() | st.integers() | st.text() | st.lists(st.integers()))
def test_any_field_replaced_is_read_or_refused_by_our_own_error(field, value):
    try:
        read = EvalResult.parse(document() | {field: value})
    except DamagedResultError:
        return
    assert EvalResult.parse(read.to_data()) == read


def test_a_failed_run_is_read_but_did_not_succeed():
    read = EvalResult.parse(failed())
    assert not read.succeeded
    assert read.cause == "out_of_memory"
    assert result().succeeded


def test_what_a_failed_run_does_not_know_may_be_missing():
    bare = {"schema_version": 1, "run_id": "r", "state": "Cancelled", "reason": "Cancelled", "cause": "cancelled"}
    read = EvalResult.parse(bare)
    assert (read.tasks, read.fingerprint.tasks, read.model.name, read.timings.seconds) == ({}, {}, None, None)


def test_a_metric_is_found_with_and_without_its_filter():
    read = EvalResult.parse(suite())
    assert read.metric("tiny_mc", "acc") is read.metric("tiny_mc", "acc,none")
    assert read.metric("tiny_gen", "exact_match,strict").value == 0.7
    assert read.metric("tiny_ppl", "word_perplexity").higher_is_better is False


@pytest.mark.parametrize(
    ("task_name", "name", "words"),
    [
        ("tiny_mx", "acc", "did you mean 'tiny_mc'"),
        ("tiny_mc", "acc_nrm", "did you mean 'acc_norm'"),
        ("tiny_mc", "acc,nne", "did you mean 'acc,none'"),
        ("tiny_gen", "exact_match", "'exact_match,strict' or 'exact_match,flexible'; name the filter"),
        ("tiny_ppl", "zzz", "there are 'word_perplexity'"),
    ],
)
def test_a_metric_that_is_not_there_is_an_error_with_near_matches(task_name, name, words):
    with pytest.raises(MetricNotFoundError, match=words):
        EvalResult.parse(suite()).metric(task_name, name)


def test_a_group_is_resolved_to_its_tasks_once_and_in_order():
    accuracy = {"acc,none": metric(1)}
    read = result(
        {
            "outer": group({}, ["inner", "b", "gone"]),
            "inner": group({}, ["a", "b"]),
            "a": task(accuracy),
            "b": task(accuracy),
        }
    )
    assert read.leaves("outer") == ("a", "b", "gone")
    assert read.leaves("a") == ("a",)


def test_groups_that_contain_each_other_end():
    assert result({"x": group({}, ["y"]), "y": group({}, ["x", "z"]), "z": task({})}).leaves("x") == ("z",)
