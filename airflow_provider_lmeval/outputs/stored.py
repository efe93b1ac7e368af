"""The run to be published, read from its store: every byte that is handed on has matched the marker."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from airflow_provider_lmeval.errors import OutputError
from airflow_provider_lmeval.results import EvalResult
from airflow_provider_lmeval.results.model import Metric
from airflow_provider_lmeval.store.location import shown
from airflow_provider_lmeval.store.store import Store, run_of
from airflow_provider_lmeval.wire import RESULT_NAME


@dataclass(frozen=True)
class StoredFile:
    """One file of a run.

    :param name: path below the run. :param media_type: of its content.
    """

    name: str
    media_type: str
    content: bytes


class StoredRun:
    """A run that succeeded and is stored.

    :param uri: the run's prefix or its ``result.json``.
    :raises StoreError: it is not there, damaged, or cannot be reached.
    :raises OutputError: the run failed; what it had measured is not to be published.
    """

    def __init__(self, uri: str) -> None:
        url, self.run_id = run_of(uri)
        self._store = Store(url)
        self.result: EvalResult = self._store.read_result(self.run_id)
        if not self.result.succeeded:
            raise OutputError(
                f"run {self.run_id} did not succeed ({self.result.cause}); only complete results are published"
            )

    @property
    def uri(self) -> str:
        """Where it is stored, without a password."""
        return shown(self._store.uri(self.run_id))

    @property
    def model(self) -> str:
        """What people call the model."""
        return self.result.model.name or "model"

    @cached_property
    def document(self) -> StoredFile:
        """The result document."""
        return StoredFile(
            RESULT_NAME,
            "application/vnd.airflow-provider-lmeval.result.v1+json",
            self._store.read_file(self.run_id, RESULT_NAME),
        )

    def tables(self, *, samples: bool) -> Iterator[StoredFile]:
        """Yield the score tables, one in memory at a time.

        :param samples: prompts and answers too.
        """
        for task in self.result.tasks.values():
            for name in (task.scores, task.samples if samples else None):
                if name:
                    kind, packing = mimetypes.guess_type(name)
                    media_type = "application/gzip" if packing == "gzip" else kind or "application/octet-stream"
                    yield StoredFile(name, media_type, self._store.read_file(self.run_id, name))

    def metrics(self) -> Iterator[tuple[str, str, str, Metric]]:
        """Yield task, metric, filter and score, without those that have no value."""
        for name, task in self.result.tasks.items():
            for key, metric in task.metrics.items():
                if metric.value is not None:
                    yield name, *_named(key), metric


def _named(key: str) -> tuple[str, str]:
    metric, _, chosen = key.partition(",")
    return metric, chosen or "none"
