"""Inference that does not take a thousand documents of one subject for a thousand independent witnesses.

Documents of a subtask share subject, author and format, so a model's gains and losses come in clumps; standard errors
that ignore it can be three times too small (Miller 2024, "Adding Error Bars to Evals", arXiv 2411.00640, section 2.2).
The subtask is the cluster here: the claim is about the subject matter the suite stands for, not only about its files.

The variance is the cluster jackknife, and the t distribution has one degree of freedom less than there are *effective*
clusters: with few clusters or unequal ones, Miller's normal interval is too short. Sources: MacKinnon, Nielsen & Webb
2023 (J. Econometrics 232:272) for the jackknife, "CV3"; Carter, Schnepel & Steigerwald 2017 (Rev. Econ. Stat. 99:698) for
the effective number. With clusters of equal size this is exactly the t test on the clusters' means.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_provider_lmeval.gate.stats.standardise import standardised


@dataclass(frozen=True, slots=True)
class Clustered:
    """A mean with its standard error.

    :param mean: over all documents. :param stderr: clustered. :param df: degrees of freedom.
    Each is an array where several simulations were given at once.
    """

    mean: Any
    stderr: Any
    df: float

    def p_below(self, delta: float) -> Any:
        """Return the p-value of "the mean is less than delta"."""
        from scipy.special import stdtr

        return stdtr(self.df, self._distance(delta))

    def p_above(self, delta: float) -> Any:
        """Return the p-value of "the mean is more than delta"."""
        from scipy.special import stdtr

        return stdtr(self.df, -self._distance(delta))

    def margin(self, level: float) -> Any:
        """Return how far a one-sided bound at ``level`` is from the mean."""
        from scipy.special import stdtrit

        return -stdtrit(self.df, level) * self.stderr

    def _distance(self, delta: float) -> Any:
        return standardised(self.mean - delta, self.stderr)


def clustered_mean(sums: Any, sizes: Any) -> Clustered:
    """Return the mean of clustered documents.

    :param sums: the documents' sum in each cluster, in the last axis; other axes are simulations.
    :param sizes: the clusters' sizes, or weights; at least two clusters.
    """
    import numpy as np

    sums, sizes = np.asarray(sums, dtype=np.float64), np.asarray(sizes, dtype=np.float64)
    total, n, clusters = sums.sum(axis=-1), sizes.sum(), sizes.shape[-1]
    mean = total / n
    without = (total[..., None] - sums) / (n - sizes)
    variance = (clusters - 1) / clusters * ((without - mean[..., None]) ** 2).sum(axis=-1)
    effective = 1 / float(((sizes / n) ** 2).sum())
    return Clustered(mean, np.sqrt(variance), max(effective - 1, 0.1))
