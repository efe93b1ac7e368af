"""Sets two models' scores side by side, document by document.

By content, not by position: tables may be in any order, and a document that changed is another document. The key is the
document's hash with its target's; true duplicates in a data set are told apart by their order. Columns are arrays,
because a suite may have a million documents.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Protocol


class Row(Protocol):
    """What is read of a score: see :class:`airflow_provider_lmeval.results.Score`."""

    @property
    def doc_id(self) -> int: ...
    @property
    def doc_hash(self) -> str: ...
    @property
    def target_hash(self) -> str: ...
    @property
    def filter(self) -> str: ...
    @property
    def metrics(self) -> dict[str, Any]: ...
    @property
    def response_hash(self) -> str | None: ...
    @property
    def loglikelihoods(self) -> tuple[float | None, ...] | None: ...


@dataclass(slots=True)
class Column:
    """One metric of a score table, sorted by content.

    :param keys: ``(n, 2)`` digests of document and target. :param values: ``(n, width)``; NaN where there is none.
    :param doc_ids: positions in the split. :param doc_hashes: in the same order.
    :param likelihoods: hashes of the log-likelihoods; None unless every document has some.
    :param responses: hashes of the answers, likewise.
    :param choices: mean of 1 over the number of log-likelihoods: the accuracy of guessing; None without any.
    """

    keys: Any
    values: Any
    doc_ids: Any
    doc_hashes: Sequence[str]
    order: Any
    likelihoods: Any | None
    responses: Any | None
    choices: float | None

    @property
    def missing(self) -> int:
        """Number of documents without a score."""
        import numpy as np

        return int(np.isnan(self.values).any(axis=1).sum())

    def hash_of(self, at: int) -> str:
        """Return the hash of the document at a position of the sorted column."""
        return self.doc_hashes[int(self.order[at])]


@dataclass(slots=True)
class _Growing:
    keys: bytearray = field(default_factory=bytearray)
    values: array[float] = field(default_factory=lambda: array("d"))
    doc_ids: array[int] = field(default_factory=lambda: array("q"))
    doc_hashes: list[str] = field(default_factory=list)
    likelihoods: array[int] = field(default_factory=lambda: array("q"))
    responses: array[int] = field(default_factory=lambda: array("q"))
    guessing: float = 0.0


def read_column(rows: Iterable[Row], metric: str, filter_name: str) -> Column | None:
    """Return one metric of a score table; None if no row has this filter.

    Documents score one number or several; a document whose number of them is not that of most counts as without score.

    :param metric: without its filter.
    """
    grown, lists = _Growing(), []
    keys, values, doc_ids, doc_hashes = grown.keys, grown.values, grown.doc_ids, grown.doc_hashes
    likelihoods, responses, nothing = grown.likelihoods, grown.responses, float("nan")
    for row in rows:
        if row.filter != filter_name:
            continue
        value = row.metrics.get(metric)
        if value.__class__ is list:
            lists.append((len(doc_ids), value))
            value = None
        keys += blake2b(f"{row.doc_hash}\n{row.target_hash}".encode(), digest_size=16).digest()
        values.append(nothing if value is None else value)
        doc_ids.append(row.doc_id)
        doc_hashes.append(row.doc_hash)
        if chosen := row.loglikelihoods:
            likelihoods.append(hash(chosen))
            grown.guessing += 1 / len(chosen)
        if row.response_hash is not None:
            responses.append(hash(row.response_hash))
    return _sorted(grown, lists) if doc_ids else None


def _sorted(grown: _Growing, lists: list[tuple[int, list[Any]]]) -> Column:
    import numpy as np

    n = len(grown.doc_ids)
    keys = np.frombuffer(grown.keys, dtype=np.uint64).reshape(n, 2)
    doc_ids = np.frombuffer(grown.doc_ids, dtype=np.int64)
    order = np.lexsort((doc_ids, keys[:, 1], keys[:, 0]))

    def column(hashes: array[int]) -> Any | None:
        return np.frombuffer(hashes, dtype=np.int64)[order] if len(hashes) == n else None

    return Column(
        keys=keys[order],
        values=_widened(np.frombuffer(grown.values, dtype=np.float64)[:, None], lists)[order],
        doc_ids=doc_ids[order],
        doc_hashes=grown.doc_hashes,
        order=order,
        likelihoods=column(grown.likelihoods),
        responses=column(grown.responses),
        choices=grown.guessing / n if len(grown.likelihoods) == n else None,
    )


def _widened(values: Any, lists: list[tuple[int, list[Any]]]) -> Any:
    """Return the values with those that are lists filled in, if most documents have lists of one length."""
    import numpy as np

    if 2 * len(lists) <= len(values):
        return values
    width = max(1, *(len(value) for _, value in lists))
    wide = np.full((len(values), width), np.nan)
    for at, value in lists:
        if len(value) == width and all(isinstance(item, int | float) for item in value):
            wide[at] = value
    return wide


@dataclass(frozen=True, slots=True)
class Pairing:
    """Which rows belong together.

    :param candidate: positions in the candidate's column; ``baseline``, in the same order, in the baseline's.
    :param only_candidate: number of documents that the baseline lacks; ``only_baseline`` the other way round.
    :param duplicated: documents that occur more than once with the same target.
    """

    candidate: Any
    baseline: Any
    only_candidate: int
    only_baseline: int
    duplicated: int


def pair(candidate: Column, baseline: Column) -> Pairing:
    """Return which documents of two columns are the same.

    The n-th occurrence of a duplicated document belongs to the n-th occurrence on the other side.
    """
    import numpy as np

    ours, theirs = _with_occurrence(candidate.keys), _with_occurrence(baseline.keys)
    duplicated = int((ours[:, 2] > 0).sum())
    if np.array_equal(ours, theirs):
        every = np.arange(len(ours))
        return Pairing(every, every, 0, 0, duplicated)
    both = np.concatenate([ours, theirs])
    order = np.lexsort((both[:, 2], both[:, 1], both[:, 0]))
    same = np.flatnonzero((both[order][1:] == both[order][:-1]).all(axis=1))
    one, other = order[same], order[same + 1] - len(ours)  # lexsort is stable: the candidate's row comes first
    return Pairing(one, other, len(ours) - len(one), len(theirs) - len(other), duplicated)


def _with_occurrence(keys: Any) -> Any:
    """Return sorted keys with a third number: 0 for the first of its kind, 1 for the second."""
    import numpy as np

    n = len(keys)
    new = np.ones(n, dtype=bool)
    new[1:] = (keys[1:] != keys[:-1]).any(axis=1)
    start = np.maximum.accumulate(np.where(new, np.arange(n), 0))
    return np.column_stack([keys, (np.arange(n) - start).astype(np.uint64)])
