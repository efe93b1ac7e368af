"""What a comparison can see: the formulas agree with each other and with what the gate then does."""

from __future__ import annotations

import numpy as np
import pytest

from airflow_provider_lmeval.gate.stats import proportions
from airflow_provider_lmeval.gate.stats.levels import level_of
from airflow_provider_lmeval.gate.stats.power import chance, detectable, required_n, rounded_up, stderr


def test_the_standard_error_of_a_paired_difference():
    assert stderr(0.1, 10_000) == pytest.approx(0.00316, abs=1e-5)
    assert stderr(0.1, 10_000, damage=0.05) < stderr(0.1, 10_000)
    assert stderr(0.0, 100) == 0


def test_a_detectable_effect_is_detected_with_the_power_it_was_asked_for():
    error = stderr(0.1, 5000)
    assert chance(error, detectable(error, 0.95), 0.95) == pytest.approx(0.8)
    assert chance(error, detectable(error, 0.95, power=0.9), 0.95) == pytest.approx(0.9)
    assert chance(0.0, 0.01, 0.95) == 1


def test_the_documents_that_would_decide_do_decide():
    n = required_n(1000, stderr(0.1, 1000), 0.01, 0.95)
    assert 6000 < n < 8000
    lost, won, _ = np.random.default_rng(0).multinomial(n, [0.05, 0.05, 0.9], size=4000).T
    passed = proportions.p_below(lost, won, n, 0.01, 0.95) <= level_of(0.95)
    assert passed.mean() == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize(("error", "distance"), [(0.01, 0.0), (float("inf"), 0.01), (0.5, 1e-6)])
def test_where_no_number_of_documents_decides_none_is_named(error, distance):
    assert required_n(1000, error, distance, 0.95) is None


def test_numbers_to_plan_with_are_rounded_up():
    assert [rounded_up(number) for number in (1, 9.2, 12, 101, 12_347)] == [1, 10, 12, 110, 13_000]
