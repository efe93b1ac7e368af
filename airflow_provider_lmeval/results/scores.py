"""Reads score tables: what each single document scored, the evidence behind every average.

One gzip'd JSON line per document and filter, read one at a time, since a suite may have a million documents. Texts are
not in here, only hashes, so two models' tables can be joined by content and kept for ever.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from typing import IO, Any

import msgspec

from airflow_provider_lmeval.errors import DamagedResultError

Value = float | list[Any] | None

_READ_AHEAD = 1 << 20
"""Bytes decompressed at a time; unbuffered, finding the lines takes longer than reading them."""


class Score(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one document scored under one filter.

    A msgspec struct, because reading two million rows through a dataclass would take a gate most of a minute.

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


_DECODER = msgspec.json.Decoder(Score)


def read_scores(source: IO[bytes] | bytes) -> Iterator[Score]:
    """Yield the rows of a score table.

    :param source: content of ``scores.jsonl.gz``, or a binary stream of it, which the caller closes.
    :raises DamagedResultError: truncated, empty, not gzip, not strict JSON, or a row with missing or wrong fields.
    """
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    number = 0
    try:
        for line in io.BufferedReader(gzip.GzipFile(fileobj=stream, mode="rb"), _READ_AHEAD):
            number += 1
            yield _DECODER.decode(line)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DamagedResultError(f"the score table breaks off after row {number}: {error}") from None
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise DamagedResultError(f"the score table's row {number} is damaged: {error}") from None
    if number == 0:
        raise DamagedResultError("the score table has no row; every evaluated document has one")
