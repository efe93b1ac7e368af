"""Looks at one's own data where ``validate`` can read them, so that a bad line is known before anything is started.

It says what the run would say, because both use the same reader. What only the run can read (another machine's volume,
object storage, the Hub) is left to the run.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from airflow_provider_lmeval.errors import MissingExtraError
from airflow_provider_lmeval.plan import Problem
from airflow_provider_lmeval.plan.data import own_task
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.wire_data import Examined, OwnTask, Source, examine, examine_fewshot
from airflow_provider_lmeval.wire_rows import read_rows

MOST_FAULTS = 20
"""Faults shown of each file."""


def check_data(spec: EvalSpec) -> Iterator[Problem]:
    """Yield what is wrong with the rows of the spec's data, by line."""
    for data in spec.data:
        try:
            yield from _check(own_task(data))
        except (OSError, MissingExtraError) as error:
            yield Problem("data", "warning", f"data {data.name!r}: not looked at: {error}; the run checks it")


def _check(task: OwnTask) -> Iterator[Problem]:
    tested = Examined()
    if path := _here(task.source):
        tested = examine(task, read_rows(path, str(task.source.format)))
        yield from _problems(task, path, tested)
    if task.fewshot and (path := _here(task.fewshot)):
        yield from _problems(task, path, examine_fewshot(task, read_rows(path, str(task.fewshot.format)), tested))


def _here(source: Source) -> Path | None:
    """Return the file if it is one of this machine."""
    path = Path(source.path) if source.path else None
    return path if path and path.is_file() else None


def _problems(task: OwnTask, path: Path, found: Examined) -> Iterator[Problem]:
    for fault in found.faults[:MOST_FAULTS]:
        yield Problem("data", "error", f"data {task.name!r}: {path}: {fault}")
    if (more := len(found.faults) - MOST_FAULTS) > 0:
        yield Problem("data", "error", f"data {task.name!r}: {path}: and {more} more")
