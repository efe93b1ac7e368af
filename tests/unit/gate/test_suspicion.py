"""Score tables that are not what they seem: every sign is found and comes to what the table in ``health`` says."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from airflow_provider_lmeval.gate import Outcome, RuleSet, decide, health
from airflow_provider_lmeval.results import EvalResult
from tests.support.tables import Tables, answers, pair, result

DROP = {"task": "t", "metric": "acc", "max_drop": 0.05}
CANDIDATE, BASELINE = answers(700, 20, 20, 260)


def judge(candidate, baseline, scores, rule=DROP):
    return decide(RuleSet.parse([rule]), candidate, baseline, scores)


def changed(edit, side="candidate"):
    """Return two results that pass, with one side's score table edited."""
    candidate, baseline, scores = pair({"t": CANDIDATE}, {"t": BASELINE})
    scores.tables[side, "t"] = edit(scores.tables[side, "t"])
    return candidate, baseline, scores


def edited(data, *path, value):
    data = data.to_data()
    place = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return EvalResult.parse(data)


def without_score(rows):
    return [replace(rows[0], metrics={"acc": None}), *rows[1:]]


def other_document(rows):
    return [replace(rows[0], doc_hash="another version of the data set"), *rows[1:]]


BROKEN = {
    "scores-damaged": lambda rows: None,
    "scores-incomplete": lambda rows: rows[:-1],
    "documents-unmatched": other_document,
    "requests-failed": without_score,
}
EVERYWHERE = {
    "a row twice": (lambda rows: [*rows, rows[0]], "scores-incomplete"),
    "one row instead of another": (lambda rows: [*rows[:-1], rows[0]], "documents-unmatched"),
    "another answer": (lambda rows: [replace(rows[0], target_hash="b"), *rows[1:]], "documents-unmatched"),
}


def test_sound_tables_have_no_findings():
    verdict = judge(*changed(lambda rows: rows))
    assert (verdict.outcome, verdict.findings) == (Outcome.PASS, ())


@pytest.mark.parametrize("side", ["candidate", "baseline"])
@pytest.mark.parametrize("expected", BROKEN)
@pytest.mark.parametrize("tier", ["block", "info"])
def test_a_broken_table_is_an_error_in_any_tier(expected, side, tier):
    verdict = judge(*changed(BROKEN[expected], side), DROP | {"tier": tier})
    assert verdict.outcome is Outcome.ERROR
    assert expected in {finding.id for finding in verdict.findings}
    assert expected in verdict.checks[0].blocked_by


@pytest.mark.parametrize("case", EVERYWHERE)
def test_duplicated_and_exchanged_documents_are_noticed(case):
    edit, expected = EVERYWHERE[case]
    verdict = judge(*changed(edit))
    assert verdict.outcome is Outcome.ERROR
    assert expected in {finding.id for finding in verdict.findings}


@pytest.mark.parametrize("side", ["candidate", "baseline"])
@pytest.mark.parametrize("edit", [lambda rows: [replace(row, filter="strict") for row in rows], lambda rows: []])
def test_a_table_without_the_scores_documents_is_an_error(edit, side):
    verdict = judge(*changed(edit, side))
    assert verdict.outcome is Outcome.ERROR
    assert [finding.id for finding in verdict.findings] == ["scores-incomplete"]


def test_failures_may_be_put_up_with():
    verdict = judge(*changed(without_score), DROP | {"max_error_rate": 0.01})
    assert verdict.outcome is Outcome.WARN
    assert verdict.checks[0].statistics.n == 999


@pytest.mark.parametrize("lenient_first", [True, False])
def test_what_one_rule_puts_up_with_excuses_no_other(lenient_first):
    rules = [DROP | {"max_error_rate": 0.01, "name": "lenient"}, DROP | {"name": "strict"}]
    verdict = decide(RuleSet.parse(rules if lenient_first else rules[::-1]), *changed(without_score))
    assert {check.rule: check.outcome for check in verdict.checks} == {"lenient": Outcome.PASS, "strict": Outcome.ERROR}


def test_a_result_that_counts_failed_requests_is_believed():
    candidate, baseline, scores = pair({"t": CANDIDATE}, {"t": BASELINE})
    candidate = edited(candidate, "tasks", "t", "failed", value=30)
    verdict = judge(candidate, baseline, scores)
    assert verdict.outcome is Outcome.ERROR
    assert "30 of the candidate's 1000 documents of t failed" in verdict.reasons[0]
    assert judge(candidate, baseline, scores, DROP | {"max_error_rate": 0.05}).outcome is Outcome.WARN


