"""Lays results out as rows, so that the command line, the demo and reports show the same table.

Only what belongs into the cells; how it looks is left to whoever prints it.
"""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_lmeval.errors import MetricNotFoundError
from airflow_provider_lmeval.results.model import EvalResult, Metric


@dataclass(frozen=True, slots=True)
class Row:
    """One score, beside the same score of a baseline if there is one.

    :param model: name of the model.
    :param task: name of the task or group; ``alias`` is how its author shows it.
    :param metric: name without filter; ``filter`` is the filter's, ``none`` for none.
    :param value: the score; None where there is none. ``stderr``: its standard error.
    :param n: documents behind it.
    :param higher_is_better: the direction; None where the task does not say.
    :param baseline: the baseline's score, None without one.
    :param difference: ``value`` minus ``baseline``.
    """

    model: str | None
    task: str
    alias: str
    metric: str
    filter: str
    value: float | None
    stderr: float | None
    n: int
    higher_is_better: bool | None
    baseline: float | None = None
    difference: float | None = None


def rows(result: EvalResult, baseline: EvalResult | None = None) -> list[Row]:
    """Return one row per task and metric, in the document's order.

    :param result: whose scores are shown.
    :param baseline: scores to set beside them, by the same task, metric and filter.
    """
    return [
        _row(result, task, key, metric, baseline)
        for task, entry in result.tasks.items()
        for key, metric in entry.metrics.items()
    ]


def _row(result: EvalResult, task: str, key: str, metric: Metric, baseline: EvalResult | None) -> Row:
    name, _, filter_name = key.partition(",")
    other = _value(baseline, task, key)
    return Row(
        model=result.model.name,
        task=task,
        alias=result.tasks[task].alias or task,
        metric=name,
        filter=filter_name or "none",
        value=metric.value,
        stderr=metric.stderr,
        n=metric.n,
        higher_is_better=metric.higher_is_better,
        baseline=other,
        difference=None if metric.value is None or other is None else metric.value - other,
    )


def _value(result: EvalResult | None, task: str, key: str) -> float | None:
    try:
        return result.metric(task, key).value if result else None
    except MetricNotFoundError:
        return None
