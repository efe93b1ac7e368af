"""Opens evidence wherever it lies and whoever wrote it: a run of ours, lm-eval's own output, another tool's bundle.

A run of ours is read through its marker. If a place looks like one it is never read as anything else: an incomplete
run must not be saved by a looser reader.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, Any

from airflow_provider_lmeval.errors import ResultNotFoundError, StoreError
from airflow_provider_lmeval.gate.evidence import ScoreTables, Side
from airflow_provider_lmeval.results import Score
from airflow_provider_lmeval.results.readers import Evidence, read_bundle
from airflow_provider_lmeval.store.location import Location, explained, locate, shown
from airflow_provider_lmeval.store.scores import sample_reader, score_reader
from airflow_provider_lmeval.store.store import open_result
from airflow_provider_lmeval.wire import MARKER_NAME, RESULT_NAME

DEPTH = 5
"""How deep below a bundle files are looked for: launchers nest invocation, benchmark, artefacts, model."""
MOST_FILES = 20_000
"""A place with more files is not a bundle but a mistake."""


def read_evidence(uri: str, storage_options: Mapping[str, Any] | None = None) -> Evidence:
    """Return the evidence that a URI names.

    :param uri: a run of ours, a directory of another tool's files, or one of its files.
    :param storage_options: fsspec's options for it.
    :raises ResultNotFoundError: nothing, or nothing complete, is there.
    :raises DamagedResultError: it is damaged, of no known kind, or several evaluations to choose from.
    :raises StoreError: the place cannot be reached.
    """
    place = locate(uri.rstrip("/") or uri, storage_options)
    with explained("look into", uri):
        place.fs.invalidate_cache()
        names, chosen = _names(place)
    if chosen == RESULT_NAME or (chosen is None and {MARKER_NAME, RESULT_NAME} & set(names)):
        return _own(uri, storage_options)
    root = place if chosen is None else Location(place.fs, place.root.rpartition("/")[0] or "/", place.url, place.local)
    return read_bundle(_Bundle(root, shown(uri), names, chosen))


def score_tables(candidate: Evidence, baseline: Evidence | None) -> ScoreTables:
    """Return the score tables of both sides in the form in which a gate asks for them."""

    def tables(side: Side, task: str) -> Iterable[Score] | None:
        evidence = candidate if side == "candidate" else baseline
        return evidence.scores(task) if evidence else None

    return tables


def _own(uri: str, storage_options: Mapping[str, Any] | None) -> Evidence:
    result = open_result(uri, storage_options)
    scores = score_reader(uri, result, storage_options)
    return Evidence(result, scores, "run of this provider", samples=sample_reader(uri, result, storage_options))


def _names(place: Location) -> tuple[Sequence[str], str | None]:
    """Return the paths of all files of a bundle, and the one that was asked for.

    By ``info``, since fsspec's ``exists`` takes a service that does not answer for a place where nothing is.
    """
    try:
        found = place.fs.info(place.root)
    except FileNotFoundError:
        raise ResultNotFoundError(
            f"there is nothing at {shown(place.url)}; give a directory or URI of results"
        ) from None
    if found["type"] == "file":
        parent, _, chosen = place.root.rpartition("/")
        return _listed(Location(place.fs, parent or "/", place.url, place.local), depth=1), chosen
    return _listed(place, DEPTH), None


def _listed(place: Location, depth: int) -> list[str]:
    root, names = place.root.rstrip("/"), list[str]()
    for directory, _, files in place.fs.walk(place.root, maxdepth=depth):
        below = str(directory).rstrip("/").removeprefix(root).lstrip("/")
        names += [str(PurePosixPath(below, name)) for name in files]
        if len(names) > MOST_FILES:
            raise StoreError(
                f"{shown(place.url)} holds more than {MOST_FILES:,} files; name the directory of one evaluation"
            )
    return sorted(names)


@dataclass(frozen=True, slots=True)
class _Bundle:
    """Files of a place, for the readers.

    :param root: directory of the files. :param place: what people call it.
    """

    root: Location
    place: str
    names: Sequence[str]
    chosen: str | None

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """Open a file; whatever goes wrong while it is read is a :class:`StoreError`."""
        with explained("read", f"{self.place}: {name}"), self.root.fs.open(self.root.path(name), "rb") as stream:
            yield stream
