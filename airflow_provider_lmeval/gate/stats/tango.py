"""The score test and interval for the difference of paired proportions, for more discordant documents than need sums.

Unlike Wald's it estimates the variance where the null hypothesis holds, so it does not promise certainty when nothing
disagrees. Source: Tango 1998, "Equivalence test and confidence interval for the difference in proportions for the
paired-sample design", Stat. Med. 17:891, equations 6 to 8. Arrays in, arrays out: one call decides a whole simulation.
"""

from __future__ import annotations

from typing import Any

from airflow_provider_lmeval.gate.stats.standardise import standardised


def p_below(b: Any, c: Any, n: Any, delta: Any) -> Any:
    """Return the p-value of "the damage is less than delta", that is of the null hypothesis ``damage >= delta``.

    :param b: documents that went from right to wrong. :param c: from wrong to right. :param n: documents in all.
    :param delta: between -1 and 1. All four broadcast.
    """
    from scipy.special import ndtr

    return ndtr(statistic(b, c, n, delta))


def statistic(b: Any, c: Any, n: Any, delta: Any) -> Any:
    """Return the standardised difference from delta: negative where less damage was seen."""
    import numpy as np

    b, c, n, delta = np.broadcast_arrays(*(np.asarray(each, dtype=np.float64) for each in (b, c, n, delta)))
    better = _better_given(b, c, n, delta)
    variance = n * np.maximum(2 * better + delta - delta * delta, 0)
    return standardised(b - c - n * delta, np.sqrt(variance))


def _better_given(b: Any, c: Any, n: Any, delta: Any) -> Any:
    """Return the likeliest P(wrong to right) if the damage were delta: the root of the score equation (Tango's eq. 7)."""
    import numpy as np

    linear = (b + c) * (1 - delta) - 2 * delta * (n - b)
    constant = c * delta * (1 - delta)
    root = (linear + np.sqrt(np.maximum(linear * linear + 8 * n * constant, 0))) / (4 * n)
    return np.clip(root, np.maximum(0, -delta), (1 - delta) / 2)


def upper_bound(b: float, c: float, n: float, level: float) -> float:
    """Return the upper confidence bound of the damage: the smallest delta that :func:`p_below` rejects at the level."""
    import numpy as np

    low, high = (b - c) / n, 1.0
    while high - low > 1e-6:  # 64 candidates at a time: one call of NumPy costs as much as all of them
        deltas = np.linspace(low, high, 66)[1:-1]
        at = int(np.argmax(np.append(p_below(b, c, n, deltas) <= level, True)))
        edges = np.concatenate(([low], deltas, [high]))
        low, high = float(edges[at]), float(edges[at + 1])
    return high
