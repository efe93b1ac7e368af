"""Reads what ``lm-eval run --output_path DIR`` leaves, best with ``--log_samples``.

``DIR/<model>/results_<time>.json`` holds the averages of one call, ``samples_<task>_<time>.jsonl`` beside it each document
(``lm_eval.loggers.evaluation_tracker``, 0.4.13). The same directory gets the files of every later call too, so a
directory may hold the scores of last month's weights under the same name. Calls are put together only where that cannot
have happened; otherwise the newest counts, or the reader asks which one is meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from airflow_provider_lmeval.errors import DamagedResultError
from airflow_provider_lmeval.results.readers import lmeval_document as document
from airflow_provider_lmeval.results.readers.bundle import (
    Data,
    Evidence,
    Files,
    candidates,
    content,
    loads,
    mapping,
    text,
)
from airflow_provider_lmeval.results.readers.lmeval_samples import SampleTable
from airflow_provider_lmeval.results.scores import Score

KIND = "lm-eval output"
_RESULTS = re.compile(r"(?P<stem>.+)_(?P<time>\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(\.\d+)?)\.json")


@dataclass(frozen=True, slots=True)
class Call:
    """One call of lm-eval.

    :param name: of its results file. :param time: when it was written, as the file's name has it. :param data: content.
    """

    name: str
    time: str
    data: Data

    @property
    def directory(self) -> str:
        """Where its files lie."""
        return str(PurePosixPath(self.name).parent)

    @property
    def tasks(self) -> set[str]:
        """Tasks and groups it reports."""
        return set(self.data["results"])


def read(files: Files) -> Evidence | None:
    """Return the evidence; None if there is no such output.

    :raises DamagedResultError: a file is damaged, or there are several evaluations to choose from.
    """
    calls = sorted(_calls(files), key=lambda call: (call.time, call.name), reverse=True)
    if not calls:
        return None
    used, notes = _fitting(files.place, calls)
    tables = {task: table for call in reversed(used) for task, table in _tables(files, call).items()}
    summaries = {task: table.summary() for task, table in tables.items()}
    result = document.build(f"{files.place}: {used[0].name}", [call.data for call in used], used[0].time, summaries)

    def scores(task: str) -> Iterable[Score] | None:
        return tables[task].scores() if task in tables else None

    def samples(task: str) -> Iterable[Data] | None:
        return tables[task].rows() if task in tables else None

    return Evidence(result, scores, KIND, notes, samples)


def _calls(files: Files) -> Iterable[Call]:
    for name in candidates(files):
        found = _RESULTS.fullmatch(PurePosixPath(name).name)
        if found is None:
            continue
        data = loads(content(files, name), f"{files.place}: {name}")
        if isinstance(data, dict) and isinstance(data.get("results"), dict) and isinstance(data.get("configs"), dict):
            yield Call(name, found["time"], data)
        elif files.chosen or found["stem"] == "results":
            raise DamagedResultError(f"{files.place}: {name} is not a result of lm-eval: it lacks results or configs")


def _fitting(place: str, calls: list[Call]) -> tuple[list[Call], tuple[str, ...]]:
    """Return the calls that make one evaluation, and what was left out.

    :param calls: the newest first.
    :raises DamagedResultError: there are several evaluations.
    """
    used, notes = calls[:1], []
    for call in calls[1:]:
        same = document.settings(call.data) == document.settings(used[0].data)
        apart = all(call.directory != other.directory for other in used)
        fresh = not any(call.tasks & other.tasks for other in used)
        if same and fresh and (apart or document.identity(call.data)):
            used.append(call)
        elif apart:
            raise DamagedResultError(
                f"{place} holds several evaluations that do not belong together, {used[0].name} and {call.name}; name one"
            )
        else:
            notes.append(f"{call.name} is older than {used[0].name} and was left out")
    return used, tuple(notes)


def _tables(files: Files, call: Call) -> dict[str, SampleTable]:
    """Return the samples of a call's tasks."""
    tables = {}
    for task, config in call.data["configs"].items():
        name = str(PurePosixPath(call.directory, f"samples_{task}_{call.time}.jsonl"))
        if name in files.names:
            tables[task] = SampleTable(files, name, _output_type(config), _hash(call.data, task))
    return tables


def _output_type(config: Any) -> str | None:
    return text(mapping(config).get("output_type"))


def _hash(data: Data, task: str) -> str | None:
    return text(mapping(data.get("task_hashes")).get(task))
