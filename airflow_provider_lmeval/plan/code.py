"""What a spec asks for that is code: each way in which an evaluation can be made to run something nobody has written here.

The driver looks at everything once more, at what is only in files and data too (``driver/worker/permissions.py``,
``unitxt_rules.py``). What stands in the spec itself is found here, so that it is refused before anything is created.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from airflow_provider_lmeval.catalog import Catalog, TaskInfo
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.wire import Cause
from airflow_provider_lmeval.wire_env import why_not as variable_denied
from airflow_provider_lmeval.wire_unitxt import SAFE_TYPES, TYPE, problems, why_not

_REACHES_PYTHON = re.compile(r"\{[{%][^}]*?(?:__|\|\s*attr\b)")
"""A template that reaches for attributes of Python objects. An early word only: the driver runs templates in a sandbox."""


def code_in(spec: EvalSpec, names: list[str], inline: list[dict[str, Any]], known: Catalog) -> Iterator[str]:
    """Yield what a spec asks for that needs permission to execute code.

    :param names: of lm-eval's tasks, groups and tags that the spec evaluates. :param inline: its own task definitions.
    """
    if unsafe := [task.name for task in known.expand(names) if isinstance(task, TaskInfo) and task.unsafe_code]:
        yield f"tasks {some(unsafe)} run code that the model writes"
    if getattr(spec.model, "trust_remote_code", False) or spec.model.args.get("trust_remote_code"):
        yield "model.trust_remote_code runs code that comes with the model"
    for task in inline:
        yield from _inline(task, str(task.get("task") or task.get("group")))
    for name in spec.env:
        if variable_denied(name, allow_online=True, allow_code_execution=False) == Cause.CODE_DENIED:
            yield f"env.{name} lets libraries run code"
    artifacts = [*spec.unitxt, *(spec.artifacts,)]
    for artifact in artifacts:
        yield from _unitxt(artifact.model_dump(mode="json"))


def _inline(task: dict[str, Any], name: str) -> Iterator[str]:
    if _REACHES_PYTHON.search(json.dumps(task)):
        yield f"the templates of {name} reach into Python"
    for node in _objects(task):
        if node.get("unsafe_code"):
            yield f"task {name} is marked as unsafe: it runs code that the model writes"
        if node.get("trust_remote_code"):
            yield f"trust_remote_code in task {name} runs code that comes with the dataset"
        metric = node.get("metric")
        if node.get("hf_evaluate") or (isinstance(metric, str) and "/" in metric):
            yield f"metric {metric!r} of task {name} is a program of the `evaluate` library"


def _unitxt(artifact: Any) -> Iterator[str]:
    for node in _objects(artifact):
        kind = node.get(TYPE)
        if isinstance(kind, str) and kind not in SAFE_TYPES:
            yield f"unitxt type {kind!r} {why_not(kind)}"
        elif isinstance(kind, str):
            yield from (f"unitxt type {kind!r}: {problem}" for problem in problems(kind, node))


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Yield all objects in JSON data, at any depth."""
    waiting = [value]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
        waiting += list(node.values()) if isinstance(node, dict) else node if isinstance(node, list) else []


def some(names: list[str], most: int = 5) -> str:
    """Return the first few names, and how many more there are."""
    shown = ", ".join(sorted(set(names))[:most])
    more = len(set(names)) - most
    return f"{shown} and {more} more" if more > 0 else shown
