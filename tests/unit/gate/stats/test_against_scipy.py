"""Our formulas against SciPy's and NumPy's independent ones, on a thousand random tables each."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from airflow_provider_lmeval.gate.stats import mcnemar, tango, trinomial, unpaired
from airflow_provider_lmeval.gate.stats.cluster import clustered_mean
from airflow_provider_lmeval.gate.stats.multiplicity import holm
from airflow_provider_lmeval.gate.stats.permutation import p_worse
from airflow_provider_lmeval.gate.stats.wilson import wilson

TABLES = [tuple(map(int, row)) for row in np.random.default_rng(6).integers(0, (400, 400, 2000), size=(1000, 3))]
"""Lost, won, and unchanged documents."""


def test_mcnemars_exact_p_values():
    for lost, won, _ in TABLES:
        if lost + won:
            one = stats.binomtest(lost, lost + won, 0.5, alternative="greater").pvalue
            both = stats.binomtest(lost, lost + won, 0.5).pvalue
            assert float(mcnemar.p_worse(lost, won)) == pytest.approx(one, abs=1e-9)
            assert float(mcnemar.p_different(lost, won)) == pytest.approx(both, abs=1e-9)


def test_mcnemars_test_takes_arrays():
    lost, won, _ = np.array(TABLES).T
    assert mcnemar.p_worse(lost, won)[:5].tolist() == [float(mcnemar.p_worse(b, c)) for b, c, _ in TABLES[:5]]
    assert mcnemar.p_worse(0, 0) == mcnemar.p_different(0, 0) == 1


def test_wilsons_interval():
    for lost, _, kept in TABLES:
        n = lost + kept + 1
        low, high = stats.binomtest(lost, n).proportion_ci(0.9, method="wilson")
        assert wilson(lost, n, 0.05) == pytest.approx((low, high), abs=1e-9)


def test_clopper_and_pearsons_interval():
    for lost, _, kept in TABLES:
        n = lost + kept + 1
        low, high = stats.binomtest(lost, n).proportion_ci(0.95, method="exact")
        assert trinomial.clopper_pearson(lost, n, 0.05) == pytest.approx((low, high), abs=1e-9)


def test_clusters_of_equal_size_give_the_t_test_of_their_means():
    rng = np.random.default_rng(1)
    for _ in range(1000):
        means = rng.normal(size=rng.integers(3, 60))
        expected = stats.ttest_1samp(means, 0.1, alternative="less").pvalue
        sizes = np.full(len(means), 25)
        assert float(clustered_mean(means * 25, sizes).p_below(0.1)) == pytest.approx(expected, abs=1e-9)


def test_tangos_score_with_no_margin_is_mcnemars_asymptotic_one():
    for lost, won, kept in TABLES:
        if lost + won:
            expected = stats.norm.cdf((lost - won) / (lost + won) ** 0.5)
            assert float(tango.p_below(lost, won, lost + won + kept, 0.0)) == pytest.approx(expected, abs=1e-9)


def test_tangos_nuisance_parameter_maximises_the_likelihood():
    for lost, won, kept in TABLES[:100]:
        n, delta = lost + won + kept + 1, 0.02
        grid = np.linspace(1e-6, (1 - delta) / 2 - 1e-6, 20_001)
        same = n - lost - won
        likelihood = lost * np.log(grid + delta) + won * np.log(grid) + same * np.log(1 - 2 * grid - delta)
        best = grid[np.argmax(likelihood)]
        variance = n * (2 * best + delta - delta**2)
        expected = (lost - won - n * delta) / variance**0.5
        assert float(tango.statistic(lost, won, n, delta)) == pytest.approx(expected, rel=2e-3, abs=2e-3)


def test_the_exact_test_sums_what_a_table_of_all_outcomes_sums():
    n, delta, b, c = 12, 0.2, 1, 2
    discordance = np.array([0.5])
    p, q = 0.35, 0.15
    observed = trinomial._statistic(np.float64(b), np.float64(c), n, delta)
    total = sum(
        stats.multinomial.pmf([i, j, n - i - j], n, [p, q, 1 - p - q])
        for i in range(n + 1)
        for j in range(n + 1 - i)
        if trinomial._statistic(np.float64(i), np.float64(j), n, delta) <= observed + 1e-12
    )
    assert trinomial._tail(b, c, n, delta, discordance)[0] == pytest.approx(total, abs=1e-9)


def test_the_permutation_test_counts_what_all_sign_changes_give():
    damage = np.array([0.5, 0.25, 0.25, -0.125, 0.75, 0.5, -0.25, 0.5, 0.125, 0.25])
    exact = stats.permutation_test(
        (damage,), np.mean, permutation_type="samples", alternative="greater", n_resamples=np.inf
    ).pvalue
    assert p_worse(damage) == pytest.approx(exact, abs=0.01)


def test_unpaired_averages_are_compared_by_their_standard_errors():
    found = unpaired.difference(unpaired.Mean(12.5, 0.3, 62, rate=False), unpaired.Mean(12.0, 0.4, 62, rate=False))
    assert found.p_below(1.0) == pytest.approx(stats.norm.cdf(-1.0), abs=1e-12)
    assert unpaired.difference(unpaired.Mean(1, 0, 9, rate=False), unpaired.Mean(1, 0, 9, rate=False)) is None


def test_holms_adjusted_p_values_are_those_of_r():
    # p.adjust(c(0.01, 0.04, 0.03, 0.005), method = "holm")
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.7, 0.9]) == [1.0, 1.0]
