"""Reads the samples of one task as ``lm-eval run --log_samples`` writes them: one JSON line per document and filter.

They are read twice, for their hashes when the evidence is opened and for their scores when a gate asks, because texts of a
large suite should not stay in memory. Everything in ``resps`` was made a text on the way to the file
(``lm_eval.utils.sanitize_list``); log-likelihoods are made numbers again, so that rows equal those of our driver.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_lmeval.errors import DamagedResultError
from airflow_provider_lmeval.results.readers.bundle import Data, Files, loads, score, sha
from airflow_provider_lmeval.results.scores import Score

HASHES = ("doc_hash", "prompt_hash", "target_hash")
LIKELIHOODS = frozenset({"loglikelihood", "multiple_choice"})
ROLLING = "loglikelihood_rolling"


@dataclass(slots=True)
class SampleSummary:
    """What a result says of its samples.

    :param counts: documents by ``metric,filter``. :param documents: hashes; ``targets`` and ``prompts`` likewise.
    """

    counts: Counter[str] = field(default_factory=Counter)
    filters: set[str] = field(default_factory=set)
    documents: set[str] = field(default_factory=set)
    targets: set[str] = field(default_factory=set)
    prompts: set[str] = field(default_factory=set)

    def fingerprint(self) -> Data:
        """Return what decides whether two evaluations asked the same, hashed as our driver does."""
        hashed = {key: sha(sorted(getattr(self, key))) for key in ("documents", "targets", "prompts")}
        return {**hashed, "filters": sorted(self.filters)}


@dataclass(frozen=True, slots=True)
class SampleTable:
    """The samples of one task.

    :param name: of the file. :param output_type: kind of the task's requests; decides what its responses are.
    :param task_hash: what lm-eval computed over the samples before writing them; None if it did not.
    """

    files: Files
    name: str
    output_type: str | None
    task_hash: str | None

    def summary(self) -> SampleSummary:
        """Read all of it.

        :raises DamagedResultError: a row is damaged, or rows are missing, changed, or another call's.
        """
        found, digest = SampleSummary(), hashlib.sha256()
        for row in self.rows():
            document, prompt, target = (row[key] for key in HASHES)
            digest.update(f"{document}{prompt}{target}".encode())
            found.filters.add(row["filter"])
            found.counts.update(f"{metric},{row['filter']}" for metric in row["metrics"])
            found.documents.add(document)
            found.targets.add(document + target)
            found.prompts.add(document + prompt)
        if self.task_hash and self.task_hash != digest.hexdigest():
            raise DamagedResultError(
                f"{self._where} does not match the task_hash in its results: rows are missing, changed or of another call; "
                "evaluate again"
            )
        return found

    def scores(self) -> Iterator[Score]:
        """Yield what each document scored.

        :raises DamagedResultError: a row is damaged.
        """
        for row in self.rows():
            responses = self._responses(row["resps"])
            found = [_first(response) for response in responses] if self._likelihoods else [None]
            yield Score(
                doc_id=row["doc_id"],
                **{key: row[key] for key in HASHES},
                filter=row["filter"],
                metrics={name: score(row.get(name)) for name in row["metrics"]},
                response_hash=sha(_plain(responses)),
                loglikelihoods=None if None in found else tuple(found),
            )

    def rows(self) -> Iterator[Data]:
        """Yield the rows as they are.

        :raises DamagedResultError: a row is damaged.
        """
        with self.files.open(self.name) as stream:
            number = 0
            for number, line in enumerate(stream, start=1):
                row = loads(line, f"{self._where}, line {number},")
                if wrong := _wrong(row):
                    raise DamagedResultError(f"{self._where}, line {number}: {wrong} is missing or of a wrong type")
                yield row
        if number == 0:
            raise DamagedResultError(f"{self._where} is empty; every evaluated document has a line")

    @property
    def _where(self) -> str:
        return f"{self.files.place}: {self.name}"

    @property
    def _likelihoods(self) -> bool:
        return self.output_type in LIKELIHOODS or self.output_type == ROLLING

    def _responses(self, responses: list[Any]) -> list[Any]:
        """Return the responses with log-likelihoods as numbers again."""
        if self.output_type in LIKELIHOODS:
            return [[_pair(answer) for answer in response] for response in responses]
        if self.output_type == ROLLING:
            return [[_number(answer) for answer in response] for response in responses]
        return responses


def _wrong(row: Any) -> str | None:
    """Return the first field of a row that is not what it must be."""
    if not isinstance(row, dict):
        return "the row"
    row.setdefault("filter", "none")
    kinds = {"doc_id": int, "metrics": list, "resps": list, **dict.fromkeys((*HASHES, "filter"), str)}
    if wrong := next((key for key, kind in kinds.items() if not isinstance(row.get(key), kind)), None):
        return wrong
    if not all(isinstance(name, str) for name in row["metrics"]):
        return "metrics"
    return None if all(isinstance(each, list) for each in row["resps"]) else "resps"


def _pair(answer: Any) -> Any:
    """Return ``(log-likelihood, is greedy)`` as it was before it was made text."""
    if isinstance(answer, list) and len(answer) == 2:
        return [_number(answer[0]), {"True": True, "False": False}.get(str(answer[1]), answer[1])]
    return _number(answer)


def _number(said: Any) -> Any:
    try:
        return float(said) if isinstance(said, str) else said
    except ValueError:
        return said


def _first(response: list[Any]) -> float | None:
    """Return the log-likelihood in a response, None for none and for infinite ones."""
    first = response[0] if response else None
    value = first[0] if isinstance(first, list) and first else first
    return value if isinstance(value, float) and math.isfinite(value) else None


def _plain(value: Any) -> Any:
    """Return what JSON can say; the driver writes None for infinities."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
