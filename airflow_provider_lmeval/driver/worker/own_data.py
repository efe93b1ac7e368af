"""Makes lm-eval tasks of one's own data: rows are fetched, checked and written in a form that nothing can misread.

Every fault is collected first and reported with its line, before the model is loaded. What is left behind is a Parquet file
and a task file, for ``lm-eval run --include_path``: Parquet because JSON readers guess types, and take an answer that looks
like a date for one. The task's version, and its dataset's in the fingerprint, is the hash of the documents.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_provider_lmeval.driver.worker.data_files import FileDeniedError, Roots
from airflow_provider_lmeval.driver.worker.data_source import fetch_rows
from airflow_provider_lmeval.errors import RunFailedError
from airflow_provider_lmeval.wire import Cause, Request, safe_name
from airflow_provider_lmeval.wire_data import (
    MULTIPLE_CHOICE,
    Document,
    Examined,
    OwnTask,
    Source,
    data_hash,
    examine,
    examine_fewshot,
)
from airflow_provider_lmeval.wire_rows import Fault

MOST_FAULTS = 20
"""Faults in one message; a file with more has one mistake many times."""
VERSION_DIGITS = 16


@dataclass(frozen=True)
class Prepared:
    """What the run needs to know of the files.

    :param include_paths: directories with the tasks, for lm-eval's index.
    :param origins: by task, the ``dataset`` part of its fingerprint.
    """

    include_paths: list[str]
    origins: Mapping[str, Mapping[str, Any]]


def prepare(request: Request, run: Path, directory: Path) -> Prepared:
    """Write the tasks of the request's ``data``.

    :param run: the run's directory. :param directory: one of its own in there, made anew.
    :raises RunFailedError: ``dataset``: rows are missing or faulty; ``code_denied`` or ``online_denied``: the file may not
        be read; ``bad_spec``: the request is not what ``plan`` makes.
    """
    shutil.rmtree(directory, ignore_errors=True)
    (directory / "tasks").mkdir(parents=True)
    tasks = _tasks(request)
    reader = Reader(request, Roots.of(request, run), directory)
    origins = {task.name: _make(task, reader, directory) for task in tasks}
    return Prepared([str(directory / "tasks")] if tasks else [], origins)


@dataclass(frozen=True)
class Reader:
    """Reads the rows of sources.

    :param request: its permissions count. :param roots: where files may be read. :param directory: for downloads.
    """

    request: Request
    roots: Roots
    directory: Path

    def documents(self, task: OwnTask) -> tuple[Examined, Examined]:
        """Return the documents and the few-shot examples of a task.

        :raises RunFailedError: one of the rows is faulty; all of them are named.
        """
        tested = examine(task, self._rows(task, task.source))
        _refuse(task, task.source, tested.faults)
        if task.fewshot is None:
            return tested, Examined()
        shots = examine_fewshot(task, self._rows(task, task.fewshot), tested)
        _refuse(task, task.fewshot, shots.faults)
        return tested, shots

    def _rows(self, task: OwnTask, source: Source) -> Iterator[Any]:
        try:
            if source.path and not self.request.allow_code_execution:
                self.roots.check(source.path)
            return fetch_rows(source, self.directory / "downloads", allow_online=self.request.allow_online)
        except FileDeniedError as error:
            raise RunFailedError(f"data {task.name!r}: {error}", Cause.CODE_DENIED) from None
        except OSError as error:
            raise RunFailedError(f"data {task.name!r}: cannot read {source.name!r}: {error}", Cause.DATASET) from error


def _tasks(request: Request) -> list[OwnTask]:
    try:
        return [OwnTask.from_json(data) for data in request.data]
    except (TypeError, KeyError) as error:
        raise RunFailedError(f"request.data is not what this version understands: {error}", Cause.BAD_SPEC) from error


def _refuse(task: OwnTask, source: Source, faults: list[Fault]) -> None:
    if faults:
        shown = "\n".join(f"  {fault}" for fault in faults[:MOST_FAULTS])
        more = f"\n  and {len(faults) - MOST_FAULTS} more" if len(faults) > MOST_FAULTS else ""
        raise RunFailedError(
            f"data {task.name!r}: {source.name} has {len(faults)} faults:\n{shown}{more}", Cause.DATASET
        )


def _make(task: OwnTask, reader: Reader, directory: Path) -> dict[str, Any]:
    """Write one task; return the ``dataset`` part of its fingerprint."""
    import yaml

    tested, shots = reader.documents(task)
    digest = data_hash(tested.documents, shots.documents)
    stem = safe_name(task.name, 120)
    parts = {"test": tested.documents} | ({"fewshot": shots.documents} if task.fewshot else {})
    files = {split: directory / f"{stem}.{split}.parquet" for split in parts}
    for split, documents in parts.items():
        write_documents(documents, files[split])
    config = task_config(task, {split: str(path) for split, path in files.items()}, digest[:VERSION_DIGITS])
    (directory / "tasks" / f"{stem}.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return {"path": task.source.name, "name": task.source.config, "fingerprint": f"sha256:{digest}"}


def task_config(task: OwnTask, files: Mapping[str, str], version: str) -> dict[str, Any]:
    """Return lm-eval's configuration of a task; each ``doc_to_…`` names a column, so no template is rendered.

    :param files: Parquet files by split. :param version: of the data.
    """
    answers: dict[str, Any] = {"doc_to_choice": "choices"} if task.output_type == MULTIPLE_CHOICE else _generation(task)
    return {
        "task": task.name,
        "dataset_path": "parquet",
        "dataset_kwargs": {"data_files": dict(files)},
        "test_split": "test",
        **({"fewshot_split": "fewshot"} if "fewshot" in files else {}),
        "num_fewshot": task.num_fewshot,
        "output_type": task.output_type,
        "doc_to_text": "prompt",
        "doc_to_target": "answer",
        "target_delimiter": " ",
        **answers,
        "metric_list": list(task.metrics),
        "metadata": {"version": version},
    }


def _generation(task: OwnTask) -> dict[str, Any]:
    stripped = [{"function": "remove_whitespace"}, {"function": "take_first"}]
    return {
        "generation_kwargs": {"until": task.until, "max_gen_toks": task.max_gen_toks, "do_sample": False},
        "filter_list": [{"name": "none", "filter": stripped}],
    }


def write_documents(documents: Iterable[Document], path: Path) -> None:
    """Write documents as Parquet, with their types said and not guessed."""
    import pyarrow
    import pyarrow.parquet

    rows = list(documents)
    types = {"prompt": pyarrow.string(), "choices": pyarrow.list_(pyarrow.string())}
    several = isinstance(rows[0]["answer"], list)
    text = types["choices"] if several else types["prompt"]
    types["answer"] = pyarrow.int64() if "choices" in rows[0] else text
    schema = pyarrow.schema([(name, types[name]) for name in rows[0]])
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema), path)
