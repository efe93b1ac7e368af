"""The exact and the score test for paired proportions: they keep their level, and their bounds belong to them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lmeval.gate.stats import proportions
from airflow_provider_lmeval.gate.stats.levels import level_of

TABLE = st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(0, 2000)).filter(lambda t: sum(t) > 0)


@pytest.mark.parametrize(("n", "discordance"), [(100, 0.05), (300, 0.01), (1000, 0.02), (2000, 0.2)])
def test_a_model_at_the_margin_passes_in_less_than_five_percent(n, discordance):
    rng = np.random.default_rng(0)
    shares = [(discordance + 0.01) / 2, (discordance - 0.01) / 2, 1 - discordance]
    lost, won, _ = rng.multinomial(n, shares, size=4000).T
    passed = proportions.p_below(lost, won, n, 0.01, 0.95) <= level_of(0.95)
    assert passed.mean() <= 0.05


def test_answering_alike_proves_only_as_much_as_there_are_documents():
    assert float(proportions.p_below([0], [0], 100, 0.01, 0.95)[0]) == pytest.approx(0.99**100, abs=1e-6)
    assert proportions.upper_bound(0, 0, 100, 0.95) > 0.01
    assert proportions.upper_bound(0, 0, 400, 0.95) < 0.01


@given(TABLE)
def test_the_two_bounds_are_on_their_sides_of_the_estimate_and_mirror_each_other(table):
    b, c, rest = table
    n = b + c + rest
    low, high = proportions.lower_bound(b, c, n, 0.95), proportions.upper_bound(b, c, n, 0.95)
    assert -1 <= low <= (b - c) / n <= high <= 1
    assert (low, high) == (-proportions.upper_bound(c, b, n, 0.95), -proportions.lower_bound(c, b, n, 0.95))


@given(TABLE)
def test_a_bound_is_where_the_test_begins_to_reject(table):
    b, c, rest = table
    n = b + c + rest
    high = proportions.upper_bound(b, c, n, 0.95)
    if high < 1:
        step = (high - (b - c) / n) / 50
        assert proportions.p_below([b], [c], n, min(high + step, 1), 0.95)[0] <= level_of(0.95)
        assert proportions.p_below([b], [c], n, high - step, 0.95)[0] > level_of(0.95)


@given(TABLE, st.sampled_from([0.8, 0.9, 0.99]))
def test_more_confidence_asks_for_more_distance(table, confidence):
    b, c, rest = table
    n = b + c + rest
    higher = proportions.upper_bound(b, c, n, confidence + 0.005)
    assert higher >= proportions.upper_bound(b, c, n, confidence) - 1e-4


def test_where_the_methods_meet_they_agree():
    few, many = proportions.upper_bound(51, 49, 2000, 0.95), proportions.upper_bound(51, 50, 2000, 0.95)
    assert few == pytest.approx(many, abs=1.2e-3)


def test_extreme_tables_have_bounds():
    assert proportions.upper_bound(5, 0, 5, 0.95) == 1
    assert proportions.lower_bound(0, 5, 5, 0.95) == -1
    assert proportions.upper_bound(3000, 0, 3000, 0.95) == pytest.approx(1, abs=1e-5)
    assert -1 <= proportions.lower_bound(1, 0, 1, 0.95) <= 1
