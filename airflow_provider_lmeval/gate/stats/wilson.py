"""Wilson's interval for one rate, which stays honest at small n and near 0 and 1, where the normal one does not.

Source: Wilson 1927 (JASA 22:209); recommended by Brown, Cai & DasGupta 2001 (Statist. Sci. 16:101).
"""

from __future__ import annotations


def wilson(successes: float, n: int, level: float) -> tuple[float, float]:
    """Return the lower and upper confidence bound of a rate.

    :param successes: how many of n; may be a fraction, where a rate was weighted.
    :param level: error probability of each bound by itself: 0.05 gives two one-sided 95 % bounds.
    """
    from scipy.special import ndtri

    z = float(-ndtri(level))
    rate = successes / n
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (rate * (1 - rate) / n + z * z / (4 * n * n)) ** 0.5
    low, high = centre - half, centre + half
    return (0.0 if successes <= 0 else max(0.0, low), 1.0 if successes >= n else min(1.0, high))
