"""Builds lm-eval's task objects, datasets included, before the model: what is wrong with them is known in seconds.

What ``simple_evaluate`` does to tasks between loading and evaluating is done here in the same order, so that the
few-shot examples, generation arguments and metrics are those of ``lm-eval run``.
"""

from __future__ import annotations

import copy
import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_provider_lmeval.driver.worker.causes import came_through
from airflow_provider_lmeval.driver.worker.names import Found, find
from airflow_provider_lmeval.driver.worker.permissions import check_unsafe_tasks, denied, is_lm_evals
from airflow_provider_lmeval.driver.worker.settings import Settings
from airflow_provider_lmeval.errors import RunFailedError
from airflow_provider_lmeval.wire import Cause, Request


@dataclass(frozen=True)
class Loaded:
    """What is to be evaluated.

    :param tasks: lm-eval ``Task`` objects by name, in the order of evaluation.
    :param groups: lm-eval ``Group`` objects by name.
    """

    tasks: dict[str, Any]
    groups: dict[str, Any]


def load_tasks(request: Request, settings: Settings, generated: list[str]) -> Loaded:
    """Find, build and configure the requested tasks.

    :param generated: directories with task files that the driver wrote itself.
    :raises RunFailedError: ``unknown_task``, ``code_denied``, ``dataset`` or ``bad_spec``; other exceptions are what
        lm-eval and datasets raise.
    """
    metadata = {**request.model_args, **(settings.metadata or {})}  # in this order, as EvaluatorConfig merges them
    found = find(request, metadata, generated)
    _check_metrics(found, allow_code=request.allow_code_execution)
    loaded = _load(found)
    tasks: dict[str, Any] = loaded["tasks"]
    if not tasks:
        raise RunFailedError(
            "nothing to evaluate: the groups or tags named in the request are empty", Cause.UNKNOWN_TASK
        )
    if not request.allow_code_execution:
        check_unsafe_tasks(tasks)
    _check_samples(settings.samples or {}, tasks)
    for task in tasks.values():
        configure(task, settings)
    if settings.check_integrity:
        from lm_eval.evaluator_utils import run_task_tests

        run_task_tests(task_list=list(tasks))
    return Loaded(tasks, dict(loaded.get("groups") or {}))


def configure(task: Any, settings: Settings) -> None:
    """Apply the request's overrides to one task, as ``simple_evaluate`` does (lm_eval/evaluator.py)."""
    if settings.gen_kwargs and task.get_config("output_type") == "generate_until":
        task.set_config(key="generation_kwargs", value=dict(settings.gen_kwargs), update=True)
    if settings.predict_only:
        task.override_metric(metric_name="bypass")
    shots = task.get_config("num_fewshot")
    if settings.num_fewshot is not None and shots != 0:  # a task's own 0 is never overridden
        task.set_config(key="num_fewshot", value=settings.num_fewshot)
    elif shots is None:
        task.set_config(key="num_fewshot", value=0)
    task.set_fewshot_seed(seed=settings.fewshot_seed)


def _load(found: Found) -> dict[str, Any]:
    """Build all tasks with ``TaskManager.load``, one specification at a time so that errors can name it."""
    built = [item for spec in found.specs for item in _build(found.manager, spec)]
    try:
        loaded: dict[str, Any] = found.manager.load(built)
    except ValueError as error:
        if str(error).startswith("Duplicate task"):
            raise RunFailedError(f"{error}. Name the task or the group, not both.", Cause.BAD_SPEC) from error
        raise
    return loaded


def _build(manager: Any, spec: str | dict[str, Any]) -> list[Any]:
    """Return the task or group objects of one specification, datasets loaded."""
    name = spec if isinstance(spec, str) else str(spec.get("group") or spec.get("task"))
    try:
        loaded = manager.load([copy.deepcopy(spec)])
    except StopIteration as error:
        raise RunFailedError(f"task {name!r}: its dataset is empty", Cause.DATASET) from error
    except KeyError as error:
        if came_through(error, "datasets"):
            raise RunFailedError(f"task {name!r}: its dataset has no split or column {error}", Cause.DATASET) from error
        raise
    except Exception as error:
        error.add_note(f"while loading task {name!r}")
        raise
    groups = loaded.get("groups") or {}
    return [groups[name]] if name in groups else list(loaded["tasks"].values())


def _check_metrics(found: Found, *, allow_code: bool) -> None:
    """Refuse metrics that do not exist: lm-eval fails on them later, as ``KeyError: None``.

    A metric that lm-eval does not know is a program which the ``evaluate`` library looks for on this machine and on the Hub.
    """
    for config in found.own:
        for metric in config.get("metric_list") or []:
            name = metric.get("metric") if isinstance(metric, dict) else None
            if not isinstance(name, str):
                continue
            foreign = bool(metric.get("hf_evaluate"))
            if not allow_code and (foreign or ("/" in name and not is_lm_evals(Path(name)))):
                raise denied(
                    f"task {config.get('task')!r}: the metric {name!r} is a program of the `evaluate` library."
                )
            if "/" not in name and not config.get("process_results"):  # "/": from !function
                _check_metric(config.get("task"), name, foreign and allow_code, allow_code=allow_code)


def _check_metric(task: Any, name: str, hf_evaluate: bool, *, allow_code: bool) -> None:
    import lm_eval.api.metrics  # noqa: F401 - registers them
    from lm_eval.api.registry import get_metric, metric_registry

    if name not in metric_registry and not (allow_code and get_metric(name, hf_evaluate) is not None):
        near = difflib.get_close_matches(name, list(metric_registry.keys()), n=3)
        hint = (
            f"Did you mean {', '.join(near)}?" if near else f"lm-eval has {', '.join(sorted(metric_registry.keys()))}."
        )
        raise RunFailedError(f"task {task!r}: there is no metric {name!r}. {hint}", Cause.BAD_SPEC)


def _check_samples(samples: dict[str, list[int]], tasks: dict[str, Any]) -> None:
    for name, indices in samples.items():
        if name not in tasks:
            raise RunFailedError(
                f"samples names {name!r}, which is not evaluated; tasks are {', '.join(sorted(tasks))}", Cause.BAD_SPEC
            )
        if indices[-1] >= (there := len(tasks[name].eval_docs)):
            raise RunFailedError(
                f"samples[{name!r}] asks for document {indices[-1]}, but there are {there}, counted from 0",
                Cause.BAD_SPEC,
            )
