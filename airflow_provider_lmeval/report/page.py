"""What a report says, as plain data, before it is known whether it becomes HTML or Markdown.

Everything is taken from the verdict, and from the results it was made of where those can be read. A verdict about evidence
that cannot be read has nothing but reasons, and still makes a report.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from airflow_provider_lmeval.errors import LMEvalError
from airflow_provider_lmeval.gate.assess import interval
from airflow_provider_lmeval.gate.stats.levels import CONFIDENCE
from airflow_provider_lmeval.gate.verdict import Calibrated, Check, Flip, Statistics, Verdict
from airflow_provider_lmeval.report.answers import Answer, SampleTables, answers, flips
from airflow_provider_lmeval.report.figures import Axis, Dot, Interval, axes, dot
from airflow_provider_lmeval.results.model import EvalResult, Metric


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """A metric on both sides."""

    task: str
    metric: str
    candidate: Dot | None
    baseline: Dot | None
    limits: tuple[float, ...]
    """Where floors and ceilings lie, in percent."""
    pooled: bool = False
    """Whether it is the score of a pool, which no result has."""


@dataclass(frozen=True, slots=True)
class DamageRow:
    """How much worse the candidate is, beside how much worse it may be."""

    check: Check
    statistics: Statistics
    dot: Dot | None
    zero: float
    margin: float
    noise: Interval | None = None
    """From where to where two evaluations of the baseline lay apart, in percent; None where nobody looked."""


@dataclass(frozen=True, slots=True)
class FlipRow:
    """A document that the models scored differently."""

    metric: str
    flip: Flip
    answer: Answer | None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where one side's numbers come from.

    :param facts: names and values, in order. :param command: lm-eval's command with the same scores, for a shell.
    """

    side: str
    facts: tuple[tuple[str, str], ...]
    command: str | None


@dataclass(frozen=True, slots=True)
class Page:
    """A report.

    :param has_texts: whether any prompt or answer is known.
    """

    verdict: Verdict
    scores: tuple[ScoreRow, ...]
    damages: tuple[DamageRow, ...]
    flips: tuple[FlipRow, ...]
    has_texts: bool
    origins: tuple[Origin, ...]
    confidence: float = CONFIDENCE


def subject(part: Check | ScoreRow) -> str:
    """Return how to name to people what a check or a score is about: a task, a group, or the pool that a rule calls so."""
    if not part.pooled:
        return part.task
    return "pool of all tasks" if part.task == "*" else f"pool of {part.task}"


def calibrated(known: Calibrated) -> str:
    """Return what comparing the baseline with itself showed, in words."""
    kind = {
        "deterministic": "Evaluated twice, the baseline scored the same on every document.",
        "varied": "Evaluated twice, the baseline did not score the same on every document.",
    }[known.kind]
    if known.false_block_rate is None:
        return f"{kind} No rule that can be simulated blocks, so there is no false-block rate."
    rate = f"{100 * known.false_block_rate:.3g} %"
    return f"{kind} Of {known.gates:,} simulated gates of the baseline against itself {rate} blocked it."


def no_samples(_side: str, _task: str) -> None:
    """Supply no samples: what evidence without texts does."""


def page(
    verdict: Verdict,
    candidate: EvalResult | None = None,
    baseline: EvalResult | None = None,
    samples: SampleTables = no_samples,
) -> Page:
    """Return what there is to say of a verdict.

    :param candidate: the result it judges; ``baseline`` likewise. None where it cannot be read.
    :param samples: what was asked and answered.
    """
    changed = tuple(_flips(verdict, samples))
    sides = (("Candidate", candidate), ("Baseline", baseline))
    return Page(
        verdict=verdict,
        scores=tuple(_scores(verdict, candidate, baseline)),
        damages=tuple(_damages(verdict.checks)),
        flips=changed,
        has_texts=any(row.answer for row in changed),
        origins=tuple(_origin(side, result) for side, result in sides if result),
    )


@dataclass(frozen=True, slots=True)
class _Score:
    value: float
    bounds: Interval | None


