"""The comparison of two averages when only the averages are left.

Without per-document scores the documents' difficulty, the same for both models, stays in the noise, so it takes several
times the documents to see the same drop. Used where there is nothing better, and said so.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mean:
    """One side's average.

    :param value: the score. :param stderr: its standard error. :param n: documents.
    :param rate: it is a share of right answers, so that its variance is known.
    """

    value: float
    stderr: float
    n: int
    rate: bool


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference of two averages, normally distributed.

    :param mean: as the tests centre it. :param stderr: of the difference.
    """

    mean: float
    stderr: float

    def p_below(self, delta: float) -> float:
        """Return the p-value of "the difference is less than delta"."""
        from scipy.special import ndtr

        return float(ndtr((self.mean - delta) / self.stderr))

    def margin(self, level: float) -> float:
        """Return how far a one-sided bound at ``level`` is from the mean."""
        from scipy.special import ndtri

        return float(-ndtri(level)) * self.stderr


def difference(one: Mean, other: Mean) -> Difference | None:
    """Return ``one`` minus ``other``; None where nothing says how sure either is.

    Two rates get a right and a wrong answer added to each, without which 0 and 1 would have no variance (Agresti & Caffo
    2000, Amer. Statist. 54:280); other averages their standard errors.
    """
    if one.rate and other.rate:
        (p, v), (q, w) = _adjusted(one), _adjusted(other)
        return Difference(p - q, (v + w) ** 0.5)
    stderr = (one.stderr**2 + other.stderr**2) ** 0.5
    return Difference(one.value - other.value, stderr) if stderr > 0 else None


def _adjusted(mean: Mean) -> tuple[float, float]:
    rate = (mean.value * mean.n + 1) / (mean.n + 2)
    return rate, rate * (1 - rate) / (mean.n + 2)