def test_fewer_scores_than_documents_are_failures():
    candidate, baseline, scores = pair({"t": CANDIDATE}, {"t": BASELINE})
    candidate = edited(candidate, "tasks", "t", "metrics", "acc,none", "n", value=900)
    floor = {"task": "t", "metric": "acc", "floor": 0.1}
    assert [finding.id for finding in judge(candidate, baseline, scores, floor).findings] == ["requests-failed"]


def alike(rows, **changes):
    """Return the rows with the answers of a model that both sides share."""
    return [
        replace(row, loglikelihoods=(-1.0, -2.0 - row.doc_id), response_hash=f"r{row.doc_id}", **changes)
        for row in rows
    ]


def twins(strip=False):
    candidate, baseline, scores = pair({"t": CANDIDATE}, {"t": BASELINE})
    for key, rows in scores.tables.items():
        found = alike(rows)
        scores.tables[key] = [replace(row, loglikelihoods=None) for row in found] if strip else found
    return candidate, baseline, scores


def test_equal_log_likelihoods_of_different_models_are_an_error():
    verdict = judge(*twins())
    assert verdict.outcome is Outcome.ERROR
    assert verdict.checks[0].blocked_by == ("loglikelihoods-equal",)


def test_equal_generations_of_different_models_are_a_warning():
    verdict = judge(*twins(strip=True))
    assert (verdict.outcome, [finding.id for finding in verdict.findings]) == (Outcome.WARN, ["answers-equal"])


def test_one_log_likelihood_that_differs_is_enough():
    candidate, baseline, scores = twins()
    rows = scores.tables["candidate", "t"]
    scores.tables["candidate", "t"] = [replace(rows[0], loglikelihoods=(-1.5, -2.0)), *rows[1:]]
    assert judge(candidate, baseline, scores).outcome is Outcome.PASS


def test_the_same_model_may_answer_the_same():
    candidate, baseline, scores = twins()
    candidate = edited(candidate, "model", "identity", value=baseline.model.identity)
    assert "loglikelihoods-equal" not in {finding.id for finding in judge(candidate, baseline, scores).findings}


def test_models_without_a_digest_are_different_by_name_and_worth_a_warning():
    candidate, baseline, scores = twins()
    candidate = edited(candidate, "model", "identity", value=None)
    found = {finding.id for finding in judge(candidate, baseline, scores).findings}
    assert found == {"identity-unknown", "loglikelihoods-equal"}
    same = edited(
        edited(candidate, "model", "name", value=baseline.model.name), "model", "args", value=baseline.model.args
    )
    assert {finding.id for finding in judge(same, baseline, scores).findings} == {"identity-unknown"}


def test_a_served_model_that_was_declared_is_known():
    candidate, baseline, scores = twins()
    served = [
        edited(
            edited(side, "model", "type", value="local-completions"), "model", "identity", value=f"sha256:{digit * 64}"
        )
        for side, digit in ((candidate, "a"), (baseline, "b"))
    ]
    assert {finding.id for finding in judge(*served, scores).findings} == {"loglikelihoods-equal"}


@pytest.mark.parametrize(("right", "outcome"), [(500, "INCONCLUSIVE"), (700, "PASS")])
@pytest.mark.parametrize("rule", [DROP, {"task": "t", "metric": "acc", "floor": 0.4}])
def test_an_endpoint_that_guesses_is_no_evidence(right, outcome, rule):
    values = [1.0] * right + [0.0] * (1000 - right)
    candidate, baseline, scores = pair({"t": values}, {"t": values})
    served = edited(candidate, "model", "type", value="local-completions")
    verdict = judge(served, baseline, scores, rule)
    assert verdict.outcome == outcome
    assert [finding.id for finding in verdict.findings] == (["chance-level"] if outcome == "INCONCLUSIVE" else [])
    assert "chance-level" not in {finding.id for finding in judge(candidate, baseline, scores, rule).findings}


def test_every_sign_is_in_the_documented_table():
    documented = str(health.__doc__)
    for sign in [
        *BROKEN,
        "loglikelihoods-equal",
        "answers-equal",
        "chance-level",
        "scores-missing",
        "identity-unknown",
    ]:
        assert f"\n{sign} " in documented


def test_a_table_from_nowhere_is_a_missing_one():
    candidate = result({"t": CANDIDATE}, run_id="new")
    baseline = result({"t": BASELINE}, run_id="old")
    assert [finding.id for finding in judge(candidate, baseline, Tables({})).findings] == ["scores-missing"]
