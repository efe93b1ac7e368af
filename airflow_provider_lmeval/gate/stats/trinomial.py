"""Exact inference on the difference of two paired proportions, for the few discordant documents a gate usually has.

Wald's interval promises too much there: two models that answer 100 questions alike would be "equal for certain". Here
probabilities are summed, not approximated. Of n documents b went from right to wrong and c from wrong to right, so
(b, c, n - b - c) is trinomial, and the damage is P(right to wrong) - P(wrong to right).

The test of ``damage >= delta`` orders tables by ``T = (b - c - n delta) / s``, a score statistic in the manner of Tango
1998 (Stat. Med. 17:891) with ``s^2`` between the discordance seen and the least that delta requires, and takes the
largest probability of a table at least as extreme over the unknown discordance, as Hsueh, Liu & Chen 2001 (Biometrics
57:478) do. The maximum runs over a confidence interval of the discordance instead of all its values (Berger & Boos
1994, JASA 89:1012); whoever decides takes that interval's error, ``nuisance_error``, off the level.
"""

from __future__ import annotations

from typing import Any

GRID = 5
"""Values of the discordance at which the maximum is sought; it lies at an end or is flat in between."""
SPREAD = 6.5
"""Standard deviations that are summed over; what lies beyond, less than 1e-9, is added to the p-value."""
_BEYOND, _TIE = 1e-9, 1e-9


def p_below(b: int, c: int, n: int, delta: float, nuisance_error: float) -> float:
    """Return the p-value of "the damage is less than delta", that is of the null hypothesis ``damage >= delta``.

    :param b: documents that went from right to wrong. :param c: from wrong to right. :param n: documents in all.
    :param delta: between -1 and 1.
    :param nuisance_error: probability that the interval for the discordance misses it.
    """
    import numpy as np

    low, high = clopper_pearson(b + c, n, nuisance_error)
    low = max(low, abs(delta))
    if high < low or delta > 1 or delta < -1:  # so few discordant documents that delta itself is out of reach
        return 0.0 if delta > 0 else 1.0
    return min(1.0, float(_tail(b, c, n, delta, np.linspace(low, high, GRID)).max()) + _BEYOND)


def _tail(b: int, c: int, n: int, delta: float, discordance: Any) -> Any:
    """Return P(T <= observed) where the damage is delta, for each of several discordances."""
    import numpy as np

    worse, better = (discordance + delta) / 2, (discordance - delta) / 2
    i, j = _likely(n, worse), _likely(n, better)
    table = _statistic(i[:, None], j[None, :], n, delta)
    extreme = table <= _statistic(np.float64(b), np.float64(c), n, delta) + _TIE
    ways = _log_ways(i[:, None], j[None, :], n)
    chances = [_probability(ways, i, j, n, p, q) for p, q in zip(worse, better, strict=True)]
    return np.array([chance[extreme].sum() for chance in chances])


def _statistic(b: Any, c: Any, n: int, delta: float) -> Any:
    import numpy as np

    return (b - c - n * delta) / np.sqrt(np.hypot(np.hypot(b + c, n * delta), 1.0))


def _likely(n: int, shares: Any) -> Any:
    """Return the counts that have any probability to speak of under one of the shares."""
    import numpy as np

    spread = SPREAD * np.sqrt(n * shares * (1 - shares)) + SPREAD
    low, high = (n * shares - spread).min(), (n * shares + spread).max()
    return np.arange(max(0, int(low)), min(n, int(high)) + 1, dtype=np.float64)


def _log_ways(i: Any, j: Any, n: int) -> Any:
    """Return the logarithm of the trinomial coefficient, minus infinity where there are too few documents."""
    import numpy as np
    from scipy.special import gammaln

    rest = n - i - j
    ways = gammaln(n + 1) - gammaln(i + 1) - gammaln(j + 1) - gammaln(np.maximum(rest, 0) + 1)
    return np.where(rest < 0, -np.inf, ways)


def _probability(ways: Any, i: Any, j: Any, n: int, p: float, q: float) -> Any:
    import numpy as np
    from scipy.special import xlogy

    rest = np.maximum(n - i[:, None] - j[None, :], 0)
    return np.exp(ways + xlogy(i, p)[:, None] + xlogy(j, q)[None, :] + xlogy(rest, max(0.0, 1 - p - q)))


def clopper_pearson(k: int, n: int, error: float) -> tuple[float, float]:
    """Return the exact two-sided interval of a proportion (Clopper & Pearson 1934, Biometrika 26:404).

    :param error: probability of missing it, half on either side.
    """
    from scipy.special import betaincinv

    low = 0.0 if k == 0 else float(betaincinv(k, n - k + 1, error / 2))
    high = 1.0 if k == n else float(betaincinv(k + 1, n - k, 1 - error / 2))
    return low, high
