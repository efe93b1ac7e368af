"""What a comparison can see, and how many documents it takes: asked before the evaluation, and of every verdict.

Everything follows from the standard error of the paired difference. For right-or-wrong answers with damage d and a share
p of documents on which the models disagree it is ``sqrt((p - d^2) / n)`` (Connor 1987, Biometrics 43:207; Miller 2024,
arXiv 2411.00640, section 5, has the same for scores in general). Tests are one-sided.
"""

from __future__ import annotations

import math

from airflow_provider_lmeval.gate.stats.levels import POWER, level_of

REACHABLE = 10_000_000
"""More documents than this decide nothing in practice."""


def stderr(discordance: float, n: float, damage: float = 0.0) -> float:
    """Return the standard error of a paired difference of proportions.

    :param discordance: share of documents on which the two models disagree.
    """
    return math.sqrt(max(discordance - damage * damage, 0.0) / n)


def detectable(error: float, confidence: float, power: float = POWER) -> float:
    """Return the minimum detectable effect: the smallest true drop that is seen as a drop with probability ``power``.

    :param error: standard error of the difference.
    """
    return (_z(1 - level_of(confidence)) + _z(power)) * error


def required_n(
    n: float, error: float, distance: float, confidence: float, power: float = POWER, reach: float = 0.0
) -> int | None:
    """Return how many documents would decide, if what was seen is so: two significant digits, rounded up.

    :param n: documents behind ``error``; more of the same kind shrink it by the root of their number.
    :param distance: between the difference seen (or assumed) and the margin.
    :param reach: how far a one-sided bound is from the difference seen, if that is more than the normal distribution has it.
    :returns: None where no reachable number would.
    """
    if not math.isfinite(error) or not distance:
        return None
    wide = max(reach, _z(1 - level_of(confidence)) * error) + _z(power) * error
    ratio = wide / abs(distance)
    if ratio > math.sqrt(REACHABLE / n):
        return None
    return rounded_up(max(n * ratio**2, 1))


def chance(error: float, distance: float, confidence: float) -> float:
    """Return the probability that a comparison decides, if the true difference is ``distance`` from the margin."""
    from scipy.special import ndtr

    return float(ndtr(abs(distance) / error - _z(1 - level_of(confidence)))) if error > 0 else 1.0


def rounded_up(number: float) -> int:
    """Return the number with two significant digits, rounded up: nobody plans 12,347 documents."""
    unit = int(10 ** max(0, math.floor(math.log10(number)) - 1))
    return math.ceil(number / unit) * unit


def _z(probability: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(probability))
