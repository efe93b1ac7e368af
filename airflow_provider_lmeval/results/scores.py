"""Reads score tables: what each single document scored, the evidence behind every average.

One gzip'd JSON line per document and filter, read one at a time, since a suite may have a million documents. Texts are
not in here, only hashes, so two models' tables can be joined by content and kept for ever.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import IO, Any

from airflow_provider_lmeval.errors import DamagedResultError
from airflow_provider_lmeval.results import strict

Value = float | list[Any] | None


@dataclass(frozen=True, slots=True)
class Score:
    """What one document scored under one filter.

    :param doc_id: position of the document in its split.
    :param doc_hash: SHA-256 of the document, lm-eval's; ``prompt_hash`` and ``target_hash`` likewise.
    :param filter: name of the answer filter.
    :param metrics: by metric name: a number, a list where the task aggregates tuples, or None for NaN.
    :param response_hash: of what the model answered; None where it generated nothing.
    :param loglikelihoods: of the choices, in natural log; None where the task has none.
    """

    doc_id: int
    doc_hash: str
    prompt_hash: str
    target_hash: str
    filter: str
    metrics: dict[str, Value]
    response_hash: str | None = None
    loglikelihoods: tuple[float | None, ...] | None = None


def read_scores(source: IO[bytes] | bytes) -> Iterator[Score]:
    """Yield the rows of a score table.

    :param source: content of ``scores.jsonl.gz``, or a binary stream of it, which the caller closes.
    :raises DamagedResultError: truncated, empty, not gzip, not strict JSON, or a row with missing or wrong fields.
    """
    stream = BytesIO(source) if isinstance(source, bytes) else source
    number = 0
    try:
        for line in gzip.GzipFile(fileobj=stream, mode="rb"):
            number += 1
            yield _row(line)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DamagedResultError(f"the score table breaks off after row {number}: {error}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedResultError(f"the score table's row {number} is damaged: {error!r}") from None
    if number == 0:
        raise DamagedResultError("the score table has no row; every evaluated document has one")


_TEXTS = ("doc_hash", "prompt_hash", "target_hash", "filter")


def _row(line: bytes) -> Score:
    data = strict.loads(line)
    texts = {name: data[name] for name in _TEXTS}
    if not all(isinstance(text, str) for text in texts.values()):
        raise TypeError(f"{', '.join(_TEXTS)} must be strings")
    if type(data["doc_id"]) is not int or not isinstance(data["metrics"], dict):
        raise TypeError("doc_id must be a whole number, metrics an object")
    likelihoods = data.get("loglikelihoods")
    if not isinstance(likelihoods, list | None):
        raise TypeError("loglikelihoods must be a list")
    return Score(
        doc_id=data["doc_id"],
        metrics=data["metrics"],
        response_hash=data.get("response_hash"),
        loglikelihoods=None if likelihoods is None else tuple(likelihoods),
        **texts,
    )
