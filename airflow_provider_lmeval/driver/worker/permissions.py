"""Refuses code that a run was not allowed to execute, as early as it can be recognised.

lm-eval's task YAML is code in three ways: a task may be marked unsafe because it executes what the model wrote,
``!function`` imports a file next to the YAML, and Jinja templates reach the interpreter through attributes. lm-eval
asks about the first only, and after the model was loaded. Without permission the first two are refused here, and
templates run in Jinja's sandbox, in which ordinary templates give the same text. lm-eval's own tasks are trusted as
much as lm-eval is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from airflow_provider_lmeval.errors import RunFailedError
from airflow_provider_lmeval.wire import Cause, Request
from airflow_provider_lmeval.wire_env import takes_both


def check_model_code(request: Request) -> None:
    """Refuse ``trust_remote_code`` without permission.

    :raises RunFailedError: ``code_denied``.
    """
    asked = request.evaluate.get("trust_remote_code") or request.model_args.get("trust_remote_code")
    if asked and not request.allow_code_execution:
        raise denied("trust_remote_code runs code that comes with the model or dataset.")


def check_yaml_code(path: Path) -> None:
    """Refuse a task file outside lm-eval that imports functions.

    :param path: the YAML file; what it includes is read as well.
    :raises RunFailedError: ``code_denied``.
    """
    if _imports_functions(path, set()):
        raise denied(f"{path} imports Python functions (!function).")


def check_unsafe(configs: Iterable[Mapping[str, Any]]) -> None:
    """Refuse task configurations that are marked as unsafe: such tasks execute what the model writes.

    Asked before the task is built, because building one may already import what executes code.

    :raises RunFailedError: ``code_denied``.
    """
    _refuse_unsafe(str(config.get("task")) for config in configs if config.get("unsafe_code"))


def check_unsafe_tasks(tasks: Mapping[str, Any]) -> None:
    """Refuse task objects that are marked as unsafe: Python classes say so themselves.

    :param tasks: lm-eval task objects by name.
    :raises RunFailedError: ``code_denied``.
    """
    _refuse_unsafe(name for name, task in tasks.items() if getattr(task, "UNSAFE_CODE", False))


def _refuse_unsafe(names: Iterable[str]) -> None:
    if unsafe := sorted(names):
        raise denied(f"{', '.join(unsafe)}: lm-eval marks such tasks as unsafe, they execute what the model writes.")


def lm_eval_tasks() -> Path:
    """Return the directory of the tasks that come with lm-eval."""
    found = find_spec("lm_eval")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("lm_eval is not installed where the worker runs", name="lm_eval")
    return Path(found.submodule_search_locations[0]) / "tasks"


def is_lm_evals(path: Path) -> bool:
    """Tell whether a task file came with lm-eval."""
    return path.resolve().is_relative_to(lm_eval_tasks().resolve())


def _imports_functions(path: Path, seen: set[Path]) -> bool:
    import yaml

    path = path.resolve()
    if path in seen or is_lm_evals(path):
        return False
    seen.add(path)
    with open(path, "rb") as stream:
        root = yaml.compose(stream, Loader=yaml.SafeLoader)
    return any(node.tag == "!function" for node in _nodes(root)) or any(
        _imports_functions(path.parent / included, seen) for included in _included(root)
    )


def _nodes(node: Any) -> list[Any]:
    if not isinstance(node.value, list):
        return [node]
    children = [part for item in node.value for part in (item if isinstance(item, tuple) else (item,))]
    return [node, *(below for child in children for below in _nodes(child))]


def _included(root: Any) -> list[str]:
    values = [value for key, value in root.value if key.value == "include"] if isinstance(root.value, list) else []
    return [node.value for value in values for node in _nodes(value) if isinstance(node.value, str)]


def denied(what: str) -> RunFailedError:
    """Return the error for what needs permission to execute code.

    :param what: a sentence that names it.
    """
    return RunFailedError(f"{what} {takes_both('allow_code_execution')}", Cause.CODE_DENIED)
