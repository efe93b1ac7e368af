"""Rows for tables."""

from __future__ import annotations

from airflow_provider_lmeval.results import EvalResult, rows
from tests.support.evidence import document, metric, result, suite, task


def test_every_score_is_a_row_in_the_documents_order():
    found = rows(EvalResult.parse(suite()))
    assert [(row.task, row.metric, row.filter) for row in found[:4]] == [
        ("tiny_mc", "acc", "none"),
        ("tiny_mc", "acc_norm", "none"),
        ("tiny_gen", "exact_match", "strict"),
        ("tiny_gen", "exact_match", "flexible"),
    ]
    assert found[0].model == "/models/candidate-1"
    assert (found[0].value, found[0].stderr, found[0].n, found[0].baseline) == (0.85, 0.04, 120, None)


def test_a_baseline_stands_beside_the_same_score_only():
    baseline = EvalResult.parse(document({"tiny_mc": task({"acc,none": metric(0.75)})}))
    by_metric = {(row.task, row.metric): row for row in rows(EvalResult.parse(suite()), baseline)}
    assert by_metric["tiny_mc", "acc"].baseline == 0.75
    assert round(by_metric["tiny_mc", "acc"].difference, 9) == 0.1
    assert by_metric["tiny_mc", "acc_norm"].baseline is None
    assert by_metric["tiny_ppl", "word_perplexity"].difference is None


def test_a_task_without_alias_or_value_still_has_a_row():
    empty = result({"t": task({"acc,none": metric(None, stderr=None)}, alias=None)})
    (row,) = rows(empty, result({"t": task({"acc,none": metric(1)})}))
    assert (row.alias, row.value, row.baseline, row.difference) == ("t", None, 1, None)
