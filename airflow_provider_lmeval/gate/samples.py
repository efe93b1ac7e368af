"""Makes one sample of what a rule is about: a task's documents, a group's, or those of a whole suite.

Whether the documents of several tasks are weighted by task or by document is for the group to say; a pool weights them by
document, since it asks about the suite and not about its table of contents.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isclose
from typing import Any, TypeAlias

from airflow_provider_lmeval.gate.evidence import Pairs
from airflow_provider_lmeval.gate.stats.noninferiority import Sample
from airflow_provider_lmeval.gate.verdict import Flips
from airflow_provider_lmeval.results.model import Metric

Weights: TypeAlias = tuple[float, ...]
"""Of tasks in a whole; their sum is 1."""
_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Member:
    """One task of a sample.

    :param task: its name. :param key: ``metric,filter``. :param higher: whether higher scores are better.
    :param candidate: what the candidate's result reports; ``baseline`` likewise.
    :param pairs: per-document scores.
    """

    task: str
    key: str
    higher: bool
    candidate: Metric
    baseline: Metric
    pairs: Pairs

    @property
    def poolable(self) -> bool:
        """Whether its documents may stand beside those of other tasks: all of them score between 0 and 1."""
        if self.pairs.usable:
            return self.pairs.bounded
        return all(_is_share(metric.value) for metric in (self.candidate, self.baseline))


def _is_share(value: float | None) -> bool:
    return value is not None and 0 <= value <= 1


def weights_of_group(members: Sequence[Member], candidate: Metric, baseline: Metric) -> Weights | None:
    """Return how a group weights its tasks; None if that is not known or they cannot be paired.

    :param members: its tasks. :param candidate: the group's own score on either side, which tells how it weights tasks.
    """
    if not members or not all(each.pairs.usable and each.pairs.mean for each in members):
        return None
    for weights in (_by_documents(members), (1 / len(members),) * len(members)):
        if _gives(members, weights, candidate, "candidate") and _gives(members, weights, baseline, "baseline"):
            return weights
    return None


def weights_of_pool(members: Sequence[Member]) -> Weights | None:
    """Return the shares of the tasks' documents, a single task's too; None if one of them cannot be paired."""
    return _by_documents(members) if all(each.pairs.usable for each in members) else None


def joined(members: Sequence[Member], damages: Sequence[Any], weights: Weights, *, clustered: bool) -> Sample:
    """Return weighted documents whose mean is the weighted mean of the tasks.

    :param damages: each task's, from :func:`damage_of`, or documents drawn of it.
    :param clustered: take tasks for samples of their subject.
    """
    import numpy as np

    n = sum(map(len, damages))
    factors = [n * weight / len(damage) for damage, weight in zip(damages, weights, strict=True)]
    parts = [damage if isclose(factor, 1) else damage * factor for damage, factor in zip(damages, factors, strict=True)]
    largest = 1.0 if all(isclose(factor, 1) for factor in factors) else max(factors)
    clusters = None
    if clustered and len(members) > 1:
        clusters = np.array([part.sum() for part in parts]), np.array([n * weight for weight in weights])
    spread = largest if all(each.pairs.bounded for each in members) else None
    return Sample(np.concatenate(parts), spread=spread, clusters=clusters)


def damage_of(member: Member) -> Any:
    """Return how much worse each of a task's documents is, negative for better."""
    difference = member.pairs.baseline - member.pairs.candidate  # type: ignore[operator]
    return difference if member.higher else -difference


def pooled(members: Sequence[Member], side: str) -> Metric:
    """Return one side's score over all documents of all tasks; what is better when lower counts as its complement."""
    metrics: list[Metric] = [getattr(each, side) for each in members]
    n = sum(metric.n for metric in metrics)
    value = variance = 0.0
    for metric, member in zip(metrics, members, strict=True):
        score = metric.value or 0.0
        value += metric.n / n * (score if member.higher else 1 - score)
        variance += (metric.n / n * (metric.stderr or 0.0)) ** 2
    known = all(metric.stderr is not None for metric in metrics)
    return Metric(value=value, stderr=variance**0.5 if known else None, n=n, higher_is_better=True)


def subtask_means(members: Sequence[Member]) -> tuple[list[float], list[float]]:
    """Return sums and sizes of the damage by task, where only the tasks' averages are known."""
    sizes = [float(min(each.candidate.n, each.baseline.n)) for each in members]
    return [_mean_damage(each) * size for each, size in zip(members, sizes, strict=True)], sizes


def joined_flips(members: Sequence[Member], most: int) -> Flips | None:
    """Return what changed in all tasks together; None if one of them has no per-document scores.

    :param most: documents to list of those that got worse, and of those that got better.
    """
    found = [_directed(each.pairs.flips, each.higher) for each in members if each.pairs.flips]
    if not found or len(found) < len(members):
        return None
    changed = (flip for each in found for flip in each.documents)
    documents = sorted(changed, key=lambda flip: -abs(flip.candidate - flip.baseline))
    higher = {each.task: each.higher for each in members}
    worse = [flip for flip in documents if (flip.candidate < flip.baseline) is higher[flip.task]]
    better = [flip for flip in documents if (flip.candidate > flip.baseline) is higher[flip.task]]
    return Flips(
        worse=sum(each.worse for each in found),
        better=sum(each.better for each in found),
        documents=(*worse[:most], *better[:most]),
    )


def _directed(flips: Flips, higher: bool) -> Flips:
    return flips if higher else flips.model_copy(update={"worse": flips.better, "better": flips.worse})


def _mean_damage(member: Member) -> float:
    difference = (member.baseline.value or 0.0) - (member.candidate.value or 0.0)
    return difference if member.higher else -difference


def _gives(members: Sequence[Member], weights: Sequence[float], reported: Metric, side: str) -> bool:
    found = sum(weight * float(getattr(each.pairs, side).mean()) for each, weight in zip(members, weights, strict=True))
    return reported.value is not None and isclose(found, reported.value, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)


def _by_documents(members: Sequence[Member]) -> Weights:
    sizes = [len(each.pairs.candidate) for each in members]  # type: ignore[arg-type]
    return tuple(size / sum(sizes) for size in sizes)
