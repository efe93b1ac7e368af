"""Compares one score with what a rule asks of it.

Everything the gate concludes from numbers is concluded in :func:`assess`, and nothing else knows how. It compares the
points as they are: no interval, no test, so a small suite passes or fails by luck. Callers rely on its signature only;
a paired test can take its place without their noticing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from airflow_provider_lmeval.gate.rules import Condition
from airflow_provider_lmeval.gate.verdict import Outcome
from airflow_provider_lmeval.results.model import Metric

TOLERANCE = 1e-9
"""Scores are quotients in binary floating point: 0.8 - 0.79 is a little more than 0.01. A tie goes to the candidate."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One question to the evidence. Values are there: the health checks came first.

    :param condition: what is asked. :param threshold: the rule's number for it.
    :param task: for the sentence. :param metric: ``metric,filter``.
    :param candidate: the score in question. :param baseline: the score to compare with; None for floor and ceiling.
    :param higher_is_better: the direction; None if neither task nor rule says.
    """

    condition: Condition
    threshold: float
    task: str
    metric: str
    candidate: Metric
    baseline: Metric | None = None
    higher_is_better: bool | None = None


@dataclass(frozen=True, slots=True)
class Assessment:
    """The answer.

    :param message: one sentence with the numbers in it. :param difference: candidate minus baseline.
    """

    outcome: Outcome
    message: str
    difference: float | None = None


def assess(asked: Comparison) -> Assessment:
    """Return what the scores say about one condition: PASS or FAIL, or ERROR without a direction."""
    if not asked.condition.compares:
        return _bound(asked)
    if asked.higher_is_better is None:
        return Assessment(
            Outcome.ERROR,
            f"{asked.task} does not say whether a higher {_name(asked)} is better; "
            "set direction: higher or direction: lower in the rule",
        )
    return _compared(asked, higher=asked.higher_is_better)


def _bound(asked: Comparison) -> Assessment:
    value = _value(asked.candidate)
    floor = asked.condition is Condition.FLOOR
    holds = _at_most(asked.threshold, value) if floor else _at_most(value, asked.threshold)
    shown, limit = figures(value, asked.threshold)
    if holds:
        words = "reaches the floor" if floor else "stays within the ceiling"
    else:
        words = "is below the floor" if floor else "is above the ceiling"
    return Assessment(_outcome(holds), f"{asked.task} {_name(asked)} {shown} {words} {limit} (n={asked.candidate.n})")


def _compared(asked: Comparison, *, higher: bool) -> Assessment:
    value, reference = _value(asked.candidate), _value(asked.baseline)
    difference = value - reference
    gain = difference if higher else -difference
    if asked.condition is Condition.MIN_IMPROVEMENT:
        holds = _at_most(asked.threshold, gain)
    else:  # a relative drop multiplied out, so that a baseline of 0 is no exception
        scale = abs(reference) if asked.condition is Condition.MAX_RELATIVE_DROP else 1.0
        holds = _at_most(-gain, asked.threshold * scale)
    message = _sentence(asked, value, reference, gain)
    return Assessment(_outcome(holds), message, difference if math.isfinite(difference) else None)


def _sentence(asked: Comparison, value: float, reference: float, gain: float) -> str:
    amount, bound, unit = abs(gain), asked.threshold, ""
    if asked.condition is Condition.MAX_RELATIVE_DROP:
        amount, bound, unit = (100 * amount / abs(reference), 100 * bound, " %") if reference else (amount, 0.0, "")
    shown, shown_reference = figures(value, reference)
    change, limit = figures(amount, bound)
    how = f"{change}{unit} {'better' if gain > 0 else 'worse'} than" if gain else "equal to"
    improve = asked.condition is Condition.MIN_IMPROVEMENT
    wanted = f"at least {limit}{unit} better is required" if improve else f"at most {limit}{unit} worse is allowed"
    n = asked.candidate.n
    return f"{asked.task} {_name(asked)} {shown} is {how} the baseline's {shown_reference}; {wanted} (n={n})"


def figures(one: float, other: float) -> tuple[str, str]:
    """Write two numbers with as few digits as still tell them apart."""
    for digits in (4, 6, 9, 17):
        texts = f"{one:.{digits}g}", f"{other:.{digits}g}"
        if texts[0] != texts[1] or one == other:
            break
    return texts


def _at_most(one: float, other: float) -> bool:
    return one <= other + TOLERANCE


def _outcome(holds: bool) -> Outcome:
    return Outcome.PASS if holds else Outcome.FAIL


def _name(asked: Comparison) -> str:
    return asked.metric.removesuffix(",none")


def _value(metric: Metric | None) -> float:
    if metric is None or metric.value is None:
        raise ValueError("a score without a value must not be compared")
    return metric.value
