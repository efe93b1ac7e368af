"""Finds what a rule is about: which tasks, and which of their scores.

People name a task, a group, a wildcard, or something that only the catalogue knows, such as a tag or a suite; results know
only what was evaluated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

from airflow_provider_lmeval.catalog import SUITES, GroupInfo, TagInfo, catalog
from airflow_provider_lmeval.catalog.model import PREFERRED_METRICS
from airflow_provider_lmeval.errors import MetricNotFoundError
from airflow_provider_lmeval.results.model import EvalResult

PRIMARY = "primary"
"""What a rule calls the score that stands for a task when nobody chose one."""


def targets(pattern: str, result: EvalResult) -> list[str]:
    """Return the tasks and groups that a rule is about, in the result's order.

    A group that has no scores of its own stands for its tasks.

    :param pattern: a name, a wildcard (``*``, ``?``, ``[…]``), or a tag, group or suite of the catalogue; of those, members
        that were not evaluated are returned too, so that their absence can be noticed.
    """
    named = [pattern] if pattern in result.tasks else [name for name in result.tasks if fnmatchcase(name, pattern)]
    found: dict[str, None] = {}
    for name in named or _known(pattern):
        entry = result.tasks.get(name)
        own = entry is None or entry.kind == "task" or bool(entry.metrics)
        found |= dict.fromkeys([name] if own else result.leaves(name))
    return list(found) if found.keys() & result.tasks.keys() else []


def _known(name: str) -> Iterable[str]:
    if name in SUITES:
        return [member.task for member in SUITES[name].tasks]
    entry = catalog().find(name)
    return entry.members if isinstance(entry, GroupInfo | TagInfo) else ()


def leaves(names: Iterable[str], result: EvalResult) -> list[str]:
    """Return the tasks that tasks and groups consist of, each once, in order."""
    return list(dict.fromkeys(leaf for name in names for leaf in result.leaves(name)))


def score_name(task: str, metric: str, result: EvalResult) -> str:
    """Return which score of a task a rule means: as the rule says it, or the one that stands for the task.

    lm-eval names no such score, so ``primary`` follows its users' habit: length-normalised accuracy, accuracy, exact match,
    and otherwise the first whose direction is known.

    :raises MetricNotFoundError: the task was not evaluated, or has no score at all.
    """
    if metric != PRIMARY:
        return metric
    names = list(result.task(task).metrics)
    if not names:
        raise MetricNotFoundError(f"{task} has no metric")
    return next(_by_preference(task, names, result), names[0])


def _by_preference(task: str, names: list[str], result: EvalResult) -> Iterator[str]:
    for preferred in PREFERRED_METRICS:
        yield from (name for name in names if name.partition(",")[0] == preferred)
    metrics = result.tasks[task].metrics
    yield from (name for name in names if metrics[name].higher_is_better is not None)
