"""The resampled distribution beyond its own resamples: p-values and bounds go on, and stay cautious."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr, ndtri

from airflow_provider_lmeval.gate.stats.bootstrap import RESAMPLES, p_above, p_below, quantiles

NORMAL = ndtri((np.arange(RESAMPLES) + 0.5) / RESAMPLES)


@pytest.mark.parametrize("distance", [3.5, 4.0, 5.0, 8.0])
def test_beyond_the_farthest_resample_p_values_keep_falling_and_stay_above_the_normal_ones(distance):
    assert ndtr(-distance) < p_above(NORMAL, distance) < p_above(NORMAL, distance - 0.2) <= 1 / (RESAMPLES + 1)
    assert p_below(NORMAL, -distance) == pytest.approx(p_above(NORMAL, distance))


@pytest.mark.parametrize("distance", [-1.0, 0.0, 1.0, 2.5])
def test_within_the_resamples_they_are_counted(distance):
    assert p_above(NORMAL, distance) == pytest.approx(np.mean(distance <= NORMAL), abs=0.002)


@pytest.mark.parametrize("level", [0.045, 0.0009, 0.00002])
def test_the_quantiles_are_where_the_p_values_reject(level):
    low, high = quantiles(NORMAL, level)
    assert p_above(NORMAL, high + 1e-9) <= level < p_above(NORMAL, high - 0.05)
    assert p_below(NORMAL, low - 1e-9) <= level < p_below(NORMAL, low + 0.05)


@pytest.mark.parametrize("distribution", [np.zeros(RESAMPLES), np.append(NORMAL[:-1], np.inf)])
def test_where_resamples_tell_nothing_of_a_tail_there_is_none(distribution):
    assert p_above(distribution, np.inf) in (1 / (RESAMPLES + 1), 2 / (RESAMPLES + 1))
    assert quantiles(distribution, 0.0001)[1] == np.inf
