"""Ready rule sets: each is valid, says what its name says, and can be asked for by name."""

from __future__ import annotations

import pytest

from airflow_provider_lmeval.catalog import SUITES
from airflow_provider_lmeval.errors import GateError
from airflow_provider_lmeval.gate import NO_REGRESSION, Outcome, RuleSet, decide
from airflow_provider_lmeval.gate.rulesets import ready
from tests.support.tables import answers, pair, result


@pytest.mark.parametrize("name", [NO_REGRESSION, "open-llm-leaderboard", *SUITES])
def test_every_set_is_valid_and_blocks_on_something(name):
    rules = RuleSet.parse(name)
    assert rules == RuleSet.from_yaml(name) == RuleSet.parse(ready(name))
    assert any(rule.tier == "block" and rule.compares for rule in rules.rules)
    assert (rules.on_inconclusive, rules.on_error, rules.on_missing_baseline) == ("ask", "block", "warn")


def test_a_suites_set_shows_each_of_its_tasks_by_its_own_score():
    shown = {(rule.task, rule.metric) for rule in RuleSet.parse("open-llm-leaderboard-v1").rules if rule.tier == "info"}
    assert ("gsm8k", "exact_match,strict-match") in shown
    assert ("mmlu", "acc") in shown
    assert len(shown) == 6


def test_an_unknown_set_is_refused_with_near_matches():
    with pytest.raises(GateError, match="did you mean 'mmlu'"):
        ready("mmul")


def suite(lost, won, tasks=20, **others):
    """Return both sides of a suite whose tasks lost and won that many documents; ``others`` lost as many as they say."""
    made = {f"s{at}": answers(300, lost, won, 100) for at in range(tasks)}
    made |= {name: answers(300, count, 0, 100) for name, count in others.items()}
    return pair({name: one for name, (one, _) in made.items()}, {name: two for name, (_, two) in made.items()})


@pytest.mark.parametrize(
    ("lost", "won", "outcome", "action"),
    [(10, 10, "PASS", "allow"), (40, 5, "FAIL", "block"), (14, 10, "INCONCLUSIVE", "ask")],
)
def test_the_default_asks_of_the_suite_and_shows_the_tasks(lost, won, outcome, action):
    candidate, baseline, scores = suite(lost, won)
    verdict = decide(RuleSet.parse(NO_REGRESSION), candidate, baseline, scores)
    assert (verdict.outcome, verdict.action) == (outcome, action)
    pooled = [check for check in verdict.checks if check.tier == "block"]
    assert [check.outcome for check in pooled] == [outcome]
    assert len(verdict.checks) == 21


def test_one_bad_task_in_a_good_suite_is_shown_and_does_not_block():
    candidate, baseline, scores = suite(2, 8, tasks=30, bad=90)
    verdict = decide(RuleSet.parse(NO_REGRESSION), candidate, baseline, scores)
    bad = next(check for check in verdict.checks if check.task == "bad")
    assert (bad.found, bad.outcome) == (Outcome.FAIL, Outcome.PASS)
    assert verdict.outcome is not Outcome.FAIL


def test_the_first_run_of_all_warns():
    verdict = decide(RuleSet.parse(NO_REGRESSION), result({"s0": [1.0, 0.0]}, run_id="first"))
    assert (verdict.outcome, verdict.action) == (Outcome.WARN, "allow")


def test_a_suite_of_perplexities_is_judged_by_its_tasks():
    rules = RuleSet.parse("perplexity").rules
    assert {(rule.task, rule.metric) for rule in rules} == {
        ("wikitext", "word_perplexity"),
        ("lambada_openai", "perplexity"),
    }
    assert not any(rule.pool for rule in rules)
