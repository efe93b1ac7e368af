"""What metrics fetch while an evaluation runs, found before the model is loaded where the run has no network.

Some of lm-eval's tasks call ``nltk.download`` when they are loaded, which knows no offline mode and waits for a network
that is not there. Others call ``evaluate.load`` for the first time when the scores are computed: hours of answers, then an
error. So the first is answered from the disk, and the functions that compute a task's scores are looked through for the
second.
"""

from __future__ import annotations

import dis
import functools
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

from airflow_provider_lmeval.errors import RunFailedError
from airflow_provider_lmeval.wire import Cause, Request

NLTK_TASKS = frozenset({"ifeval", "leaderboard/ifeval", "nerel-bench", "ruler"})
"""Directories below ``lm_eval/tasks`` whose tasks call ``nltk.download``; a test holds this against lm-eval's source."""
_LIBRARY_DATA = ("tokenizers", "corpora", "taggers")
_WARM_UP = "Warm the cache up for this task (LMEvalWarmupOperator, or `warm_up: true`), or leave the task out."


def forbid_downloads(request: Request) -> None:
    """Make ``nltk.download`` answer from what is on this machine, for tasks that call it."""
    if not any(place == name or place.startswith(f"{name}/") for name in request.families for place in NLTK_TASKS):
        return
    import nltk

    nltk.download = _from_disk


def _from_disk(info_or_id: Any = None, *_args: Any, **_kwargs: Any) -> bool:
    import nltk

    places = [Path(place, kind) for place in nltk.data.path for kind in _LIBRARY_DATA]
    if any((place / f"{info_or_id}{end}").exists() for place in places for end in ("", ".zip")):
        return True
    looked = ", ".join(map(str, nltk.data.path[:3]))
    raise RunFailedError(
        f"a task wants to download NLTK's {info_or_id!r}; this run has no network, and it is not in {looked}. {_WARM_UP}",
        Cause.ONLINE_DENIED,
    )


def check_metrics(tasks: Mapping[str, Any]) -> None:
    """Refuse tasks whose scores need a program of the ``evaluate`` library that is not on this machine.

    :param tasks: lm-eval task objects by name.
    :raises RunFailedError: ``online_denied``, naming task and metric.
    """
    for name, task in tasks.items():
        if absent := sorted(metric for metric in metrics_loaded(task) if not _is_there(metric)):
            raise RunFailedError(
                f"task {name!r}: its scores need {', '.join(map(repr, absent))} of the `evaluate` library, which this run "
                f"cannot download and {_programs()} does not have. {_WARM_UP}",
                Cause.ONLINE_DENIED,
            )


def metrics_loaded(task: Any) -> set[str]:
    """Return what a task's scoring functions load by ``evaluate.load``, as far as it is written in them.

    :param task: an lm-eval task object.
    """
    tables = (getattr(task, name, None) or {} for name in ("_metric_fn_list", "_aggregation_list"))
    functions = [function for table in tables for function in table.values()]
    functions.append(getattr(getattr(task, "config", None), "process_results", None))
    if type(task).__module__ != "lm_eval.api.task":  # a task written in Python
        functions += vars(type(task)).values()
    seen: set[CodeType] = set()
    return {metric for function in functions for metric in _loaded_by(function, seen)}


def _loaded_by(function: Any, seen: set[CodeType]) -> Iterator[str]:
    """Yield names given to ``evaluate.load`` in a function and in functions of the same module that it calls."""
    while isinstance(function, functools.partial):
        function = function.func
    if not isinstance(function, FunctionType) or function.__code__ in seen:
        return
    for code in _codes(function.__code__):
        seen.add(code)
        yield from _written_in(code)
        for name in code.co_names:
            called = function.__globals__.get(name)
            if getattr(called, "__module__", None) == function.__module__:
                yield from _loaded_by(called, seen)


def _written_in(code: CodeType) -> Iterator[str]:
    """Yield every NAME of an ``evaluate.load("NAME")``, read from the bytecode: the names in it are those of the source."""
    steps = [step for step in dis.get_instructions(code) if step.opname not in ("CACHE", "PUSH_NULL")]
    for library, method, argument in zip(steps, steps[1:], steps[2:], strict=False):
        if (
            library.argval in ("evaluate", "hf_evaluate")
            and method.argval == "load"
            and isinstance(argument.argval, str)
        ):
            yield argument.argval


def _codes(code: CodeType) -> Iterator[CodeType]:
    """Yield a function's code and that of functions inside it."""
    yield code
    for value in code.co_consts:
        if isinstance(value, CodeType):
            yield from _codes(value)


def _programs() -> Path:
    home = os.environ.get("HF_HOME") or str(Path.home() / ".cache" / "huggingface")
    return Path(os.environ.get("HF_MODULES_CACHE") or Path(home) / "modules") / "evaluate_modules" / "metrics"


def _is_there(metric: str) -> bool:
    return any(_programs().glob(f"*--{metric}"))
