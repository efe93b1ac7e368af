"""Paired samples of all kinds: decisions, bounds, and what a sample cannot say."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from airflow_provider_lmeval.gate.stats.levels import level_of
from airflow_provider_lmeval.gate.stats.noninferiority import MIN_DOCUMENTS, Sample, judge, judge_unpaired
from airflow_provider_lmeval.gate.stats.unpaired import Mean


def flips(n, lost, won):
    return np.repeat([1.0, -1.0, 0.0], [lost, won, n - lost - won])


def clusters(values, count):
    parts = np.array_split(values, count)
    return np.array([part.sum() for part in parts]), np.array([len(part) for part in parts])


DAMAGE = st.sampled_from([0.0, 1.0, -1.0]) | st.floats(-1, 1)
SAMPLES = arrays(np.float64, st.integers(1, 120), elements=DAMAGE)


@pytest.mark.parametrize(
    ("n", "lost", "won", "margin", "decision"),
    [
        (10_000, 500, 500, 0.01, "PASS"),
        (10_000, 700, 400, 0.01, "FAIL"),
        (1_000, 50, 50, 0.01, "INCONCLUSIVE"),
        (100, 0, 0, 0.01, "INCONCLUSIVE"),
        (100, 0, 0, 0.05, "PASS"),
        (100, 30, 0, 0.01, "FAIL"),
        (1, 0, 0, 0.01, "INCONCLUSIVE"),
        (10_000, 300, 600, -0.01, "PASS"),
        (10_000, 500, 500, -0.01, "FAIL"),
    ],
)
def test_right_or_wrong_answers_are_decided_exactly(n, lost, won, margin, decision):
    answer = judge(Sample(flips(n, lost, won), spread=1), margin, 0.95)
    assert answer.decision(0.95) == decision
    assert answer.damage == pytest.approx((lost - won) / n)


@given(SAMPLES, st.floats(-0.2, 0.2), st.sampled_from([0.8, 0.95, 0.99]), st.integers(1, 4))
def test_the_decision_is_the_side_of_the_margin_on_which_the_interval_lies(values, margin, confidence, count):
    joint = clusters(values, count) if 1 < count <= len(values) else None
    answer = judge(Sample(values, spread=1, clusters=joint), margin, confidence)
    assert answer.lower <= answer.damage <= answer.upper
    decision = answer.decision(confidence)
    if decision == "PASS":
        assert answer.upper <= margin
    elif decision == "FAIL":
        assert answer.lower >= margin
    else:
        assert answer.lower <= margin <= answer.upper


@given(SAMPLES)
def test_what_is_damage_to_one_model_is_gain_to_the_other(values):
    one, other = (judge(Sample(sign * values, spread=1), 0.0, 0.95) for sign in (1, -1))
    assert one.damage == pytest.approx(-other.damage)
    if one.decision(0.95) == "PASS":
        assert other.decision(0.95) != "PASS"


@given(SAMPLES, st.randoms(use_true_random=False))
def test_the_order_of_right_or_wrong_answers_does_not_matter(values, random):
    rounded = np.sign(values)
    shuffled = np.array(random.sample(rounded.tolist(), len(rounded)))
    assert judge(Sample(rounded, spread=1), 0.01, 0.95) == judge(Sample(shuffled, spread=1), 0.01, 0.95)


def test_a_larger_margin_is_never_harder():
    rng = np.random.default_rng(3)
    values = rng.choice([0.0, 0.4, -0.4, 1.0], p=[0.8, 0.08, 0.08, 0.04], size=2000)
    p = [judge(Sample(values, spread=1), margin, 0.95).p_within for margin in (0, 0.01, 0.03, 0.05, 0.1)]
    assert all(one >= other for one, other in pairwise(p))


def test_scores_that_are_not_right_or_wrong_are_resampled():
    rng = np.random.default_rng(2)
    noise = rng.uniform(-0.3, 0.3, 4000)
    assert judge(Sample(noise, spread=1), 0.02, 0.95).decision(0.95) == "PASS"
    assert judge(Sample(noise + 0.05, spread=1), 0.02, 0.95).decision(0.95) == "FAIL"
    assert judge(Sample(noise, spread=1), 0.0, 0.95).decision(0.95) == "INCONCLUSIVE"
    assert "paired bootstrap-t" in judge(Sample(noise, spread=1), 0.0, 0.95).methods


def test_the_same_evidence_gives_the_same_numbers():
    values = np.random.default_rng(4).normal(size=500)
    assert judge(Sample(values, spread=None), 0.1, 0.95) == judge(Sample(values, spread=None), 0.1, 0.95)


def test_a_bootstrap_keeps_its_level_on_skewed_scores():
    rng = np.random.default_rng(5)
    passed = 0
    for _ in range(400):
        values = np.where(rng.random(150) < 0.2, rng.exponential(0.05, 150), 0.0)
        passed += judge(Sample(values, spread=None), 0.01, 0.95).decision(0.95) == "PASS"
    assert passed / 400 <= 0.07


@pytest.mark.parametrize("n", [1, MIN_DOCUMENTS - 1])
def test_a_handful_of_scores_says_nothing(n):
    answer = judge(Sample(np.full(n, -0.5), spread=1), 0.01, 0.95)
    assert answer.decision(0.95) == "INCONCLUSIVE"
    assert answer.p_within == answer.p_beyond == 1


def test_scores_without_any_difference_prove_only_as_much_as_there_are_documents():
    alike = [judge(Sample(np.full(n, 0.0) + 1e-300, spread=1), 0.01, 0.95) for n in (100, 400)]
    assert [answer.decision(0.95) for answer in alike] == ["INCONCLUSIVE", "PASS"]


def test_clumps_widen_the_interval_and_are_measured():
    values = np.concatenate([flips(200, 40 if at % 2 else 0, 0 if at % 2 else 40) for at in range(20)])
    plain = judge(Sample(values, spread=1), 0.02, 0.95)
    joint = judge(Sample(values, spread=1, clusters=clusters(values, 20)), 0.02, 0.95)
    assert joint.upper > plain.upper
    assert joint.design_effect > 5
    assert joint.clusters == 20
    assert (plain.decision(0.95), joint.decision(0.95)) == ("PASS", "INCONCLUSIVE")


def test_subtasks_that_happen_to_agree_do_not_make_an_answer_surer():
    values = flips(400, 20, 20)
    even = (np.zeros(4), np.full(4, 100))
    joint, plain = (
        judge(Sample(values, spread=1, clusters=even), 0.01, 0.95),
        judge(Sample(values, spread=1), 0.01, 0.95),
    )
    assert (joint.lower, joint.upper, joint.p_within) == (plain.lower, plain.upper, plain.p_within)


def test_damage_in_every_subtask_fails_though_two_say_nothing_about_a_third():
    values = np.concatenate([flips(150, 60, 5), flips(150, 90, 2)])
    both = judge(Sample(values, spread=1, clusters=clusters(values, 2)), 0.02, 0.95)
    assert both.decision(0.95) == "FAIL"
    mixed = np.concatenate([flips(150, 5, 5), flips(150, 120, 2)])
    assert judge(Sample(mixed, spread=1, clusters=clusters(mixed, 2)), 0.02, 0.95).decision(0.95) == "INCONCLUSIVE"


def test_one_huge_subtask_among_small_ones_is_hardly_more_than_one():
    values = np.concatenate([flips(9700, 400, 400), *[flips(100, 5, 5)] * 3])
    sizes = np.array([9700, 100, 100, 100])
    sums = np.array([0.0, 0.0, 0.0, 0.0])
    sums[0] = 40
    values[:40] = 1.0
    answer = judge(Sample(values, spread=1, clusters=(sums, sizes)), 0.02, 0.95)
    assert answer.decision(0.95) == "INCONCLUSIVE"


def test_averages_without_documents_are_compared_more_cautiously():
    one, other = Mean(0.70, 0.00458, 10_000, rate=True), Mean(0.70, 0.00458, 10_000, rate=True)
    unpaired = judge_unpaired(one, other, 0.01, 0.95, higher=True)
    paired = judge(Sample(flips(10_000, 500, 500), spread=1), 0.01, 0.95)
    assert unpaired.upper > 1.5 * paired.upper
    assert unpaired.decision(0.95) == "INCONCLUSIVE"
    assert judge_unpaired(one, other, 0.03, 0.95, higher=True).decision(0.95) == "PASS"


def test_the_decision_level_leaves_a_reserve():
    assert level_of(0.95) == pytest.approx(0.045)
