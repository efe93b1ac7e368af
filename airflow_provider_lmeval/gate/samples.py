"""Makes one sample of what a rule is about: a task's documents, a group's, or those of a whole suite.

Whether the documents of several tasks are weighted by task or by document is for the group to say; a pool weights them by
document, since it asks about the suite and not about its table of contents.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isclose
from typing import Any

from airflow_provider_lmeval.gate.evidence import Pairs
from airflow_provider_lmeval.gate.stats.noninferiority import Sample
from airflow_provider_lmeval.gate.verdict import Flips
from airflow_provider_lmeval.results.model import Metric

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


def of_task(member: Member) -> Sample | None:
    """Return a single task's sample; None if it cannot be paired."""
    if not member.pairs.usable:
        return None
    return Sample(_damage(member), spread=1.0 if member.pairs.bounded else None)


def of_group(members: Sequence[Member], candidate: Metric, baseline: Metric, *, clustered: bool) -> Sample | None:
    """Return a group's sample; None if it cannot be paired.

    :param members: its tasks. :param candidate: the group's own score on either side, which tells how it weights tasks.
    :param clustered: take tasks for samples of the group's subject.
    """
    if not members or not all(each.pairs.usable and each.pairs.mean for each in members):
        return None
    sizes = [len(each.pairs.candidate) for each in members]  # type: ignore[arg-type]
    for weights in ([size / sum(sizes) for size in sizes], [1 / len(sizes)] * len(sizes)):
        if _gives(members, weights, candidate, "candidate") and _gives(members, weights, baseline, "baseline"):
            return _joined(members, sizes, weights, clustered=clustered)
    return None


def of_pool(members: Sequence[Member], *, clustered: bool) -> Sample | None:
    """Return the sample of all documents of all tasks; None if one of them cannot be paired."""
    if not all(each.pairs.usable for each in members):
        return None
    sizes = [len(each.pairs.candidate) for each in members]  # type: ignore[arg-type]
    return _joined(members, sizes, [size / sum(sizes) for size in sizes], clustered=clustered)


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


def _damage(member: Member) -> Any:
    difference = member.pairs.baseline - member.pairs.candidate  # type: ignore[operator]
    return difference if member.higher else -difference


def _mean_damage(member: Member) -> float:
    difference = (member.baseline.value or 0.0) - (member.candidate.value or 0.0)
    return difference if member.higher else -difference


def _gives(members: Sequence[Member], weights: Sequence[float], reported: Metric, side: str) -> bool:
    found = sum(weight * float(getattr(each.pairs, side).mean()) for each, weight in zip(members, weights, strict=True))
    return reported.value is not None and isclose(found, reported.value, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)


def _joined(members: Sequence[Member], sizes: Sequence[int], weights: Sequence[float], *, clustered: bool) -> Sample:
    """Return weighted documents whose mean is the weighted mean of the tasks."""
    import numpy as np

    n = sum(sizes)
    factors = [n * weight / size for size, weight in zip(sizes, weights, strict=True)]
    parts = [
        _damage(each) * factor if not isclose(factor, 1) else _damage(each)
        for each, factor in zip(members, factors, strict=True)
    ]
    bounded = all(each.pairs.bounded for each in members)
    largest = 1.0 if all(isclose(factor, 1) for factor in factors) else max(factors)
    clusters = None
    if clustered and len(members) > 1:
        clusters = np.array([part.sum() for part in parts]), np.array([n * weight for weight in weights])
    return Sample(np.concatenate(parts), spread=largest if bounded else None, clusters=clusters)
