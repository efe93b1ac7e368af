"""Read lm-eval's group definitions as its ``TaskFactory`` does, including the ones it gets wrong.

A group's members may be names, references that change settings, or whole groups and tasks written inside it,
which lm-eval then calls ``outer::inner``. Some definitions that ship with lm-eval cannot be built, and one,
``openllm``, is built into something else than it says: lm-eval 0.4.13 hands a member's ``task:`` key down to
everything inside a group or tag, so all 57 subjects of MMLU get the name ``mmlu`` and only the last is
evaluated. A gate must not trust such a number, so the catalogue records the defect.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_lmeval.catalog.layout import GroupRow

Config = Mapping[str, Any]


def group_rows(
    name: str, config: Config, family: str, index: Mapping[str, Any]
) -> tuple[dict[str, GroupRow], dict[str, Config]]:
    """Return the group with those written inside it, and the configurations of tasks written inside it.

    :param name: the group's name, with its parents' if it is written inside another.
    :param index: every name that lm-eval knows → its ``Entry``; a member that is not in it is an inline definition.
    """
    groups: dict[str, GroupRow] = {}
    tasks: dict[str, Config] = {}
    members = []
    for item in config["task"]:
        member = _member(name, item, index)
        if member is None:
            continue
        members.append(member)
        if "::" in member and "group" in item:
            inner_groups, inner_tasks = group_rows(member, item, family, index)
            groups |= inner_groups
            tasks |= inner_tasks
        elif "::" in member:
            tasks[member] = item if isinstance(item, dict) else {}
    return groups | {name: _row(members, config, family, index)}, tasks


def _row(members: list[str], config: Config, family: str, index: Mapping[str, Any]) -> GroupRow:
    defects = [_defect(item, index) for item in config["task"] if isinstance(item, dict)]
    return {
        "members": list(dict.fromkeys(members)),
        "aggregates": bool(config.get("aggregate_metric_list")),
        "family": family,
        "defect": " ".join(dict.fromkeys(filter(None, defects))) or None,
    }


def _member(group: str, item: str | Config, index: Mapping[str, Any]) -> str | None:
    """Return the name that lm-eval gives a member; None for one that it refuses."""
    if isinstance(item, str):
        base: str | None = item
    else:
        base = item.get("group", item.get("task"))
    return base if base is None or base in index else f"{group}::{base}"


def _defect(item: Config, index: Mapping[str, Any]) -> str | None:
    """Return what goes wrong when lm-eval builds a group with this member; None for a sound one."""
    base = item.get("group", item.get("task"))
    kind = index[base].kind.name if base in index else None
    if base is None:
        return "lm-eval cannot load it: a member names neither a task nor a group."
    if "group" in item and kind in {"TASK", "PY_TASK"}:
        return f"lm-eval cannot load it: its member {base} is a task, but written as a group."
    if "group" not in item and kind in {"GROUP", "TAG"}:
        return f"lm-eval evaluates only the last task of {base}, under the name {base}; list the members instead."
    if "group" not in item and kind is None and "include" in item:
        return f"lm-eval cannot load it: its member {base} includes a file, which members cannot."
    return None
