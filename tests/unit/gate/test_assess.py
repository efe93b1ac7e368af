"""Scores against thresholds, in words: at and around the edge, with confidence and without."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from airflow_provider_lmeval.gate.assess import Bound, Comparison, as_mean, bound, compared, figures, interval, margin
from airflow_provider_lmeval.gate.rules import Condition
from airflow_provider_lmeval.gate.stats.noninferiority import judge_unpaired
from airflow_provider_lmeval.gate.stats.unpaired import Mean
from airflow_provider_lmeval.results import Metric

SCORES = st.floats(-1e6, 1e6)


def rate(value, n=120):
    return Metric(value=value, n=n, stderr=(value * (1 - value) / (n - 1)) ** 0.5)


def ask(condition, threshold, value, confidence=None, n=120):
    return bound(Bound(Condition(condition), threshold, "tiny_mc acc", rate(value, n), confidence))


def compare(condition, threshold, value, baseline, *, higher=True, stderr=0.001, n=120):
    allowed = margin(Condition(condition), threshold, baseline, None)
    sides = [Mean(each, stderr, n, rate=False) for each in (baseline, value)]
    answer = judge_unpaired(*sides, allowed, 0.95, higher=higher) if stderr else None
    scores = (Metric(value=each, n=n, stderr=stderr) for each in (value, baseline))
    asked = Comparison(Condition(condition), threshold, "tiny_mc acc", *scores, higher, allowed, answer, False, 0.95)
    return compared(asked)


@pytest.mark.parametrize(
    ("condition", "threshold", "value", "outcome"),
    [
        ("floor", 0.8, 0.8, "PASS"),
        ("floor", 0.8, 0.7999999999999999, "PASS"),  # a quotient in binary floating point
        ("floor", 0.8, 0.79, "FAIL"),
        ("ceiling", 0.2, 0.2, "PASS"),
        ("ceiling", 0.2, 0.21, "FAIL"),
    ],
)
def test_a_floor_is_compared_with_the_score_itself(condition, threshold, value, outcome):
    assert ask(condition, threshold, value).outcome == outcome


@pytest.mark.parametrize(
    ("condition", "threshold", "value", "outcome"),
    [
        ("floor", 0.8, 0.9, "PASS"),
        ("floor", 0.8, 0.82, "INCONCLUSIVE"),
        ("floor", 0.8, 0.78, "INCONCLUSIVE"),
        ("floor", 0.8, 0.6, "FAIL"),
        ("ceiling", 0.2, 0.1, "PASS"),
        ("ceiling", 0.2, 0.19, "INCONCLUSIVE"),
        ("ceiling", 0.2, 0.4, "FAIL"),
    ],
)
def test_with_confidence_a_floor_is_compared_with_the_bound(condition, threshold, value, outcome):
    assert ask(condition, threshold, value, 0.95).outcome == outcome


SENTENCES = {
    ask("floor", 0.8, 0.42): "tiny_mc acc 0.42 is below the floor 0.8 (n=120)",
    ask("floor", 0.8, 0.85): "tiny_mc acc 0.85 reaches the floor 0.8 (n=120)",
    ask("floor", 0.8, 0.79999): "tiny_mc acc 0.79999 is below the floor 0.8 (n=120)",
    ask("ceiling", 0.5, 0.625): "tiny_mc acc 0.625 is above the ceiling 0.5 (n=120)",
    ask("ceiling", 0.5, 0.25): "tiny_mc acc 0.25 stays within the ceiling 0.5 (n=120)",
    ask("floor", 0.8, 0.82, 0.95): (
        "tiny_mc acc 0.82 leaves open whether it keeps the floor 0.8, 95 % sure: 0.7533 to 0.8717; "
        "about 2,400 documents would decide (n=120)"
    ),
    compare("max_drop", 0.01, 0.5, 0.75): (
        "tiny_mc acc 0.5 is 0.25 worse than the baseline's 0.75, 95 % sure: at best 0.25 worse; "
        "0.01 worse is allowed (n=120, unpaired)"
    ),
    compare("max_drop", 0.01, 0.755, 0.75): (
        "tiny_mc acc 0.755 is 0.005 better than the baseline's 0.75, 95 % sure: at worst 0.0026 better; "
        "0.01 worse is allowed (n=120, unpaired)"
    ),
    compare("max_drop", 0.01, 0.74, 0.75, stderr=0.01): (
        "tiny_mc acc 0.74 is 0.01 worse than the baseline's 0.75, 95 % sure: from 0.014 better to 0.034 worse; "
        "0.01 worse is allowed; no reachable number of documents would decide (n=120, unpaired)"
    ),
    compare("max_drop", 0.02, 0.75, 0.75, stderr=0.01): (
        "tiny_mc acc 0.75 equals the baseline's, 95 % sure: from 0.024 better to 0.024 worse; "
        "0.02 worse is allowed; about 390 documents would decide (n=120, unpaired)"
    ),
    compare("max_relative_drop", 0.05, 12.5, 10, higher=False): (
        "tiny_mc acc 12.5 is 2.5 worse than the baseline's 10, 95 % sure: at best 2.5 worse; "
        "0.5 worse (5 %) is allowed (n=120, unpaired)"
    ),
    compare("min_improvement", 0.1, 0.75, 0.5): (
        "tiny_mc acc 0.75 is 0.25 better than the baseline's 0.5, 95 % sure: at worst 0.25 better; "
        "0.1 better is required (n=120, unpaired)"
    ),
    compare("max_drop", 0.1, 0.5, 0.5, stderr=None): (
        "tiny_mc acc 0.5 equals the baseline's; "
        "without documents or standard errors nobody knows how sure that is (n=120)"
    ),
}


@pytest.mark.parametrize(("answer", "words"), SENTENCES.items())
def test_the_answer_is_a_sentence_with_its_numbers(answer, words):
    assert answer.message == words


@pytest.mark.parametrize(
    ("condition", "threshold", "value", "baseline", "higher", "outcome"),
    [
        ("max_drop", 0.01, 0.799, 0.8, True, "PASS"),
        ("max_drop", 0.01, 0.78, 0.8, True, "FAIL"),
        ("max_drop", 0.01, 0.79, 0.8, True, "INCONCLUSIVE"),
        ("max_drop", 0, 0.9, 0.8, True, "PASS"),
        ("max_drop", 1, 12.5, 12, False, "PASS"),
        ("max_drop", 0.1, 12.5, 12, False, "FAIL"),
        ("max_relative_drop", 0.1, 0.73, 0.8, True, "PASS"),
        ("max_relative_drop", 0.1, 0.71, 0.8, True, "FAIL"),
        ("max_relative_drop", 0.1, -1.05, -1, True, "PASS"),
        ("max_relative_drop", 0.1, 0, 0, True, "INCONCLUSIVE"),
        ("min_improvement", 0.1, 0.91, 0.8, True, "PASS"),
        ("min_improvement", 0.1, 0.85, 0.8, True, "FAIL"),
        ("min_improvement", 1, 10.9, 12, False, "PASS"),
        ("min_improvement", 1, 13, 12, False, "FAIL"),
    ],
)
def test_a_comparison_is_decided_by_its_interval(condition, threshold, value, baseline, higher, outcome):
    assert compare(condition, threshold, value, baseline, higher=higher).outcome == outcome


def test_a_low_baseline_is_allowed_the_drop_of_the_guard():
    relative = Condition.MAX_RELATIVE_DROP
    assert margin(relative, 0.1, 0.5, 0.2) == pytest.approx(0.05)
    assert margin(relative, 0.1, 0.02, 0.2) == pytest.approx(0.02)
    assert margin(relative, 0.1, -4, None) == pytest.approx(0.4)
    assert margin(Condition.MAX_DROP, 0.1, 0.02, 0.2) == pytest.approx(0.1)


def test_a_share_of_right_answers_is_known_by_its_standard_error():
    assert as_mean(rate(0.7)).rate
    assert as_mean(rate(0.0)).rate
    assert not as_mean(Metric(value=0.7, n=120, stderr=0.04)).rate
    assert not as_mean(Metric(value=12.5, n=120, stderr=0.4)).rate
    assert as_mean(Metric(value=0.7, n=120)) is None


def test_an_interval_stays_within_what_a_rate_can_be():
    low, high = interval(rate(1.0, n=20), 0.95)
    assert 0.8 < low < high == 1
    assert interval(Metric(value=1.0, n=20), 0.95) is None
    assert interval(Metric(value=5.0, n=20, stderr=1.0), 0.95)[1] > 6


@given(SCORES, SCORES)
def test_numbers_that_differ_look_different(one, other):
    assume(one != other)
    shown = figures(one, other)
    assert shown[0] != shown[1]


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.sampled_from([None, 0.9]))
def test_a_floor_is_monotone_in_the_score(threshold, value, more, confidence):
    if ask("floor", threshold, value, confidence).outcome == "PASS":
        assert ask("floor", threshold, min(1.0, value + more), confidence).outcome == "PASS"


@given(SCORES, st.floats(0, 0.999), st.booleans(), st.sampled_from(["max_drop", "max_relative_drop"]))
def test_equal_scores_never_fail_a_maximal_drop(value, threshold, higher, condition):
    assert compare(condition, threshold, value, value, higher=higher).outcome in ("PASS", "INCONCLUSIVE")


@given(SCORES, SCORES, st.floats(0, 10))
def test_the_two_directions_mirror_each_other(value, baseline, threshold):
    for condition in ("max_drop", "min_improvement"):
        up = compare(condition, threshold, value, baseline, higher=True)
        assert up.outcome == compare(condition, threshold, -value, -baseline, higher=False).outcome


@given(
    st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False), st.booleans()
)
def test_no_finite_scores_break_it(value, baseline, higher):
    for condition in ("max_drop", "max_relative_drop", "min_improvement"):
        answer = compare(condition, 0.1, value, baseline, higher=higher)
        assert answer.outcome in ("PASS", "FAIL", "INCONCLUSIVE")
        assert answer.message
