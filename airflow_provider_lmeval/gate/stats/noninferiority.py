"""Is the candidate no worse than allowed? The question every comparing rule comes down to.

Not "is the difference significant": a small suite finds nothing significant and would pass everything. The burden of
proof lies with the candidate. It passes when the upper confidence bound of the damage is below the margin, fails when
the lower bound is above it, and otherwise the evidence is INCONCLUSIVE (Walker & Nowacki 2011, J. Gen. Intern. Med. 26:192;
Schuirmann 1987, J. Pharmacokinet. Biopharm. 15:657). A required improvement is the same with a negative margin.

Where documents come in clusters both the clustered and the unclustered analysis must agree: the first alone is unstable
with few clusters, the second alone too sure. One thing needs no estimate of how subtasks vary: damage in every one of them.
Otherwise a model that collapsed on both tasks of a suite could not fail, because two tasks say nothing about a third.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from airflow_provider_lmeval.gate.stats import bootstrap, mcnemar, permutation, proportions
from airflow_provider_lmeval.gate.stats.cluster import clustered_mean
from airflow_provider_lmeval.gate.stats.levels import level_of
from airflow_provider_lmeval.gate.stats.standardise import standardised
from airflow_provider_lmeval.gate.stats.unpaired import Mean, difference

MIN_DOCUMENTS = 20
"""Fewer scores than this, unless they are right or wrong, say too little about their own distribution."""

Decision = Literal["PASS", "FAIL", "INCONCLUSIVE"]


@dataclass(frozen=True, slots=True)
class Sample:
    """The damage of each document; its mean is the damage of the suite.

    :param damage: an array, positive for worse.
    :param spread: the most that one document's damage can change the mean by, times n: 1 for scores between 0 and 1;
        None where nothing limits them.
    :param clusters: sums and sizes of the damage by subtask; None for documents that stand for themselves.
    """

    damage: Any
    spread: float | None
    clusters: tuple[Any, Any] | None = None

    @property
    def binary(self) -> bool:
        """Whether each document went from right to wrong, from wrong to right, or stayed."""
        import numpy as np

        return self.spread == 1 and bool(np.isin(self.damage, (-1.0, 0.0, 1.0)).all())


@dataclass(frozen=True, slots=True)
class Answer:
    """What the evidence says about the damage.

    :param n: documents. :param damage: the estimate. :param stderr: of the estimate.
    :param lower: confidence bounds, each by itself at the confidence asked for; infinite where there is none.
    :param p_within: p-value of "the damage is less than the margin"; ``p_beyond`` of "more". :param p_worse: of "there is
        damage at all".
    :param methods: how it was found. :param clusters: subtasks that counted as clusters; 0 for none.
    :param design_effect: how many times the variance of independent documents the clustered variance is.
    """

    n: int
    damage: float
    stderr: float
    lower: float
    upper: float
    p_within: float
    p_beyond: float
    p_worse: float
    methods: tuple[str, ...]
    clusters: int = 0
    design_effect: float | None = None

    def decision(self, confidence: float) -> Decision:
        """Return what follows at a confidence."""
        level = level_of(confidence)
        return "PASS" if self.p_within <= level else "FAIL" if self.p_beyond <= level else "INCONCLUSIVE"


def judge(sample: Sample, margin: float, confidence: float) -> Answer:
    """Return what paired scores say about the damage.

    :param margin: most damage allowed; negative for a required improvement.
    :param confidence: of each decision by itself.
    """
    answer = _binary(sample, margin, confidence) if sample.binary else _numeric(sample, margin, confidence)
    if sample.clusters is not None:
        answer = _clustered(answer, sample.clusters, margin, confidence)
    reach = float("inf") if sample.spread is None else 1.0
    answer = replace(answer, lower=max(answer.lower, -reach), upper=min(answer.upper, reach))
    return _agreeing(answer, margin, confidence)


def judge_unpaired(
    baseline: Mean,
    candidate: Mean,
    margin: float,
    confidence: float,
    *,
    higher: bool,
    clusters: tuple[Any, Any] | None = None,
) -> Answer | None:
    """Return what two averages say about the damage; None where they have no standard error.

    :param higher: whether higher scores are better.
    :param clusters: sums and sizes of the damage by subtask; None for documents that stand for themselves.
    """
    found = difference(baseline, candidate) if higher else difference(candidate, baseline)
    if found is None:
        return None
    raw = (baseline.value - candidate.value) * (1 if higher else -1)
    reach = found.margin(level_of(confidence))
    answer = Answer(
        n=min(baseline.n, candidate.n),
        damage=raw,
        stderr=found.stderr,
        lower=found.mean - reach,
        upper=found.mean + reach,
        p_within=found.p_below(margin),
        p_beyond=1 - found.p_below(margin),
        p_worse=1 - found.p_below(0.0),
        methods=("unpaired, by standard errors",),
    )
    return answer if clusters is None else _clustered(answer, clusters, margin, confidence)


def _binary(sample: Sample, margin: float, confidence: float) -> Answer:
    n = len(sample.damage)
    b, c = int((sample.damage > 0).sum()), int((sample.damage < 0).sum())
    exact = b + c <= proportions.EXACT_UP_TO
    return Answer(
        n=n,
        damage=(b - c) / n,
        stderr=float(paired_stderr(b, c, n)),
        lower=proportions.lower_bound(b, c, n, confidence),
        upper=proportions.upper_bound(b, c, n, confidence),
        p_within=float(proportions.p_below([b], [c], n, margin, confidence)[0]),
        p_beyond=float(proportions.p_above([b], [c], n, margin, confidence)[0]),
        p_worse=float(mcnemar.p_worse(b, c)),
        methods=("exact paired proportions" if exact else "Tango's score for paired proportions", "exact McNemar"),
    )


def _numeric(sample: Sample, margin: float, confidence: float) -> Answer:
    values, n = sample.damage, len(sample.damage)
    mean = float(values.mean())
    if n < MIN_DOCUMENTS:
        nothing = (float("inf"), float("-inf"), float("inf"), 1.0, 1.0, 1.0)
        return Answer(n, mean, *nothing, (f"none: fewer than {MIN_DOCUMENTS} documents",))
    stderr = float(values.std(ddof=1)) / n**0.5
    resampled = bootstrap.studentised(values)
    distance = float(standardised(mean - margin, stderr))
    low, high = bootstrap.quantiles(resampled, level_of(confidence))
    unseen = _unseen(sample, level_of(confidence))
    return Answer(
        n=n,
        damage=mean,
        stderr=max(stderr, (sample.spread or 0.0) / n),
        lower=mean - max(high * stderr, unseen),
        upper=mean + max(-low * stderr, unseen),
        p_within=max(bootstrap.p_below(resampled, distance), _p_unseen(sample, margin - mean)),
        p_beyond=max(bootstrap.p_above(resampled, distance), _p_unseen(sample, mean - margin)),
        p_worse=permutation.p_worse(values),
        methods=("paired bootstrap-t", "paired permutation"),
    )


def _unseen(sample: Sample, level: float) -> float:
    """Return the damage that may hide in documents such as none of these: the rule of three, exactly.

    Source: Hanley & Lippman-Hand 1983 (JAMA 249:1743). Resampling cannot show what did not occur once.
    """
    return 0.0 if sample.spread is None else float(sample.spread * (1 - level ** (1 / len(sample.damage))))


def _p_unseen(sample: Sample, distance: float) -> float:
    """Return the probability that as much as ``distance`` hides in documents such as none of these."""
    if sample.spread is None:
        return 0.0
    return float((1 - min(max(distance / sample.spread, 0.0), 1.0)) ** len(sample.damage))


def _clustered(answer: Answer, clusters: tuple[Any, Any], margin: float, confidence: float) -> Answer:
    """Return the more cautious of an unclustered answer and the clustered one, in each respect."""
    found = clustered_mean(*clusters)
    level, stderr = level_of(confidence), float(found.stderr)
    reach = float(found.margin(level))
    beyond, worse = (bool(unanimous(*clusters, delta, answer.stderr, level)) for delta in (margin, 0.0))
    return replace(
        answer,
        stderr=max(answer.stderr, stderr),
        lower=answer.lower if beyond else min(answer.lower, answer.damage - reach),
        upper=max(answer.upper, answer.damage + reach),
        p_within=max(answer.p_within, float(found.p_below(margin))),
        p_beyond=answer.p_beyond if beyond else max(answer.p_beyond, float(found.p_above(margin))),
        p_worse=answer.p_worse if worse else max(answer.p_worse, float(found.p_above(0.0))),
        methods=(*answer.methods, "cluster jackknife"),
        clusters=len(clusters[1]),
        design_effect=(stderr / answer.stderr) ** 2 if answer.stderr > 0 else None,
    )


def unanimous(sums: Any, sizes: Any, margin: float, stderr: Any, level: float) -> Any:
    """Return whether every cluster by itself shows more damage than the margin, beyond what its documents leave open.

    :param sums: the damage in each cluster, in the last axis; other axes are simulations. :param sizes: the clusters' sizes.
    :param stderr: unclustered, of all documents together. :param level: of each cluster's one-sided test.
    """
    import numpy as np
    from scipy.special import ndtri

    sums, sizes = np.asarray(sums, dtype=np.float64), np.asarray(sizes, dtype=np.float64)
    reach = -ndtri(level) * np.asarray(stderr)[..., None] * np.sqrt(sizes.sum() / sizes)
    return (sums / sizes > margin + reach).all(axis=-1)


def paired_stderr(b: Any, c: Any, n: int) -> Any:
    """Return the standard error of the damage to right-or-wrong answers.

    With one discordant document more than were seen, of two more in all, so that no evidence is certain.

    :param b: documents that went from right to wrong. :param c: from wrong to right. :param n: documents in all.
    """
    import numpy as np

    share, damage = (np.asarray(b) + c + 1) / (n + 2), (np.asarray(b) - c) / n
    return np.sqrt(np.maximum(share - damage * damage, share / n) / n)


def _agreeing(answer: Answer, margin: float, confidence: float) -> Answer:
    """Return the answer with bounds on the side of the margin on which the tests are: bounds are searched, and rounded."""
    level = level_of(confidence)
    upper = min(answer.upper, margin) if answer.p_within <= level else max(answer.upper, margin)
    lower = max(answer.lower, margin) if answer.p_beyond <= level else min(answer.lower, margin)
    return replace(answer, upper=upper, lower=lower)
