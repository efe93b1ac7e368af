"""The bootstrap-t: bounds for the mean of anything, skewed or bounded, from the documents themselves.

It studentises each resample, which is what makes one-sided bounds right to the second order where the percentile and
normal intervals are not. Source: Efron & Tibshirani 1993, "An Introduction to the Bootstrap", section 12.5; Hall 1988
(Ann. Statist. 16:927). Seeded: the same evidence gives the same verdict.

Beyond the farthest resample the tail is continued as an exponential one, fitted to the resamples before it, after
Knijnenburg et al. 2009, "Fewer permutations, more accurate P-values" (Bioinformatics 25:i161), whose generalised Pareto
tail it is with shape 0: heavier than a normal tail, so rather too cautious. Without it no p-value could be below a
thousandth, and a model that collapsed on one of fifty tasks could not fail Holm's correction.
"""

from __future__ import annotations

import math
from typing import Any

from airflow_provider_lmeval.gate.stats.standardise import standardised

RESAMPLES = 999
"""With the observed value a round thousand, so that levels fall on whole resamples."""
UNITS = 10_000
"""More documents than this are resampled in random blocks: the variance of the mean stays, the work does not grow."""
SEED = 20_240_229
TAIL = 100
"""Resamples on either side that its tail is fitted to."""
_CHUNK = 2_000_000
"""Values drawn at a time: 16 MB."""


def studentised(values: Any) -> Any:
    """Return the distribution of ``(mean - true mean) / stderr``, sorted, by resampling.

    Resamples without any spread count as infinitely far away, on the side that makes bounds wider.

    :param values: one number per document, at least two.
    """
    import numpy as np

    units = blocks(np.asarray(values, dtype=np.float64))
    rng = np.random.Generator(np.random.PCG64(SEED))
    rows = max(1, _CHUNK // len(units))
    parts = []
    for start in range(0, RESAMPLES, rows):
        drawn = units[rng.integers(0, len(units), size=(min(rows, RESAMPLES - start), len(units)))]
        parts.append(_statistics(drawn, units.mean()))
    return np.sort(np.concatenate(parts))


def _statistics(drawn: Any, true: float) -> Any:
    distance = drawn.mean(axis=1) - true
    return standardised(distance, drawn.std(axis=1, ddof=1) / drawn.shape[1] ** 0.5)


def blocks(values: Any) -> Any:
    """Return the values, or, of many, the means of :data:`UNITS` random blocks of them; the overall mean is the same."""
    import numpy as np

    if len(values) <= UNITS:
        return values
    shuffled = np.random.Generator(np.random.PCG64(SEED)).permutation(values)
    edges = np.linspace(0, len(values), UNITS + 1).astype(np.int64)
    return np.add.reduceat(shuffled, edges[:-1]) * (UNITS / len(values))


def p_below(distribution: Any, distance: float) -> float:
    """Return the p-value of "the mean is less", given its studentised distance from the value of the null hypothesis.

    :param distribution: see :func:`studentised`.
    """
    return p_above(-distribution[::-1], -distance)


def p_above(distribution: Any, distance: float) -> float:
    """Return the p-value of "the mean is more"."""
    import numpy as np

    below = int(np.searchsorted(distribution, distance, side="left"))
    counted = (len(distribution) - below + 1) / (len(distribution) + 1)
    tail = _tail(distribution) if below == len(distribution) else None
    if tail is None:
        return counted
    threshold, excess = tail
    return min(counted, TAIL / (len(distribution) + 1) * math.exp((threshold - distance) / excess))


def quantiles(distribution: Any, level: float) -> tuple[float, float]:
    """Return the lower and upper studentised quantile that the two p-values reject at ``level``."""
    return -_quantile(-distribution[::-1], level), _quantile(distribution, level)


def _quantile(distribution: Any, level: float) -> float:
    """Return the upper one."""
    at = int(level * (len(distribution) + 1)) - 1
    if at >= 0:
        return float(distribution[len(distribution) - 1 - at])
    if (tail := _tail(distribution)) is None:
        return math.inf
    threshold, excess = tail
    return threshold + excess * math.log(TAIL / (len(distribution) + 1) / level)


def _tail(distribution: Any) -> tuple[float, float] | None:
    """Return where the upper tail begins, and its mean excess; None where resamples have no spread."""
    top = distribution[-TAIL:]
    threshold, excess = float(top[0]), float(top.mean() - top[0])
    return (threshold, excess) if math.isfinite(threshold) and math.isfinite(excess) and excess > 0 else None
