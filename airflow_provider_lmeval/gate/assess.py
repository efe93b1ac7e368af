"""Says what the numbers come to: PASS, FAIL or INCONCLUSIVE, and a sentence a person understands.

A floor or ceiling is a promise about this evaluation, and people who write ``floor: 0.80`` mean the number they see; so it
is compared with the score itself, unless the rule asks for confidence. A comparison with another model is a claim about
the models, so it is never decided by the points: see :mod:`airflow_provider_lmeval.gate.stats.noninferiority`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isclose, isfinite

from airflow_provider_lmeval.gate.rules import Condition
from airflow_provider_lmeval.gate.stats.levels import CONFIDENCE, level_of
from airflow_provider_lmeval.gate.stats.noninferiority import Answer
from airflow_provider_lmeval.gate.stats.power import required_n
from airflow_provider_lmeval.gate.stats.unpaired import Mean
from airflow_provider_lmeval.gate.stats.wilson import wilson
from airflow_provider_lmeval.gate.verdict import Outcome
from airflow_provider_lmeval.results.model import Metric

TOLERANCE = 1e-9
"""Scores are quotients in binary floating point: 0.7999999999999999 reaches a floor of 0.8."""
_RATE = 1e-6
"""How well a reported standard error must be that of a share of right answers."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """The answer.

    :param message: one sentence with the numbers in it. :param difference: candidate minus baseline.
    """

    outcome: Outcome
    message: str
    difference: float | None = None


@dataclass(frozen=True, slots=True)
class Bound:
    """A floor or ceiling put to a score.

    :param condition: which. :param threshold: the rule's number. :param what: task and metric, for the sentence.
    :param score: the score in question. :param confidence: None to compare the score itself.
    """

    condition: Condition
    threshold: float
    what: str
    score: Metric
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """A comparison with a baseline, and what the statistics say to it.

    :param condition: what is asked. :param threshold: the rule's number. :param what: task and metric, for the sentence.
    :param candidate: the score in question. :param baseline: the score to compare with.
    :param higher: whether higher scores are better. :param margin: most damage allowed, in the metric's unit.
    :param answer: None where neither documents nor standard errors allow one.
    :param paired: document by document. :param confidence: of the decision.
    :param family: comparisons made together, which a claimed regression has to stand against (Holm).
    """

    condition: Condition
    threshold: float
    what: str
    candidate: Metric
    baseline: Metric
    higher: bool
    margin: float
    answer: Answer | None
    paired: bool
    confidence: float
    family: int = 1


def margin(condition: Condition, threshold: float, baseline: float, guard: float | None) -> float:
    """Return the most damage that a rule allows, in the metric's own unit; negative for a required improvement.

    A relative margin takes the baseline's score as it is: its own error, times the fraction, is of second order.

    :param guard: baselines below it are allowed the drop of a baseline at it.
    """
    if condition is Condition.MIN_IMPROVEMENT:
        return -threshold
    return threshold * max(abs(baseline), guard or 0.0) if condition is Condition.MAX_RELATIVE_DROP else threshold


def as_mean(metric: Metric) -> Mean | None:
    """Return a score with what is known of its error; None where nothing is.

    A share of right answers is recognised by its standard error, which is then ``sqrt(p (1 - p) / (n - 1))``.
    """
    value, stderr, n = metric.value, metric.stderr, metric.n
    if value is None or stderr is None or not n:
        return None
    expected = (value * (1 - value) / max(n - 1, 1)) ** 0.5 if 0 <= value <= 1 else -1.0
    return Mean(value, stderr, n, rate=isclose(expected, stderr, rel_tol=_RATE, abs_tol=1e-12))


def interval(metric: Metric, confidence: float) -> tuple[float, float] | None:
    """Return the confidence bounds of a score; None where its error is not known."""
    from scipy.special import ndtri

    mean = as_mean(metric)
    if mean is None:
        return None
    level = level_of(confidence)
    if mean.rate:
        return wilson(mean.value * mean.n, mean.n, level)
    reach = float(-ndtri(level)) * mean.stderr
    return mean.value - reach, mean.value + reach


def off_scale(condition: Condition, threshold: float, *scores: Metric) -> Assessment | None:
    """Return that a threshold was written in percent: shares of right answers lie between 0 and 1.

    Such a rule always holds, or never does; the first would let every model through.
    """
    shares = [mean for score in scores if (mean := as_mean(score)) and mean.rate and 0 < mean.value < 1]
    most = 1 if condition in (Condition.FLOOR, Condition.CEILING) else 1 - TOLERANCE
    if not shares or condition is Condition.MAX_RELATIVE_DROP or threshold <= most:
        return None
    meant = f", {condition}: {threshold / 100:g} for {threshold:g} %" if threshold <= 100 else ""
    message = f"{condition}: {threshold:g} is off the scale of scores between 0 and 1, so it decides nothing"
    return Assessment(Outcome.ERROR, f"{message}; write a fraction{meant}")


def bound(asked: Bound) -> Assessment:
    """Return whether a score reaches a floor or stays within a ceiling."""
    floor = asked.condition is Condition.FLOOR
    bounds = interval(asked.score, asked.confidence) if asked.confidence else None
    if asked.confidence and bounds is None:
        message = f"{asked.what} has no standard error, so nobody knows how sure {_figure(asked.score.value)} is"
        return Assessment(Outcome.INCONCLUSIVE, f"{message} (n={asked.score.n})")
    low, high = bounds or (_value(asked.score), _value(asked.score))
    if floor:
        holds, fails = _at_most(asked.threshold, low), not _at_most(asked.threshold, high)
    else:
        holds, fails = _at_most(high, asked.threshold), not _at_most(low, asked.threshold)
    outcome = Outcome.PASS if holds else Outcome.FAIL if fails else Outcome.INCONCLUSIVE
    return Assessment(outcome, _bound_sentence(asked, outcome, bounds))


def _bound_sentence(asked: Bound, outcome: Outcome, bounds: tuple[float, float] | None) -> str:
    words = {
        (Condition.FLOOR, Outcome.PASS): "reaches the floor",
        (Condition.FLOOR, Outcome.FAIL): "is below the floor",
        (Condition.CEILING, Outcome.PASS): "stays within the ceiling",
        (Condition.CEILING, Outcome.FAIL): "is above the ceiling",
    }.get((asked.condition, outcome), f"leaves open whether it keeps the {asked.condition}")
    shown, limit = figures(_value(asked.score), asked.threshold)
    sure = ""
    if bounds and asked.confidence:
        sure = f", {_percent(asked.confidence)} sure: {bounds[0]:.4g} to {bounds[1]:.4g}"
    if outcome is Outcome.INCONCLUSIVE:
        sure += _what_would_decide(_needed(asked))
    return f"{asked.what} {shown} {words} {limit}{sure} (n={asked.score.n})"


def _needed(asked: Bound) -> int | None:
    distance = _value(asked.score) - asked.threshold
    return required_n(asked.score.n, asked.score.stderr or 0.0, distance, asked.confidence or CONFIDENCE)


def compared(asked: Comparison, band: float | None = None) -> Assessment:
    """Return whether a comparison is won, lost or open.

    :param band: how far two evaluations of the baseline lay apart, where that is known. Damage within it may be chance that
        no paired statistic sees, so it convicts nobody; nor does it acquit.
    """
    difference = _value(asked.candidate) - _value(asked.baseline)
    shown = difference if isfinite(difference) else None
    if asked.answer is None:
        message = f"{_head(asked)}; without documents or standard errors nobody knows how sure that is"
        return Assessment(Outcome.INCONCLUSIVE, f"{message} (n={asked.candidate.n})", shown)
    outcome = Outcome(asked.answer.decision(asked.confidence))
    message = _comparison_sentence(asked, asked.answer, outcome)
    drop = asked.condition is not Condition.MIN_IMPROVEMENT
    if outcome is Outcome.FAIL and drop and band is not None and asked.answer.damage <= band:
        noise = (
            f"{message}; evaluated twice, the baseline itself lay up to {_figure(band)} apart, so this proves nothing"
        )
        return Assessment(Outcome.INCONCLUSIVE, noise, shown)
    return Assessment(outcome, message, shown)


def _head(asked: Comparison) -> str:
    value, reference = _value(asked.candidate), _value(asked.baseline)
    shown, shown_reference = figures(value, reference)
    if value == reference:
        return f"{asked.what} {shown} equals the baseline's"
    better = (value > reference) is asked.higher
    return (
        f"{asked.what} {shown} is {_figure(abs(value - reference))} {'better' if better else 'worse'} "
        f"than the baseline's {shown_reference}"
    )


def _comparison_sentence(asked: Comparison, answer: Answer, outcome: Outcome) -> str:
    sure = f"{_percent(asked.confidence)} sure: "
    if outcome is Outcome.PASS:
        sure += f"at worst {_damage(answer.upper, asked.margin)}"
    elif outcome is Outcome.FAIL:
        sure += f"at best {_damage(answer.lower, asked.margin)}"
    else:
        sure += f"from {_damage(answer.lower, asked.margin)} to {_damage(answer.upper, asked.margin)}"
    decides = _what_would_decide(n_to_decide(asked), answer.clusters) if outcome is Outcome.INCONCLUSIVE else ""
    how = "paired" if asked.paired else "unpaired"
    return f"{_head(asked)}, {sure}; {_allowed(asked)}{_by_luck(asked, outcome)}{decides} (n={answer.n}, {how})"


def _by_luck(asked: Comparison, outcome: Outcome) -> str:
    """Say why a bound beyond the margin is not enough: of many comparisons some look so without any damage."""
    if outcome is not Outcome.INCONCLUSIVE or asked.answer is None or asked.answer.lower <= asked.margin:
        return ""
    return f", but one of {asked.family} comparisons together may look so by luck (Holm)"


def n_to_decide(asked: Comparison) -> int | None:
    """Return how many documents would decide a comparison that is open, if the difference seen is the true one.

    By the normal distribution, where that explains why it is open; otherwise, as with few documents or few clusters, by how
    far the bound in question really is from the estimate. A regression has to stand against its whole family.
    """
    answer = asked.answer
    if answer is None or answer.decision(asked.confidence) != "INCONCLUSIVE":
        return None
    distance = answer.damage - asked.margin
    confidence = 1 - (1 - asked.confidence) / asked.family if distance > 0 else asked.confidence
    needed = required_n(answer.n, answer.stderr, distance, confidence)
    if needed is None or needed > answer.n:
        return needed
    reach = answer.damage - answer.lower if distance > 0 else answer.upper - answer.damage
    return required_n(answer.n, answer.stderr, distance, confidence, reach=reach)


def _allowed(asked: Comparison) -> str:
    if asked.condition is Condition.MIN_IMPROVEMENT:
        return f"{_figure(asked.threshold)} better is required"
    share = f" ({_percent(asked.threshold)})" if asked.condition is Condition.MAX_RELATIVE_DROP else ""
    return f"{_figure(asked.margin)} worse{share} is allowed"


def _what_would_decide(n: int | None, clusters: int = 0) -> str:
    if n is None:
        return "; no reachable number of documents would decide"
    return f"; about {n:,} documents{' in as many more subtasks' if clusters else ''} would decide"


def _damage(value: float, margin: float) -> str:
    if not isfinite(value):
        return "any amount " + ("worse" if value > 0 else "better")
    shown, _ = figures(abs(value), abs(margin), least=2)
    return f"{shown} {'worse' if value >= 0 else 'better'}"


def figures(one: float, other: float, least: int = 4) -> tuple[str, str]:
    """Write two numbers with as few digits as still tell them apart.

    :param least: digits to begin with.
    """
    for digits in (least, 4, 6, 9, 17):
        texts = f"{one:.{digits}g}", f"{other:.{digits}g}"
        if texts[0] != texts[1] or one == other:
            break
    return texts


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _percent(share: float) -> str:
    return f"{100 * share:.4g} %"


def _at_most(one: float, other: float) -> bool:
    return one <= other + TOLERANCE


def _value(metric: Metric) -> float:
    if metric.value is None:
        raise ValueError("a score without a value must not be compared")
    return metric.value
