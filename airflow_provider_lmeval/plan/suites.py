"""Suites become what lm-eval understands: a group that names tasks, each with its own number of examples."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from airflow_provider_lmeval.catalog import GroupInfo, TagInfo, catalog, suite
from airflow_provider_lmeval.spec import EvalSpec

PREFIX = "suite:"


def split_tasks(spec: EvalSpec) -> tuple[list[str], list[dict[str, Any]]]:
    """Separate the names lm-eval looks up from the configurations it is handed; a suite is one of the latter.

    :raises UnknownTaskError: a suite that does not exist.
    """
    names = [task for task in spec.tasks if isinstance(task, str) and not task.startswith(PREFIX)]
    inline = [dict(task) for task in spec.tasks if isinstance(task, dict)]
    suites = [task.removeprefix(PREFIX) for task in spec.tasks if isinstance(task, str) and task.startswith(PREFIX)]
    return names, [*inline, *map(_group, suites)]


def _group(name: str) -> dict[str, Any]:
    chosen = suite(name)
    members = [member for task in chosen.tasks for member in _members(task.task, task.num_fewshot)]
    return {"group": chosen.name, "task": members}


def _members(name: str, num_fewshot: int | None) -> list[dict[str, Any]]:
    """Name one task, group or tag with its settings, under the key that keeps them apart.

    Under ``task``, lm-eval hands the *name* of a group down to its members together with the settings, so that they all
    answer to one name and only the last is evaluated. A tag has no key of its own and is written out.
    """
    settings = {} if num_fewshot is None else {"num_fewshot": num_fewshot}
    known = catalog().find(name)
    if isinstance(known, TagInfo):
        return [{"task": task.name} | settings for task in catalog().expand([name])]
    return [{"group" if isinstance(known, GroupInfo) else "task": name} | settings]


def referenced(names: Iterable[str], inline: Iterable[dict[str, Any]]) -> list[str]:
    """Return every name lm-eval will look up: the plain ones and the members of inline groups."""
    members = [member for config in inline if isinstance(config.get("task"), list) for member in config["task"]]
    return [*names, *(m if isinstance(m, str) else str(m.get("task", m.get("group"))) for m in members)]
