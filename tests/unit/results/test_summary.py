"""The XCom value: its pinned shape, and what it leaves out."""

from __future__ import annotations

import json
from pathlib import Path

from airflow_provider_lmeval.results import EvalResult, summary
from airflow_provider_lmeval.wire import dump
from tests.support.evidence import document, failed, metric, suite, task

GOLDEN = Path(__file__).parents[2] / "data" / "golden"


def of(data):
    return summary(EvalResult.parse(data), backend="local", result_uri="s3://bucket/runs/candidate-1")


def test_the_golden_summary_is_what_the_golden_result_gives():
    golden = json.loads((GOLDEN / "summary.json").read_bytes())
    assert of(json.loads((GOLDEN / "result.json").read_bytes())) == golden


def test_scores_are_keyed_as_lm_eval_keys_them():
    found = of(suite())
    assert found["results"]["tiny_gen"] == {
        "exact_match,strict": 0.7,
        "exact_match_stderr,strict": 0.04,
        "exact_match,flexible": 0.75,
        "exact_match_stderr,flexible": 0.04,
    }
    assert found["higher_is_better"]["tiny_ppl"] == {"word_perplexity": False}
    assert found["n_samples"]["tiny_mc"] == {"original": 120, "effective": 120}
    assert found["n_samples"]["tiny_group"] == {"original": 240, "effective": 240}


def test_scores_of_a_failed_run_do_not_reach_the_next_task():
    found = of(failed())
    assert found["results"] == found["higher_is_better"] == found["n_samples"] == {}
    assert (found["state"], found["reason"], found["cause"]) == ("Complete", "Failed", "out_of_memory")


def test_it_is_plain_strict_json():
    missing = document({"t": task({"acc,none": metric(None, stderr=None, higher=None)})})
    for data in (suite(), failed(), missing):
        assert json.loads(dump(of(data))) == of(data)


def test_a_suite_as_large_as_mmlu_stays_below_the_documented_size():
    tasks = {f"mmlu_{n:02}_with_a_name_of_usual_length": task({"acc,none": metric(0.5)}) for n in range(61)}
    assert 30 * 1024 < len(json.dumps(of(document(tasks)))) < 64 * 1024
