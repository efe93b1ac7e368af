"""Damage to right-or-wrong answers: the exact test where few documents changed, the score test where many did.

Both order the same evidence in the same way. Sums over all tables cost milliseconds with a hundred discordant documents and
seconds with thousands, where the normal approximation of the score has nothing left to be corrected.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow_provider_lmeval.gate.stats import tango, trinomial
from airflow_provider_lmeval.gate.stats.levels import level_of, nuisance_error

EXACT_UP_TO = 100
"""Discordant documents up to which probabilities are summed."""
_PRECISION = 1e-3
"""Of a bound, relative to its distance from the estimate."""


def p_below(b: Any, c: Any, n: int, delta: float, confidence: float) -> Any:
    """Return the p-value of "the damage is less than delta" for each of many tables.

    :param b: documents that went from right to wrong, an array. :param c: from wrong to right. :param n: documents in all.
    """
    import numpy as np

    tables = np.stack([np.asarray(b, dtype=np.int64), np.asarray(c, dtype=np.int64)], axis=-1)
    p = tango.p_below(tables[..., 0], tables[..., 1], n, delta)
    few = tables.sum(axis=-1) <= EXACT_UP_TO
    if few.any():
        distinct, which = np.unique(tables[few], axis=0, return_inverse=True)
        p[few] = np.array([_exact(int(i), int(j), n, delta, confidence) for i, j in distinct])[which.reshape(-1)]
    return p


def p_above(b: Any, c: Any, n: int, delta: float, confidence: float) -> Any:
    """Return the p-value of "the damage is more than delta": the same test with the models changing places."""
    return p_below(c, b, n, -delta, confidence)


def upper_bound(b: int, c: int, n: int, confidence: float) -> float:
    """Return the upper confidence bound of the damage: the smallest delta that :func:`p_below` rejects."""
    level = level_of(confidence)
    guess = tango.upper_bound(b, c, n, level)
    if b + c > EXACT_UP_TO:
        return guess
    return _search(lambda delta: _exact(b, c, n, delta, confidence) <= level, (b - c) / n, guess)


def lower_bound(b: int, c: int, n: int, confidence: float) -> float:
    """Return the lower confidence bound of the damage."""
    return -upper_bound(c, b, n, confidence)


def _exact(b: int, c: int, n: int, delta: float, confidence: float) -> float:
    return trinomial.p_below(b, c, n, delta, nuisance_error(confidence))


def _search(rejected: Callable[[float], bool], estimate: float, guess: float) -> float:
    """Return the smallest delta that is rejected, at most 1, starting from a good guess."""
    step = max(guess - estimate, 1e-9)
    low, high = estimate, guess
    while high < 1 and not rejected(high):
        low, high = high, min(1.0, high + step / 8)
    if low == estimate and (below := guess - step / 8) > low:
        low, high = (low, below) if rejected(below) else (below, high)
    while high - low > _PRECISION * step:
        middle = (low + high) / 2
        low, high = (low, middle) if rejected(middle) else (middle, high)
    return high