def _scores(verdict: Verdict, candidate: EvalResult | None, baseline: EvalResult | None) -> Iterable[ScoreRow]:
    """Yield every score of either side, and those of pools, which only the verdict knows."""
    sides, pools = (_of(candidate), _of(baseline)), set()
    limits: dict[tuple[str, str], list[float]] = {}
    for check in verdict.checks:
        key = (check.task, check.metric)
        if key not in sides[0] and key not in sides[1]:
            _add_unread(check, key, sides)
            pools |= {key} if check.pooled else set()
        if check.condition and not check.condition.compares and check.threshold is not None:
            limits.setdefault(key, []).append(check.threshold)
    keys = list(dict.fromkeys([*sides[0], *sides[1]]))
    values = [[*_numbers(sides, key), *limits.get(key, ())] for key in keys]
    for key, axis in zip(keys, axes(values), strict=True):
        first, second = (dot(axis, side[key].value, side[key].bounds) if key in side else None for side in sides)
        lines = tuple(axis.at(each) for each in limits.get(key, ()))
        yield ScoreRow(*key, first, second, lines, key in pools)


_Scores = dict[tuple[str, str], _Score]


def _of(result: EvalResult | None) -> _Scores:
    if result is None:
        return {}
    return {
        (task, key): _Score(metric.value, _bounds(metric))
        for task, entry in result.tasks.items()
        for key, metric in entry.metrics.items()
        if metric.value is not None
    }


def _bounds(metric: Metric) -> Interval | None:
    return interval(metric, CONFIDENCE) if metric.n and metric.stderr is not None else None


def _add_unread(check: Check, key: tuple[str, str], sides: tuple[_Scores, _Scores]) -> None:
    if check.value is not None:
        sides[0][key] = _Score(check.value, check.interval)
    if check.baseline is not None:
        sides[1][key] = _Score(check.baseline, None)


def _numbers(sides: tuple[_Scores, _Scores], key: tuple[str, str]) -> Iterable[float]:
    for side in sides:
        if key in side:
            yield from (side[key].value, *(side[key].bounds or ()))


def _damages(checks: Iterable[Check]) -> Iterable[DamageRow]:
    """Yield the comparisons. Each has an axis of its own: what matters is where the interval lies beside the margin."""
    for check in checks:
        found = check.statistics
        if found is None:
            continue
        ends = [each for each in (found.lower, found.upper) if each is not None]
        band = () if found.noise_band is None else (-found.noise_band, found.noise_band)
        axis = Axis.over([0.0, found.margin, found.damage, *ends, *band])
        low = axis.low if found.lower is None else found.lower
        high = axis.high if found.upper is None else found.upper
        noise = (axis.at(band[0]), axis.at(band[1])) if band else None
        shown = dot(axis, found.damage, (low, high))
        yield DamageRow(check, found, shown, axis.at(0.0), axis.at(found.margin), noise)


def _flips(verdict: Verdict, samples: SampleTables) -> Iterable[FlipRow]:
    for (_, metric), documents in flips(verdict).items():
        texts = _texts(documents, metric, samples)
        for flip in documents:
            yield FlipRow(metric, flip, texts.get(flip.doc_hash))


def _texts(documents: list[Flip], metric: str, samples: SampleTables) -> dict[str, Answer]:
    """Return what is known of a task's flips; damaged samples leave a report without texts, not a gate without report."""
    try:
        return answers(documents, documents[0].task, metric, samples)
    except LMEvalError:
        return {}


def _origin(side: str, result: EvalResult) -> Origin:
    model, print_ = result.model, result.fingerprint
    facts: dict[str, Any] = {
        "Run": result.run_id,
        "Model": model.name,
        "Identity": model.identity,
        "Type": model.type,
        "Precision": model.dtype,
        "Device": model.device,
        "Batch size": print_.batch_size,
        "Image": print_.image,
        "Seeds": ", ".join(map(str, print_.seeds)) if print_.seeds else None,
        "Limit": print_.limit,
        "Versions": ", ".join(f"{name} {each}" for name, each in result.versions.items() if each),
        "Started": _time(result.timings.started),
        "Took": None if result.timings.seconds is None else f"{result.timings.seconds:,.0f} s",
    }
    said = tuple((name, str(value)) for name, value in facts.items() if value not in (None, ""))
    return Origin(side, said, shlex.join(result.equivalent_command) if result.equivalent_command else None)


def _time(seconds: float | None) -> str | None:
    if seconds is None or not 0 <= seconds < 2**37:
        return None
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
