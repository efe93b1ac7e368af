"""How far two evaluations of one model lie apart, and what that says about a rule's margin.

The paired statistics hold few-shot examples and batches fixed on both sides, so they cannot see how much of a score hangs
on that choice. Evaluating the baseline a second time, differently in what should not matter, shows it.

The band is the repeatability limit: two results on one model lie at most this far apart with the confidence asked for
(ISO 5725-6; Bland & Altman 1986, Lancet 327:307). Of the two evaluations' difference d on each document the same model
expects 0, so the variance of the mean is that of ``mean(d^2) / n``; what both evaluations' means differ by in fact is within
the band, too, because few-shot examples move all documents of a task together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

from airflow_provider_lmeval.gate.stats.levels import CONFIDENCE
from airflow_provider_lmeval.results.model import Count, Number, Part


class Noise(Part):
    """What two evaluations of one model showed of a score."""

    n: Count
    """Documents."""
    discordance: Number
    """Share of documents that did not score the same."""
    damage: Number
    """How much worse the second evaluation was, negative for better; in the metric's unit."""
    stderr: Number
    """How much that varies by chance, documents taken for independent."""
    band: Number
    """How far two evaluations may lie apart."""


def measure(damage: Any, confidence: float = CONFIDENCE) -> Noise:
    """Return what documents that were scored twice show.

    :param damage: how much worse each document was the second time. :param confidence: of the band.
    """
    import numpy as np

    n, mean = len(damage), float(damage.mean())
    stderr = float(np.sqrt((damage**2).mean() / n))
    share = float(np.count_nonzero(damage)) / n
    return Noise(n=n, discordance=share, damage=mean, stderr=stderr, band=reach(mean, stderr, confidence))


def reach(difference: float, stderr: float, confidence: float) -> float:
    """Return the band that an observed difference and its standard error come to."""
    return max(abs(difference), NormalDist().inv_cdf((1 + confidence) / 2) * stderr)


@dataclass(frozen=True, slots=True)
class NoiseTable:
    """The noise of a baseline's scores.

    :param scores: by task or group and ``metric,filter``. :param confidence: of the bands.
    """

    scores: Mapping[str, Mapping[str, Noise]] = field(default_factory=dict)
    confidence: float = CONFIDENCE

    def band(self, task: str, key: str) -> float | None:
        """Return how far two evaluations of a task or group may lie apart; None where that was not seen.

        :param key: ``metric,filter``.
        """
        known = self.scores.get(task, {}).get(key)
        return known.band if known else None

    def pooled(self, scores: Iterable[tuple[str, str]]) -> float | None:
        """Return the same for all documents of several tasks together.

        :param scores: tasks and their ``metric,filter``.
        """
        parts = [self.scores.get(task, {}).get(key) for task, key in scores]
        found = [part for part in parts if part is not None]
        if not found or len(found) < len(parts):
            return None
        n = sum(part.n for part in found)
        damage = sum(part.n * part.damage for part in found) / n
        stderr = sum((part.n * part.stderr) ** 2 for part in found) ** 0.5 / n
        return reach(damage, stderr, self.confidence)
