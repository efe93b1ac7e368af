"""Two models compared document by document: what passes, what fails, what stays open, and what is said about it."""

from __future__ import annotations

import json
import math
import random

import pytest

from airflow_provider_lmeval.gate import Outcome, RuleSet, decide
from airflow_provider_lmeval.gate.evidence import LISTED
from airflow_provider_lmeval.results import EvalResult
from airflow_provider_lmeval.wire import dump
from tests.support.evidence import metric
from tests.support.tables import Tables, answers, pair, result, scored, tables

DROP = {"task": "t", "metric": "acc", "max_drop": 0.01}


def judge(sides, *rules, **policies):
    candidate, baseline, scores = sides
    return decide(RuleSet.parse({"rules": rules or [DROP], **policies}), candidate, baseline, scores)


def one(right=0, lost=0, won=0, wrong=0, **options):
    candidate, baseline = answers(right, lost, won, wrong)
    return pair({"t": candidate}, {"t": baseline}, **options)


def ids(verdict):
    return [finding.id for finding in verdict.findings]


@pytest.mark.parametrize(
    ("counts", "outcome"),
    [
        ((7000, 300, 300, 2400), "PASS"),
        ((7000, 600, 300, 2100), "FAIL"),
        ((7000, 380, 300, 2320), "INCONCLUSIVE"),
        ((70, 0, 0, 30), "INCONCLUSIVE"),
        ((0, 0, 500, 500), "PASS"),
    ],
)
def test_a_drop_is_decided_by_the_documents(counts, outcome):
    verdict = judge(one(*counts))
    assert verdict.outcome == outcome
    (check,) = verdict.checks
    assert check.statistics.paired
    assert check.statistics.n == sum(counts)
    assert (check.statistics.flips.worse, check.statistics.flips.better) == (counts[1], counts[2])
    assert json.loads(dump(verdict.to_data())) == verdict.to_data()


def test_pairing_sees_what_two_averages_cannot():
    candidate, baseline, scores = one(7000, 330, 300, 2370)
    assert judge((candidate, baseline, scores)).outcome is Outcome.PASS
    blind = judge((candidate, baseline, None))
    assert blind.outcome is Outcome.INCONCLUSIVE
    assert ids(blind) == ["scores-missing"]
    assert not blind.checks[0].statistics.paired
    assert blind.checks[0].statistics.n_to_decide > 10_000


def test_an_open_comparison_says_what_would_decide_it():
    (check,) = judge(one(700, 50, 50, 200)).checks
    assert check.found is Outcome.INCONCLUSIVE
    assert check.statistics.n_to_decide == pytest.approx(6500, rel=0.05)
    assert "about 6,500 documents would decide" in check.message
    assert check.statistics.minimum_detectable_effect == pytest.approx(0.0254, abs=0.001)


def test_what_is_decided_needs_no_more_documents():
    (check,) = judge(one(7000, 300, 300, 2400)).checks
    assert check.statistics.n_to_decide is None
    assert check.statistics.minimum_detectable_effect < 0.01


@pytest.mark.parametrize("worse", [3, 200])
def test_documents_that_flipped_are_listed_and_all_are_counted(worse):
    (check,) = judge(one(500, worse, 2, 100)).checks
    flips = check.statistics.flips
    assert (flips.worse, flips.better) == (worse, 2)
    assert len(flips.documents) == min(worse, LISTED) + 2
    lost, won = flips.documents[0], flips.documents[-1]
    assert (lost.candidate, lost.baseline, won.candidate, won.baseline) == (0, 1, 1, 0)
    assert 500 <= lost.doc_id < 500 + worse


def test_a_rule_for_many_tasks_lists_fewer_documents_of_each():
    made = {f"s{at}": answers(100, 30, 30, 100) for at in range(30)}
    sides = pair({name: one for name, (one, _) in made.items()}, {name: two for name, (_, two) in made.items()})
    verdict = judge(sides, {"task": "s*", "metric": "acc", "max_drop": 0.05})
    listed = [check.statistics.flips.documents for check in verdict.checks]
    assert [len(documents) for documents in listed] == [2] * 30
    pooled = judge(sides, {"task": "s*", "metric": "acc", "max_drop": 0.05, "pool": True}).checks[0].statistics.flips
    assert (pooled.worse, len(pooled.documents)) == (900, 2 * LISTED)


def test_what_is_shown_only_lists_no_documents():
    (check,) = judge(one(500, 9, 2, 100), DROP | {"tier": "info"}).checks
    assert (check.statistics.flips.worse, check.statistics.flips.documents) == (9, ())


