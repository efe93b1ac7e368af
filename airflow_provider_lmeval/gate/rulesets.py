"""Rules for those who have not thought about rules yet, and for the suites everybody runs.

They follow one thought: the suite as a whole has enough documents to prove that a model is no worse, a single task seldom
has. So the pooled suite blocks and the tasks are shown. Plain data, so that a set can be printed, copied and changed.
"""

from __future__ import annotations

from typing import Any

from airflow_provider_lmeval.catalog.suites import ALIASES, SUITES, Suite
from airflow_provider_lmeval.errors import GateError
from airflow_provider_lmeval.results.wording import suggest

NO_REGRESSION = "no_regression"
"""The default: what a gate without rules asks."""
MARGIN = 0.01
"""Most damage to a suite's pooled scores: a point. A suite of 10,000 documents usually decides it, one of 1,000 seldom."""
RELATIVE_MARGIN = 0.05
"""Most damage to a single score, as a fraction of the baseline's: it fits accuracies and perplexities alike."""
GUARD = 0.2
"""Scores below this are allowed the damage of this one."""
PERPLEXITY_MARGIN = 0.02
"""Most damage to a perplexity where it is all there is to judge, as a fraction of the baseline's."""

Data = dict[str, Any]


def ready(name: str) -> Data:
    """Return a ready rule set as plain data.

    :param name: ``no_regression``, or a suite of the catalogue such as ``mmlu``.
    :raises GateError: there is none of that name; with near matches.
    """
    if name == NO_REGRESSION:
        return {"rules": [_pooled("*"), _shown("*", "primary")]}
    suite = SUITES.get(ALIASES.get(name, name))
    if suite is None:
        raise GateError(f"there is no rule set {name!r}; {suggest(name, [NO_REGRESSION, *SUITES, *ALIASES], shown=99)}")
    return {"rules": _perplexities(suite) if suite.name == "perplexity" else _suite(suite)}


def _suite(suite: Suite) -> list[Data]:
    members = [
        _shown(each.task, f"{each.metric},{each.filter}" if each.metric and each.filter != "none" else each.metric)
        for each in suite.tasks
    ]
    return [_pooled(suite.name), *members]


def _perplexities(suite: Suite) -> list[Data]:
    return [
        {
            "task": each.task,
            "metric": each.metric,
            "max_relative_drop": PERPLEXITY_MARGIN,
            "name": f"no worse {each.task}",
        }
        for each in suite.tasks
    ]


def _pooled(task: str) -> Data:
    name = "no regression of the suite"
    return {"task": task, "metric": "primary", "pool": True, "max_drop": MARGIN, "name": name}


def _shown(task: str, metric: str | None) -> Data:
    return {
        "task": task,
        "metric": metric or "primary",
        "max_relative_drop": RELATIVE_MARGIN,
        "relative_guard_below": GUARD,
        "tier": "info",
        "name": "each task",
    }
