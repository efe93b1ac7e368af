"""Scores against thresholds: every condition in both directions, at and around its edge, and in words."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from airflow_provider_lmeval.gate.assess import Comparison, assess, figures
from airflow_provider_lmeval.gate.rules import Condition
from airflow_provider_lmeval.results import Metric

SCORES = st.floats(-1e6, 1e6)


def score(value, n=120):
    return Metric(value=value, n=n)


def ask(condition, threshold, value, baseline=None, *, higher=True):
    reference = None if baseline is None else score(baseline)
    return assess(Comparison(Condition(condition), threshold, "tiny_mc", "acc,none", score(value), reference, higher))


@pytest.mark.parametrize(
    ("condition", "threshold", "value", "baseline", "higher", "outcome"),
    [
        ("floor", 0.8, 0.8, None, True, "PASS"),
        ("floor", 0.8, 0.79, None, True, "FAIL"),
        ("floor", 0.8, 0.79, None, None, "FAIL"),
        ("ceiling", 12, 12, None, False, "PASS"),
        ("ceiling", 12, 12.5, None, False, "FAIL"),
        ("max_drop", 0.01, 0.79, 0.8, True, "PASS"),  # 0.8 - 0.79 > 0.01 in binary floating point
        ("max_drop", 0.01, 0.78, 0.8, True, "FAIL"),
        ("max_drop", 0, 0.9, 0.8, True, "PASS"),
        ("max_drop", 1, 12.5, 12, False, "PASS"),
        ("max_drop", 0.1, 12.5, 12, False, "FAIL"),
        ("max_drop", 0, 11, 12, False, "PASS"),
        ("max_relative_drop", 0.1, 0.72, 0.8, True, "PASS"),
        ("max_relative_drop", 0.1, 0.71, 0.8, True, "FAIL"),
        ("max_relative_drop", 0.1, -1.05, -1, True, "PASS"),
        ("max_relative_drop", 0.1, 0, 0, True, "PASS"),
        ("max_relative_drop", 0.1, 0.1, 0, False, "FAIL"),
        ("min_improvement", 0.1, 0.9, 0.8, True, "PASS"),
        ("min_improvement", 0.1, 0.85, 0.8, True, "FAIL"),
        ("min_improvement", 1, 11, 12, False, "PASS"),
        ("min_improvement", 1, 13, 12, False, "FAIL"),
        ("max_drop", 0.1, 0.8, 0.8, None, "ERROR"),
    ],
)
def test_a_condition_holds_or_not(condition, threshold, value, baseline, higher, outcome):
    assert ask(condition, threshold, value, baseline, higher=higher).outcome == outcome


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (ask("floor", 0.8, 0.42), "tiny_mc acc 0.42 is below the floor 0.8 (n=120)"),
        (ask("floor", 0.8, 0.85), "tiny_mc acc 0.85 reaches the floor 0.8 (n=120)"),
        (ask("floor", 0.8, 0.79999), "tiny_mc acc 0.79999 is below the floor 0.8 (n=120)"),
        (ask("ceiling", 12, 12.5), "tiny_mc acc 12.5 is above the ceiling 12 (n=120)"),
        (ask("ceiling", 12, 11), "tiny_mc acc 11 stays within the ceiling 12 (n=120)"),
        (
            ask("max_drop", 0.01, 0.5, 0.75),
            "tiny_mc acc 0.5 is 0.25 worse than the baseline's 0.75; at most 0.01 worse is allowed (n=120)",
        ),
        (
            ask("max_relative_drop", 0.05, 12.5, 10, higher=False),
            "tiny_mc acc 12.5 is 25 % worse than the baseline's 10; at most 5 % worse is allowed (n=120)",
        ),
        (
            ask("max_relative_drop", 0.05, 0.5, 0, higher=False),
            "tiny_mc acc 0.5 is 0.5 worse than the baseline's 0; at most 0 worse is allowed (n=120)",
        ),
        (
            ask("min_improvement", 0.5, 0.75, 0.5),
            "tiny_mc acc 0.75 is 0.25 better than the baseline's 0.5; at least 0.5 better is required (n=120)",
        ),
        (
            ask("max_drop", 0.1, 0.5, 0.5),
            "tiny_mc acc 0.5 is equal to the baseline's 0.5; at most 0.1 worse is allowed (n=120)",
        ),
        (
            ask("max_drop", 0.1, 0.5, 0.5, higher=None),
            "tiny_mc does not say whether a higher acc is better; set direction: higher or direction: lower in the rule",
        ),
    ],
)
def test_the_answer_is_a_sentence_with_its_numbers(answer, words):
    assert answer.message == words


@given(SCORES, SCORES)
def test_numbers_that_differ_look_different(one, other):
    assume(one != other)
    shown = figures(one, other)
    assert shown[0] != shown[1]


@given(SCORES, SCORES, st.floats(0, 1e6))
def test_a_floor_is_monotone_in_the_score(threshold, value, more):
    if ask("floor", threshold, value).outcome == "PASS":
        assert ask("floor", threshold, value + more).outcome == "PASS"


@given(SCORES, st.floats(0, 0.999), st.booleans(), st.sampled_from(["max_drop", "max_relative_drop"]))
def test_equal_scores_never_fail_a_maximal_drop(value, threshold, higher, condition):
    assert ask(condition, threshold, value, value, higher=higher).outcome == "PASS"


@given(SCORES, SCORES, st.floats(0, 10))
def test_the_two_directions_mirror_each_other(value, baseline, threshold):
    for condition in ("max_drop", "min_improvement"):
        up = ask(condition, threshold, value, baseline, higher=True)
        assert up.outcome == ask(condition, threshold, -value, -baseline, higher=False).outcome


@given(
    st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False), st.booleans()
)
def test_no_finite_scores_break_it(value, baseline, higher):
    for condition in ("max_drop", "max_relative_drop", "min_improvement"):
        assert ask(condition, 0.1, value, baseline, higher=higher).outcome in ("PASS", "FAIL")