def test_the_order_of_tables_does_not_matter():
    candidate, baseline, scores = one(500, 30, 20, 100)
    shuffled = {key: random.Random(2).sample(rows, len(rows)) for key, rows in scores.tables.items()}
    assert judge((candidate, baseline, Tables(shuffled))) == judge((candidate, baseline, scores))


def test_lower_may_be_better():
    verdict = judge(one(7000, 600, 300, 2100, higher=False))
    assert verdict.outcome is Outcome.PASS
    assert verdict.checks[0].statistics.flips.worse == 300


def test_an_improvement_has_to_be_shown():
    better = {"task": "t", "metric": "acc", "min_improvement": 0.01}
    assert judge(one(7000, 200, 500, 2300), better).outcome is Outcome.PASS
    assert judge(one(7000, 300, 330, 2370), better).outcome is Outcome.FAIL
    assert judge(one(700, 30, 40, 230), better).outcome is Outcome.INCONCLUSIVE


def test_a_relative_drop_is_relative_to_the_baseline_and_guarded():
    sides = one(100, 40, 0, 9860)
    relative = {"task": "t", "metric": "acc", "max_relative_drop": 0.05}
    assert judge(sides, relative).outcome is Outcome.FAIL
    guarded = judge(sides, relative | {"relative_guard_below": 0.2})
    assert guarded.outcome is Outcome.PASS
    assert guarded.checks[0].statistics.margin == pytest.approx(0.01)


def test_confidence_is_the_rules_or_the_sets():
    sides = one(1700, 20, 20, 260)
    assert judge(sides).outcome is Outcome.PASS
    assert judge(sides, confidence=0.999).outcome is Outcome.INCONCLUSIVE
    assert judge(sides, DROP | {"confidence": 0.95}, confidence=0.999).outcome is Outcome.PASS


def test_every_check_shows_how_sure_its_score_is():
    (check,) = judge(one(70, 0, 0, 30), {"task": "t", "metric": "acc", "floor": 0.5}).checks
    assert check.interval == pytest.approx((0.618, 0.770), abs=0.005)
    assert check.statistics is None


def test_tables_are_read_once_and_only_where_something_is_compared():
    candidate, baseline, scores = one(500, 30, 20, 100)
    judge((candidate, baseline, scores), DROP, DROP | {"max_drop": 0.05}, {"task": "t", "metric": "acc", "floor": 0.1})
    assert scores.asked == [("candidate", "t"), ("baseline", "t")]
    floors = Tables(scores.tables)
    judge((candidate, baseline, floors), {"task": "t", "metric": "acc", "floor": 0.1})
    assert floors.asked == []


class TestOtherMetrics:
    """Scores that are not right or wrong."""

    def test_bounded_scores_are_resampled(self):
        rng = random.Random(0)
        baseline = [rng.random() for _ in range(3000)]
        candidate = [min(1, max(0, value + rng.uniform(-0.1, 0.1))) for value in baseline]
        verdict = judge(pair({"t": candidate}, {"t": baseline}, key="rouge1,none"), DROP | {"metric": "rouge1"})
        assert verdict.outcome is Outcome.PASS
        assert "paired bootstrap-t" in verdict.checks[0].statistics.methods

    def test_perplexities_are_compared_by_their_texts(self):
        rng = random.Random(1)
        baseline = [[-rng.uniform(100, 400), rng.randint(50, 120)] for _ in range(62)]
        candidate = [[logs * rng.uniform(0.999, 1.002), words] for logs, words in baseline]

        def side(values, run_id):
            value = math.exp(-sum(row[0] for row in values) / sum(row[1] for row in values))
            entry = metric(value, n=62, higher=False, stderr=None)
            made = result({"t": [0.5] * 62}, run_id=run_id).to_data()
            made["tasks"]["t"]["metrics"] = {"word_perplexity,none": entry}
            return EvalResult.parse(made)

        scores = tables({"t": candidate}, {"t": baseline}, "word_perplexity,none")
        rule = {"task": "t", "metric": "word_perplexity", "max_relative_drop": 0.01}
        verdict = judge((side(candidate, "new"), side(baseline, "old"), scores), rule)
        assert verdict.outcome is Outcome.PASS
        assert verdict.checks[0].statistics.paired
        assert verdict.checks[0].statistics.flips.worse + verdict.checks[0].statistics.flips.better == 62

    def test_a_score_that_is_no_function_of_its_documents_is_compared_by_its_standard_error(self):
        verdict = judge(one(700, 50, 50, 200, value=0.31))
        assert ids(verdict) == ["scores-not-comparable"]
        assert not verdict.checks[0].statistics.paired

    def test_texts_instead_of_numbers_are_compared_by_their_standard_error(self):
        sides = pair({"t": [None] * 50}, {"t": [None] * 50}, key="bleu,none", value=30.5)
        verdict = judge(sides, DROP | {"metric": "bleu"})
        assert ids(verdict) == ["scores-not-comparable"]
        assert verdict.outcome is Outcome.INCONCLUSIVE

    def test_without_a_standard_error_nothing_passes(self):
        candidate, baseline, _ = pair({"t": [1.0]}, {"t": [1.0]})
        verdict = judge((candidate, baseline, None), DROP | {"max_drop": 5})
        assert verdict.outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("counts", [(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 0, 1), (300, 0, 0, 0), (0, 0, 0, 300)])
