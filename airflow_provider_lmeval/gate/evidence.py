"""Reads the two sides' per-document scores and sets them side by side, one task at a time.

The gate is a pure function, so it does not know where score tables lie: whoever asks it passes a function that returns the
rows of one. What may be wrong with a pair of tables is found here, on the way, because a million rows are read once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from airflow_provider_lmeval.errors import LMEvalError
from airflow_provider_lmeval.gate import suspicion
from airflow_provider_lmeval.gate.noise import NoiseTable
from airflow_provider_lmeval.gate.stats import aggregate, paired
from airflow_provider_lmeval.gate.verdict import Finding, Flip, Flips, Outcome
from airflow_provider_lmeval.results.model import EvalResult, Metric
from airflow_provider_lmeval.results.scores import Score

Side: TypeAlias = Literal["candidate", "baseline"]
ScoreTables: TypeAlias = Callable[[Side, str], Iterable[Score] | None]
"""Returns the score table of a side's task; None if it has none. Raises :class:`LMEvalError` if it cannot be read."""

LISTED = 20
"""Documents listed of those that got worse, and of those that got better."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """The scores of one task's documents, those of the two models in the same order.

    :param candidate: per document, such that the mean is the reported score; None where there are no such numbers.
    :param baseline: likewise. :param mean: the score is the documents' average, so it can be pooled with others.
    :param bounded: no score is below 0 or above 1.
    :param flips: what changed, if higher scores are better. :param findings: what is wrong with the tables.
    """

    candidate: Any | None = None
    baseline: Any | None = None
    mean: bool = False
    bounded: bool = False
    flips: Flips | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether the documents can be compared one by one."""
        return self.candidate is not None


class Evidence:
    """Two results with their score tables. Every task's tables are read at most once per metric and ``max_error_rate``.

    :param candidate: the evidence on the model in question. :param baseline: that on the model to compare with.
    :param scores: returns score tables; None where there are none at all.
    :param noise: how far two evaluations of the baseline lay apart.
    """

    def __init__(
        self,
        candidate: EvalResult,
        baseline: EvalResult | None,
        scores: ScoreTables | None,
        noise: NoiseTable | None = None,
    ) -> None:
        self.candidate = candidate
        self.baseline = baseline
        self.noise = noise or NoiseTable()
        self._scores = scores
        self._pairs: dict[tuple[str, str, float], Pairs] = {}
        self._alone: dict[tuple[str, str], tuple[Finding, ...]] = {}

    def pairs(self, task: str, key: str, max_error_rate: float) -> Pairs:
        """Return the scores of one task on both sides.

        :param task: a task, not a group. :param key: ``metric,filter``.
        :param max_error_rate: share of documents without a score that is put up with.
        """
        asked = task, key, max_error_rate  # what one rule puts up with is no excuse under another
        if asked not in self._pairs:
            self._pairs[asked] = self._read(task, key, max_error_rate)
        return self._pairs[asked]

    def alone(self, task: str, key: str) -> tuple[Finding, ...]:
        """Return what the candidate's score table says against its score, where only the table can tell."""
        if (task, key) not in self._alone:
            columns = self._column("candidate", task, key) if suspicion.needs_table(self.candidate, task) else None
            column = columns if isinstance(columns, paired.Column) else None
            self._alone[task, key] = tuple(suspicion.check_guessing(self.candidate, task, key, column))
        return self._alone[task, key]

    def _read(self, task: str, key: str, max_error_rate: float) -> Pairs:
        if self.baseline is None:
            raise ValueError("there is nothing to pair without a baseline")
        one = self._column("candidate", task, key)
        other = self._column("baseline", task, key) if one is not None else None
        broken = [found for found in (one, other) if isinstance(found, Finding)]
        if broken:
            return Pairs(findings=tuple(broken))
        if not isinstance(one, paired.Column) or not isinstance(other, paired.Column):
            return Pairs(findings=(_missing(task),))
        metrics = self.candidate.tasks[task].metrics[key], self.baseline.tasks[task].metrics[key]
        return _paired(task, (one, other), metrics, self._suspicions(task, one, other, metrics, max_error_rate))

    def _suspicions(
        self,
        task: str,
        one: paired.Column,
        other: paired.Column,
        metrics: tuple[Metric, Metric],
        max_error_rate: float,
    ) -> list[Finding]:
        different = self.baseline is not None and suspicion.different_models(self.candidate, self.baseline)
        return [
            *suspicion.check_rows(task, "candidate", one, metrics[0], max_error_rate),
            *suspicion.check_rows(task, "baseline", other, metrics[1], max_error_rate),
            *suspicion.check_answers(task, one, other, different=different),
        ]

    def _column(self, side: Side, task: str, key: str) -> paired.Column | Finding | None:
        metric, _, filter_name = key.partition(",")
        try:
            rows = self._scores(side, task) if self._scores else None
            if rows is None:
                return None
            if column := paired.read_column(rows, metric, filter_name or "none"):
                return column
        except LMEvalError as error:
            message = f"the {side}'s score table of {task} cannot be read: {error}; evaluate it again"
            return Finding(id="scores-damaged", severity=Outcome.ERROR, subject=f"{side}: {task}", message=message)
        message = f"the {side}'s score table of {task} has no document for {key}; evaluate it again"
        return Finding(id="scores-incomplete", severity=Outcome.ERROR, subject=f"{side}: {task}", message=message)


