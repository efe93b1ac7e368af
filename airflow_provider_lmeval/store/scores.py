"""Finds the per-document scores of a stored result, for whoever compares two of them, and the samples with their texts.

A gate reads them one task at a time, and only of tasks it compares: they are by far the largest part of the evidence.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from typing import Any

from airflow_provider_lmeval.errors import DamagedResultError
from airflow_provider_lmeval.results import EvalResult, Score, read_scores, strict
from airflow_provider_lmeval.store.store import Store, run_of

ScoreReader = Callable[[str], Iterator[Score] | None]
"""Returns the rows of a task's score table; None if the task has none."""
SampleReader = Callable[[str], Iterator[dict[str, Any]] | None]
"""Returns the rows of a task's samples, as lm-eval writes them; None if they were not kept."""


def score_reader(uri: str, result: EvalResult, storage_options: Mapping[str, Any] | None = None) -> ScoreReader:
    """Return what reads the score tables of a stored result.

    :param uri: a run's prefix, or its ``result.json``. :param result: what is stored there.
    :param storage_options: fsspec's options for it.
    :returns: a function that raises :class:`StoreError` for a table that is missing, damaged or out of reach.
    """
    url, run_id = run_of(uri)
    store = Store(url, storage_options)

    def read(task: str) -> Iterator[Score] | None:
        entry = result.tasks.get(task)
        if entry is None or entry.scores is None:
            return None
        return read_scores(BytesIO(store.read_file(run_id, entry.scores)))

    return read


def sample_reader(uri: str, result: EvalResult, storage_options: Mapping[str, Any] | None = None) -> SampleReader:
    """Return what reads the samples of a stored result; parameters and errors as for :func:`score_reader`."""
    url, run_id = run_of(uri)
    store = Store(url, storage_options)

    def read(task: str) -> Iterator[dict[str, Any]] | None:
        entry = result.tasks.get(task)
        if entry is None or entry.samples is None:
            return None
        return _rows(store.read_file(run_id, entry.samples), entry.samples)

    return read


def _rows(raw: bytes, name: str) -> Iterator[dict[str, Any]]:
    try:
        with gzip.open(BytesIO(raw)) as stream:
            for line in stream:
                yield strict.loads(line)
    except (EOFError, OSError, ValueError, zlib.error) as error:
        raise DamagedResultError(f"{name} is damaged: {error}") from None
