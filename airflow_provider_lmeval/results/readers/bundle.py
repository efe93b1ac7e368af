"""What all readers share: the bundle they read, the evidence they return, and how doubtful values are taken.

Other tools write NaN where JSON has none, numbers as text, and hashes under names of their own. Here is decided once what
counts as a number and what as missing. The hashes are those of our driver, so that results of both can be compared.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import IO, Any, Protocol

from airflow_provider_lmeval.errors import DamagedResultError
from airflow_provider_lmeval.results.model import EvalResult
from airflow_provider_lmeval.results.scores import Score
from airflow_provider_lmeval.wire import safe_name

Data = dict[str, Any]
ScoreSupplier = Callable[[str], Iterable[Score] | None]
"""Returns the score table of a task, None if it has none."""
SampleSupplier = Callable[[str], Iterable[Data] | None]
"""Returns the rows of a task's samples, texts included, as lm-eval writes them; None if they were not kept."""
SUCCEEDED: Data = {"state": "Complete", "reason": "Succeeded"}


class Files(Protocol):
    """The files of one bundle, for reading."""

    @property
    def place(self) -> str:
        """What to call the bundle in messages."""

    @property
    def names(self) -> Sequence[str]:
        """Paths relative to the bundle, with ``/``, sorted."""

    @property
    def chosen(self) -> str | None:
        """The one file that was asked for; None for all of them."""

    def open(self, name: str) -> AbstractContextManager[IO[bytes]]:
        """Open one for reading.

        :raises StoreError: it cannot be read.
        """


def without_scores(_task: str) -> None:
    """Supply no scores, or no samples: what a bundle without them does."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """An evaluation, whoever ran it.

    :param result: what it found. :param scores: returns the per-document scores of a task, None where there are none.
    :param samples: returns the rows of a task with their texts.
    :param kind: whose format it was in. :param notes: what was left out, for people.
    """

    result: EvalResult
    scores: ScoreSupplier
    kind: str
    notes: tuple[str, ...] = ()
    samples: SampleSupplier = without_scores


def candidates(files: Files) -> Sequence[str]:
    """Return the names that a reader may look at: the one that was asked for, or all."""
    return files.names if files.chosen is None else [files.chosen]


def content(files: Files, name: str) -> bytes:
    """Return the content of a file of the bundle."""
    with files.open(name) as stream:
        return stream.read()


def loads(raw: bytes | str, what: str) -> Any:
    """Decode JSON as Python writes it; NaN and infinities become None.

    :param what: the file, for the message.
    :raises DamagedResultError: it is not JSON.
    """
    try:
        return json.loads(raw, parse_constant=lambda _token: None)
    except (ValueError, RecursionError) as error:
        raise DamagedResultError(f"{what} is not valid JSON: {error}") from None


def mapping(value: Any) -> Mapping[str, Any]:
    """Return a mapping, empty for anything else: an optional part of a foreign document."""
    return value if isinstance(value, Mapping) else {}


def number(value: Any) -> float | None:
    """Return a finite number, None for anything else; "N/A" is what lm-eval writes for no number."""
    real = isinstance(value, int | float) and not isinstance(value, bool)
    return value if real and math.isfinite(value) else None


def count(value: Any) -> int | None:
    """Return a number of things, None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def score(value: Any) -> float | list[Any] | None:
    """Return one document's score: a number, a list of numbers, which some metrics aggregate, or None."""
    if isinstance(value, list):
        return value if value and all(number(item) is not None for item in value) else None
    return int(value) if isinstance(value, bool) else number(value)


def text(value: Any) -> str | None:
    """Return a text, None for an empty one and for anything else."""
    return value if isinstance(value, str) and value else None


def sha(value: Any) -> str:
    """Return the SHA-256 of a text, or of the canonical JSON of anything else: the driver's fingerprint hash."""
    said = value if isinstance(value, str) else json.dumps(value, sort_keys=True, allow_nan=False)
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()


def without_secrets(args: Mapping[str, Any]) -> Data:
    """Return model arguments with what may be a password replaced: other tools write them down as they were given."""
    return {str(key): "***" if _SECRET & set(str(key).lower().split("_")) else value for key, value in args.items()}


_SECRET = frozenset({"auth", "credential", "credentials", "header", "headers", "key", "password", "secret", "token"})


def result_of(what: str, run_id: str, parts: Data) -> EvalResult:
    """Build the result document.

    :param what: the bundle, for the message. :param run_id: any text that names the evaluation.
    :param parts: the other fields.
    :raises DamagedResultError: they do not fit the document.
    """
    try:
        return EvalResult.parse({"schema_version": 1, "run_id": safe_name(run_id), **parts})
    except DamagedResultError as error:
        raise DamagedResultError(f"{what}: {error}") from None
