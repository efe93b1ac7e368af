"""Bundles of NeMo Evaluator and EvalHub: what they say is read, what they do not say stays unknown."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lmeval.errors import DamagedResultError, ResultNotFoundError, StoreError
from airflow_provider_lmeval.gate import Outcome, RuleSet, decide
from airflow_provider_lmeval.results.readers.nemo import metric_key
from airflow_provider_lmeval.store.evidence import read_evidence, score_tables
from tests.support.foreign import DATA, JOB, REPORT, job, report, samples, write_output, write_samples


def outcome(evidence: Any, rules: list[dict[str, Any]], baseline: Any = None) -> Outcome:
    tables = score_tables(evidence, baseline)
    return decide(RuleSet.parse(rules), evidence.result, baseline.result if baseline else None, tables).outcome


# --- NeMo Evaluator: results.yml


def test_all_benchmarks_of_a_launcher_s_directory_are_one_evaluation():
    found = read_evidence(str(DATA / "nemo")).result

    assert found.succeeded
    assert found.model.name == "org/model"
    assert found.metric("gsm8k", "exact_match,strict-match").value == 0.5
    assert found.metric("gsm8k", "exact_match,flexible-extract").n == 1319
    assert found.task("gsm8k").num_fewshot == 5
    assert found.metric("gpqa_diamond", "score,micro").value == 0.4


def test_the_number_of_documents_follows_from_deviation_and_error_where_it_is_not_said():
    assert read_evidence(str(DATA / "nemo")).result.metric("gpqa_diamond", "score").n == 10


@pytest.mark.parametrize(
    "stats", [{}, {"stderr": 0.1}, {"stddev": 0.5, "stderr": 0.0}, {"stddev": 0.5, "stderr": 0.1234}]
)
def test_a_number_of_documents_that_cannot_be_known_is_an_error_of_the_gate(tmp_path, stats):
    source = yaml.safe_load((DATA / "nemo/gpqa_diamond/artifacts/results.yml").read_text())
    source["results"] = {"tasks": {"t": {"metrics": {"acc": {"scores": {"acc": {"value": 0.9, "stats": stats}}}}}}}
    (tmp_path / "results.yml").write_text(yaml.safe_dump(source))

    assert outcome(read_evidence(str(tmp_path)), [{"task": "t", "metric": "acc", "floor": 0.5}]) is Outcome.ERROR


def test_nemo_results_can_be_held_against_a_floor_but_not_compared():
    found = read_evidence(str(DATA / "nemo"))

    assert outcome(found, [{"task": "gsm8k", "metric": "exact_match,strict-match", "floor": 0.4}]) is Outcome.PASS
    assert outcome(found, [{"task": "gsm8k", "metric": "exact_match,strict-match", "floor": 0.6}]) is Outcome.FAIL
    rule = {"task": "gsm8k", "metric": "exact_match,strict-match", "max_drop": 0.5, "direction": "higher"}
    assert outcome(found, [rule], found) is Outcome.ERROR, "documents are unknown"


def test_a_limit_of_nemo_is_a_limit(tmp_path):
    source = yaml.safe_load((DATA / "nemo/gsm8k/artifacts/results.yml").read_text())
    source["config"]["params"]["limit_samples"] = 10
    (tmp_path / "results.yml").write_text(yaml.safe_dump(source))
    rule = {"task": "gsm8k", "metric": "exact_match,strict-match", "floor": 0.4}

    found = read_evidence(str(tmp_path))

    assert outcome(found, [rule]) is Outcome.ERROR
    assert outcome(found, [rule | {"allow_limit": True}]) is Outcome.PASS


def test_results_of_two_models_are_ambiguous(tmp_path):
    shutil.copytree(DATA / "nemo", tmp_path, dirs_exist_ok=True)
    path = tmp_path / "gsm8k/artifacts/results.yml"
    path.write_text(path.read_text().replace("org/model", "org/other"))

    with pytest.raises(DamagedResultError, match="several models"):
        read_evidence(str(tmp_path))
    assert read_evidence(str(path)).result.model.name == "org/other"


@pytest.mark.parametrize("content", ["", "a: [", "results: 5", "results: {tasks: {}}", "- 1"])
def test_what_is_no_nemo_result_is_refused(tmp_path, content):
    (tmp_path / "results.yml").write_text(content)

    with pytest.raises(DamagedResultError):
        read_evidence(str(tmp_path))


@pytest.mark.parametrize(
    ("metric", "score", "key"),
    [
        ("acc", "acc", "acc,none"),
        ("exact_match__strict-match", "exact_match__strict-match", "exact_match,strict-match"),
        ("score", "micro", "score,micro"),
    ],
)
def test_nemo_s_scores_have_lm_eval_s_names(metric, score, key):
    assert metric_key(metric, score) == key


def test_lm_eval_s_own_files_outrank_the_summary_beside_them(tmp_path):
    shutil.copytree(DATA / "nemo", tmp_path, dirs_exist_ok=True)
    write_output(tmp_path / "gsm8k/artifacts/gsm8k", {"gsm8k": samples(6)})

    found = read_evidence(str(tmp_path))

    assert found.result.metric("gsm8k", "acc").value == 1.0
    assert len(list(found.scores("gsm8k"))) == 6
    assert found.result.metric("gpqa_diamond", "score").value == 0.4, "what another harness evaluated is not lost"


# --- NeMo Evaluator: eval-*.json


def test_a_bundle_tells_its_scores_and_how_many_documents_failed():
    found = read_evidence(str(DATA / "nemo_bundle"))

    assert found.result.metric("gsm8k", "pass@1").value == 0.6
    assert set(found.result.task("gsm8k").metrics) == {"pass@1,none"}, "statistics of the run are no scores"
    assert (found.result.task("gsm8k").n_samples.effective, found.result.task("gsm8k").failed) == (5, 1)
    assert found.scores("gsm8k") is None


def test_failed_documents_of_a_bundle_are_an_error_of_the_gate():
    rule = {"task": "gsm8k", "metric": "pass@1", "floor": 0.5}
    found = read_evidence(str(DATA / "nemo_bundle"))

    assert outcome(found, [rule]) is Outcome.ERROR
    assert outcome(found, [rule | {"max_error_rate": 0.25}]) in (Outcome.PASS, Outcome.WARN)


def test_missing_rows_of_a_bundle_are_noticed(tmp_path):
    shutil.copytree(DATA / "nemo_bundle", tmp_path, dirs_exist_ok=True)
    rows = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    write_samples(tmp_path / "results.jsonl", rows[:-1])

    with pytest.raises(DamagedResultError, match="4 rows, its bundle says 5"):
        read_evidence(str(tmp_path))


def test_a_shard_is_only_a_part(tmp_path):
    shutil.copytree(DATA / "nemo_bundle", tmp_path, dirs_exist_ok=True)
    (path,) = tmp_path.glob("eval-*.json")
    data = json.loads(path.read_text())
    data["config"]["shard_range"] = [0, 5]
    path.write_text(json.dumps(data))
    rule = {"task": "gsm8k", "metric": "pass@1", "floor": 0.5, "max_error_rate": 0.5}

    assert outcome(read_evidence(str(tmp_path)), [rule]) is Outcome.ERROR


# --- EvalHub


def hub(tmp_path: Any, *documents: dict[str, Any]) -> Any:
    for number, document in enumerate(documents):
        (tmp_path / f"{number}.json").write_text(json.dumps(document))
    return read_evidence(str(tmp_path))


def test_a_job_with_its_reports_is_one_evaluation():
    found = read_evidence(str(DATA / "evalhub")).result

    assert found.run_id == "evalhub-job-1"
    assert found.succeeded
    assert found.model.name == "granite"
    metric = found.metric("arc_easy", "acc")
    assert (metric.value, metric.stderr, metric.n, metric.higher_is_better) == (0.71, 0.0093, 2376, True)
    assert found.metric("latency", "ttft_ms").higher_is_better is False


def test_the_resource_alone_does_not_say_how_many_documents_there_were(tmp_path):
    found = hub(tmp_path, JOB)

    assert found.result.metric("arc_easy", "acc").value == 0.71
    assert outcome(found, [{"task": "arc_easy", "metric": "acc", "floor": 0.5}]) is Outcome.ERROR


def test_a_report_of_an_adapter_can_be_held_against_a_floor(tmp_path):
    found = hub(tmp_path, REPORT)

    assert outcome(found, [{"task": "arc_easy", "metric": "acc", "floor": 0.5}]) is Outcome.PASS
    assert outcome(found, [{"task": "arc_easy", "metric": "acc", "floor": 0.8}]) is Outcome.FAIL


@pytest.mark.parametrize("name", ["num_examples", "limit"])
def test_a_restricted_job_is_limited(tmp_path, name):
    limited = report(evaluation_metadata={"benchmark_config": {name: 10}})

    assert outcome(hub(tmp_path, limited), [{"task": "arc_easy", "metric": "acc", "floor": 0.5}]) is Outcome.ERROR


@pytest.mark.parametrize("state", ["failed", "partially_failed", "cancelled"])
def test_a_job_that_failed_is_no_result_whatever_it_scored(tmp_path, state):
    failed = job(status={"state": state, "message": {"message": "pod evicted", "message_code": "x"}})

    found = hub(tmp_path, failed, REPORT)

    assert not found.result.succeeded
    assert found.result.message == "pod evicted"
    assert outcome(found, [{"task": "arc_easy", "metric": "acc", "floor": 0.1}]) is Outcome.ERROR


@pytest.mark.parametrize("state", ["pending", "running"])
def test_a_job_that_has_not_ended_has_no_result(tmp_path, state):
    with pytest.raises(ResultNotFoundError, match=state):
        hub(tmp_path, job(status={"state": state, "message": {}}))


def test_a_benchmark_that_reported_nothing_is_not_forgotten(tmp_path):
    silent = job()
    silent["results"]["benchmarks"].pop()

    found = hub(tmp_path, silent)

    assert found.result.task("latency").metrics == {}
    assert outcome(found, [{"task": "latency", "metric": "ttft_ms", "ceiling": 100}]) is Outcome.ERROR


def test_documents_of_two_jobs_are_ambiguous(tmp_path):
    with pytest.raises(DamagedResultError, match="several jobs"):
        hub(tmp_path, JOB, report(id="job-2"))


def test_other_json_beside_a_job_is_passed_over(tmp_path):
    (tmp_path / "provider.json").write_text("{not json")
    (tmp_path / "list.json").write_text("[1]")

    assert hub(tmp_path, REPORT).result.succeeded


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 5) | st.just("text") | st.just(""),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["id", "value", "metrics"]), inner, max_size=2)
    ),
    max_leaves=4,
)


def paths(data: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [path for key, value in items for path in [(*here, key), *paths(value, (*here, key))]]


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("results.yml", DATA / "nemo/gsm8k/artifacts/results.yml"),
        ("eval-1.json", next((DATA / "nemo_bundle").glob("eval-*.json"))),
        ("job.json", DATA / "evalhub/job.json"),
        ("report.json", DATA / "evalhub/arc_easy.json"),
        ("results_2026-03-01T12-00-00.json", next((DATA / "lm_eval").glob("*/results_*.json"))),
    ],
)
@given(st.data())
def test_whatever_stands_in_a_field_it_is_read_or_refused(tmp_path_factory, name, file, data):
    document = yaml.safe_load(file.read_text())
    *way, last = data.draw(st.sampled_from(paths(document)))
    place = document
    for step in way:
        place = place[step]
    place[last] = data.draw(PLAIN)
    directory = tmp_path_factory.mktemp("spoilt")
    (directory / name).write_text(json.dumps(document))

    with suppress(StoreError):
        read_evidence(str(directory))
