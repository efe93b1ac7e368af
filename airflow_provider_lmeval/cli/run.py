"""``run``: one evaluation on this machine, with a progress bar and a table at the end.

The person at the shell is the administrator here: ``--allow-…`` grants what ``[lmeval]`` grants in Airflow.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from airflow_provider_lmeval.backends import Backend, Handle
from airflow_provider_lmeval.cli.validate import read_spec
from airflow_provider_lmeval.errors import SpecError
from airflow_provider_lmeval.hooks.lmeval import make_backend
from airflow_provider_lmeval.hooks.settings import Settings, resolve
from airflow_provider_lmeval.plan import run_id
from airflow_provider_lmeval.plan.batch import administered
from airflow_provider_lmeval.results import EvalResult, rows, summary
from airflow_provider_lmeval.results.wording import short_name
from airflow_provider_lmeval.wire import State, Status

POLL_S = 0.3
"""Seconds between two looks: a person is watching."""


def main(arguments: argparse.Namespace) -> int:
    """Evaluate and print the scores; 0 if the evaluation succeeded, 1 if not."""
    settings = _settings(arguments)
    spec, told = administered(read_spec(arguments.spec), settings.batch, detect_device=settings.detect_device)
    for line in told:
        print(f"warning: {line}", file=sys.stderr)
    backend = make_backend(settings, "local", arguments.results_uri, gpu=_gpu(arguments))
    for problem in backend.check(spec, settings.grants):
        print(f"{problem.level}: {problem.message} [{problem.id}]", file=sys.stderr)
    name = run_id("cli", str(time.time_ns()), spec.model.name, -1, 0, spec.content_hash)
    handle = backend.submit(spec, name, settings.grants)
    try:
        _watch(backend, handle, quiet=arguments.json)
    except KeyboardInterrupt:
        backend.cancel(handle)
    result = backend.collect(handle)
    _report(result, handle, as_json=arguments.json)
    return 0 if result.succeeded else 1


def _settings(arguments: argparse.Namespace) -> Settings:
    settings = resolve()
    return settings.model_copy(
        update={
            "allow_online": settings.allow_online or arguments.allow_online,
            "allow_code_execution": settings.allow_code_execution or arguments.allow_code_execution,
            "allowed_env": (*settings.allowed_env, *arguments.allow_env),
            "allowed_git_hosts": (*settings.allowed_git_hosts, *arguments.allow_git_host),
            "allowed_data_roots": (*settings.allowed_data_roots, *_data_roots(arguments)),
            "driver_python": arguments.python or settings.driver_python,
        }
    )


def _gpu(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """Return the devices that the person at the shell asks for.

    :raises SpecError: a strategy without devices to share.
    """
    if arguments.gpu is None and arguments.strategy is not None:
        raise SpecError(f"--strategy {arguments.strategy}: how many devices share the evaluation? Add --gpu COUNT")
    return None if arguments.gpu is None else {"count": arguments.gpu, "strategy": arguments.strategy}


def _data_roots(arguments: argparse.Namespace) -> list[str]:
    """Return directories that the person at the shell lets data be read from; the spec's own is one of them."""
    beside = [] if arguments.spec == "-" else [Path(arguments.spec).resolve().parent]
    places = [*beside, *(Path(place).resolve() for place in arguments.allow_data)]
    return [str(place) for place in places if place != Path("/")]


def _watch(backend: Backend, handle: Handle, *, quiet: bool) -> None:
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), disable=quiet, transient=True) as bar:
        shown = bar.add_task("starting", total=None)
        while not State((status := backend.status(handle)).state).ended:
            bar.update(
                shown,
                description=_describe(status),
                completed=status.progress.get("done", 0),
                total=status.progress.get("total"),
            )
            time.sleep(POLL_S)


def _describe(status: Status) -> str:
    parts = [status.phase or str(status.state), status.progress.get("task") if status.phase == "evaluating" else None]
    return " ".join(str(part) for part in parts if part)


def _report(result: EvalResult, handle: Handle, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(summary(result, backend=handle.backend, result_uri=handle.result_uri)))
        return
    console = Console()
    if result.succeeded:
        console.print(
            _table(result) if rows(result) else "done; there are no scores, since warm_up and predict_only compute none"
        )
    else:
        console.print(f"{result.reason}: {result.cause}: {result.message}", style="red", markup=False)
    console.print(f"result: {handle.result_uri}", style="dim", highlight=False, soft_wrap=True)


def _table(result: EvalResult) -> Table:
    table = Table(title=short_name(result.model.name or ""), header_style="bold", title_style="bold")
    for column in ("task", "metric"):
        table.add_column(column, overflow="fold")
    for column in ("value", "± stderr", "n"):
        table.add_column(column, justify="right")
    for row in rows(result):
        name = row.metric if row.filter == "none" else f"{row.metric},{row.filter}"
        value = "-" if row.value is None else f"{row.value:.4f}"
        table.add_row(row.task, name, value, "" if row.stderr is None else f"{row.stderr:.4f}", str(row.n))
    return table
