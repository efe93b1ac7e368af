"""Finds the requested tasks among lm-eval's 14,000, indexing as few of its files as can be.

lm-eval parses every task file it ships before it looks anything up: most of the time of a small evaluation. The
catalogue knows in which directories the requested tasks lie (``Request.families``), so only these are indexed, and
everything only when something stays unknown. Later paths override earlier ones, as with ``lm-eval run
--include_path``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_provider_lmeval.driver.worker.permissions import check_unsafe, check_yaml_code, is_lm_evals, lm_eval_tasks
from airflow_provider_lmeval.errors import RunFailedError
from airflow_provider_lmeval.wire import Cause, Request

_WILDCARDS = frozenset("*?[")


@dataclass(frozen=True)
class Found:
    """What the request names.

    :param manager: lm-eval's ``TaskManager`` whose index holds the names.
    :param specs: names and configurations, in order, without repetition: what ``TaskManager.load`` takes.
    :param own: configurations of tasks and groups among them that are not lm-eval's own.
    """

    manager: Any
    specs: list[str | dict[str, Any]]
    own: list[dict[str, Any]]


def find(request: Request, metadata: dict[str, Any], generated: list[str]) -> Found:
    """Index what is needed and resolve names, wildcards and YAML paths.

    :param metadata: given to every task, as lm-eval's command does.
    :param generated: directories with task files that the driver wrote itself.
    :raises RunFailedError: ``unknown_task``, ``code_denied``, or ``bad_spec`` for a directory that does not exist.
    """
    _check_directories(request)
    asked = [*request.tasks, *(recipe["task"] for recipe in request.unitxt), *(data["name"] for data in request.data)]
    needed = [name for name in (*asked, *_members(request.inline_tasks)) if not _is_file(name)]
    manager = _manager(request, needed, metadata, generated)
    entries = _entries(manager.task_index, _resolved(manager, needed))
    if not request.allow_code_execution:
        check_unsafe([*(entry.cfg or {} for entry in entries), *flat(request.inline_tasks)])
        _check_files(_foreign(entries), generated)
    specs: list[Any] = []
    for name in asked:
        found = _from_files(name, request) if _is_file(name) else _matches(manager, name)
        specs += [spec for spec in found if spec not in specs]
    specs += request.inline_tasks
    own = [spec for spec in specs if isinstance(spec, dict)] + [entry.cfg for entry in _foreign(entries)]
    return Found(manager, specs, flat(own))


def _check_directories(request: Request) -> None:
    for path in request.include_paths:
        if not Path(path).is_dir():
            raise RunFailedError(f"include_paths: {path!r} is no directory on this machine", Cause.BAD_SPEC)


def _check_files(entries: list[Any], generated: list[str]) -> None:
    """Refuse task files that import code; those the driver wrote name lm-eval's unitxt class."""
    for path in (Path(entry.yaml_path) for entry in entries):
        if not any(path.is_relative_to(place) for place in generated):
            check_yaml_code(path)


def _manager(request: Request, needed: list[str], metadata: dict[str, Any], generated: list[str]) -> Any:
    from lm_eval.tasks import TaskManager

    own = [*request.include_paths, *generated]
    for paths in _targets(request):
        manager = TaskManager(include_defaults=False, include_path=[*paths, *own], metadata=metadata)
        if _holds(manager, needed, exhaustive=bool(paths)):
            return manager
    return TaskManager(include_path=own, metadata=metadata)


def _targets(request: Request) -> Iterator[list[str]]:
    """Yield sets of directories that may be enough, cheapest first."""
    from lm_eval import __version__ as installed

    if request.families and request.catalog_version == installed:
        yield [str(lm_eval_tasks() / family) for family in request.families]
    elif request.include_paths or not request.tasks:
        yield []


def _holds(manager: Any, names: list[str], *, exhaustive: bool) -> bool:
    """Tell whether the index knows all names, and all members of groups that are not lm-eval's own.

    :param exhaustive: the index holds all that wildcards may match; otherwise they need more.
    """
    if not exhaustive and any(_WILDCARDS & set(name) for name in names):
        return False
    index = manager.task_index
    listed = {
        member for entry in _foreign(_entries(index, _resolved(manager, names))) for member in _members([entry.cfg])
    }
    return listed <= set(index) and all(_matches(manager, name, required=False) for name in names)


def _resolved(manager: Any, names: list[str]) -> list[str]:
    return [match for name in names for match in _matches(manager, name, required=False)]


def _matches(manager: Any, name: str, *, required: bool = True) -> list[str]:
    matches = [name] if name in manager.task_index else list(manager.match_tasks([name]))
    if required and not matches:
        near = difflib.get_close_matches(name, manager.all_tasks, n=5)
        hint = f"Did you mean {', '.join(near)}?" if near else "`lm-eval ls tasks` lists what there is."
        raise RunFailedError(f"unknown task {name!r}: no task, group or tag has this name. {hint}", Cause.UNKNOWN_TASK)
    return matches


def _foreign(entries: list[Any]) -> list[Any]:
    """Return the entries that come from files which are not lm-eval's."""
    return [entry for entry in entries if entry.yaml_path and not is_lm_evals(Path(entry.yaml_path))]


def _entries(index: dict[str, Any], names: list[str]) -> list[Any]:
    """Return the index entries of the names and, through groups and tags, of everything they refer to."""
    found: dict[str, Any] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in found or not (entry := index.get(name)):
            continue
        found[name] = entry
        is_tag = entry.yaml_path is None and entry.cfg is None
        waiting += entry.tags if is_tag else _members([entry.cfg or {}])
    return [found[name] for name in sorted(found)]


def flat(configs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return configurations and those that groups among them hold, at any depth."""
    found, waiting = [], list(configs)
    while waiting:
        config = waiting.pop(0)
        found.append(config)
        members = config.get("task")
        waiting += [member for member in members if isinstance(member, dict)] if isinstance(members, list) else []
    return found


def _members(configs: list[dict[str, Any]]) -> list[str]:
    """Return the names that groups among the configurations, and groups within these, list."""
    names: list[str] = []
    waiting = [config for config in configs if isinstance(config.get("task"), list)]
    while waiting:
        for item in waiting.pop()["task"]:
            name = item if isinstance(item, str) else item.get("group") or item.get("task")
            names += [name] if isinstance(name, str) else []
            waiting += [item] if isinstance(item, dict) and isinstance(item.get("task"), list) else []
    return names


def _is_file(name: str) -> bool:
    return name.endswith((".yaml", ".yml"))


def _from_files(pattern: str, request: Request) -> list[dict[str, Any]]:
    """Load task files given by path, as ``lm-eval run --tasks PATH.yaml`` does."""
    import glob

    from lm_eval.tasks._yaml_loader import load_yaml

    paths = [Path(path) for path in sorted(glob.glob(pattern))]  # noqa: PTH207 - absolute patterns, as lm-eval takes them
    if not paths:
        raise RunFailedError(f"unknown task {pattern!r}: there is no such file on this machine", Cause.UNKNOWN_TASK)
    if not request.allow_code_execution:
        for path in paths:
            check_yaml_code(path)
    return [load_yaml(path, resolve_func=True) for path in paths]