def _paired(
    task: str,
    columns: tuple[paired.Column, paired.Column],
    metrics: tuple[Metric, Metric],
    suspicions: list[Finding],
) -> Pairs:
    matched = paired.pair(*columns)
    findings = [*suspicions, *suspicion.check_match(task, matched)]
    if any(each.severity is Outcome.ERROR for each in findings):
        return Pairs(findings=tuple(findings))
    one, other = columns[0].values[matched.candidate], columns[1].values[matched.baseline]
    complete = ~_incomplete(one, other)
    how = aggregate.recognise_partly(_sides(one, other, metrics)) if complete.any() else None
    if how is None:
        return Pairs(findings=(*findings, _not_numbers(task)))
    one, other = one[complete], other[complete]
    ours, theirs = aggregate.contributions(how, one), aggregate.contributions(how, other)
    bounded = how.mean and min(ours.min(), theirs.min()) >= 0 and max(ours.max(), theirs.max()) <= 1
    flips = _flips(task, columns[0], matched.candidate[complete], ours, theirs)
    return Pairs(ours, theirs, how.mean, bool(bounded), flips, tuple(findings))


def _incomplete(one: Any, other: Any) -> Any:
    import numpy as np

    if one.shape != other.shape:
        return np.ones(len(one), dtype=bool)
    return np.isnan(one).any(axis=1) | np.isnan(other).any(axis=1)


def _sides(one: Any, other: Any, metrics: tuple[Metric, Metric]) -> list[tuple[Any, float]]:
    return [
        (values, metric.value) for values, metric in zip((one, other), metrics, strict=True) if metric.value is not None
    ]


def _flips(task: str, column: paired.Column, rows: Any, ours: Any, theirs: Any) -> Flips:
    import numpy as np

    damage = theirs - ours
    listed = [*_largest(damage), *_largest(-damage)]
    return Flips(
        worse=int(np.count_nonzero(damage > 0)),
        better=int(np.count_nonzero(damage < 0)),
        documents=tuple(
            Flip(
                task=task,
                doc_id=int(column.doc_ids[rows[at]]),
                doc_hash=column.hash_of(rows[at]),
                candidate=float(ours[at]),
                baseline=float(theirs[at]),
            )
            for at in listed
        ),
    )


def _largest(damage: Any) -> Iterator[int]:
    """Yield the positions of the largest positive values; equal ones in the order of content."""
    import numpy as np

    positive = np.flatnonzero(damage > 0)
    yield from positive[np.argsort(-damage[positive], kind="stable")[:LISTED]].tolist()


def _missing(task: str) -> Finding:
    message = (
        f"{task}: at least one side has no per-document scores, so the averages are compared by their standard errors, "
        "which takes several times the documents; keep the score tables"
    )
    return Finding(id="scores-missing", severity=Outcome.WARN, subject=task, message=message)


def _not_numbers(task: str) -> Finding:
    message = (
        f"{task}: its score is not a known function of its documents' scores, so the scores are compared by their standard "
        "errors, which takes several times the documents"
    )
    return Finding(id="scores-not-comparable", severity=Outcome.WARN, subject=task, message=message)
