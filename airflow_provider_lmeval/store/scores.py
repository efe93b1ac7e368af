"""Finds the per-document scores of a stored result, for whoever compares two of them.

A gate reads them one task at a time, and only of tasks it compares: they are by far the largest part of the evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from typing import Any

from airflow_provider_lmeval.results import EvalResult, Score, read_scores
from airflow_provider_lmeval.store.store import Store, run_of

ScoreReader = Callable[[str], Iterator[Score] | None]
"""Returns the rows of a task's score table; None if the task has none."""


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