def test_one_document_and_all_equal_ones_have_answers(counts):
    verdict = judge(one(*counts))
    assert verdict.outcome in (Outcome.INCONCLUSIVE, Outcome.FAIL)
    assert verdict.checks[0].statistics.upper > 0


def test_a_first_run_without_a_baseline_checks_floors_and_warns():
    candidate = result({"t": [1.0] * 80 + [0.0] * 20}, run_id="first")
    rules = RuleSet.parse([DROP | {"floor": 0.7}])
    assert decide(rules, candidate).outcome is Outcome.WARN
    assert decide(RuleSet.parse([DROP | {"floor": 0.9}]), candidate).outcome is Outcome.FAIL


def test_scored_is_what_lm_eval_reports():
    assert scored([1.0, 0.0, 1.0, 1.0])["stderr"] == pytest.approx(0.25)


class TestManyComparisons:
    """What is claimed of one task has to stand against the chance that one of all of them looks so by luck."""

    def verdict(self, lost, count=20):
        odd, usual = answers(900, lost, 10, 90 - lost), answers(900, 2, 2, 96)
        sides = {"t0": odd} | {f"t{n}": usual for n in range(1, count)}
        candidate, baseline = ({name: side[at] for name, side in sides.items()} for at in (0, 1))
        verdict = judge(pair(candidate, baseline), DROP | {"task": "t*"})
        return next(check for check in verdict.checks if check.task == "t0")

    def test_an_open_check_whose_bound_is_beyond_the_margin_says_why(self):
        check = self.verdict(lost=36)
        assert check.outcome is Outcome.INCONCLUSIVE
        assert check.statistics.lower > check.statistics.margin
        assert "one of 20 comparisons together may look so by luck (Holm)" in check.message

    def test_alone_it_would_have_failed(self):
        assert judge(one(900, 36, 10, 54)).outcome is Outcome.FAIL

    def test_documents_that_would_decide_are_those_that_holm_wants(self):
        assert self.verdict(lost=36).statistics.n_to_decide > 2000

    def test_a_collapse_on_one_task_of_sixty_fails_also_where_scores_are_resampled(self):
        rng = random.Random(2)
        scores = {f"t{n}": [rng.random() for _ in range(100)] for n in range(60)}
        collapsed = scores | {"t7": [max(0.0, value - 0.5 - rng.uniform(0, 0.1)) for value in scores["t7"]]}
        verdict = judge(pair(collapsed, scores, key="f1,none"), DROP | {"task": "t*", "metric": "f1"})
        assert [check.task for check in verdict.checks if check.outcome is Outcome.FAIL] == ["t7"]


@pytest.mark.parametrize("confidence", [0.95, 0.999])
def test_the_number_that_would_decide_is_never_one_that_did_not(confidence):
    rng = random.Random(3)
    values = {f"t{n}": [rng.random() for _ in range(25)] for n in range(3)}
    noisy = {name: [min(1, max(0, each + rng.gauss(0.02, 0.02))) for each in side] for name, side in values.items()}
    pooled = {"task": "t*", "metric": "f1", "pool": True, "max_drop": 0.01}
    (check,) = judge(pair(noisy, values, key="f1,none"), pooled, confidence=confidence).checks
    found = check.statistics
    assert check.found is not Outcome.INCONCLUSIVE or found.n_to_decide is None or found.n_to_decide > found.n


def test_few_clusters_ask_for_more_documents_than_there_are():
    gains = {"a": answers(4000, 100, 160, 740), "b": answers(4000, 100, 110, 790)}
    sides = ({name: side[at] for name, side in gains.items()} for at in (0, 1))
    (check,) = judge(pair(*sides), {"task": "*", "metric": "acc", "pool": True, "max_drop": 0.01}).checks
    assert check.found is Outcome.INCONCLUSIVE
    assert check.statistics.n_to_decide > check.statistics.n == 10_000
