"""Makes a gate's report of opened evidence, and puts it where people find it.

A report is for reading and decides nothing, so it lies beside the runs and not in them: evidence may be another's or
read-only, and a run's digests cover only what the run wrote.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from airflow_provider_lmeval.errors import DamagedResultError, GateError
from airflow_provider_lmeval.gate import Side, Verdict
from airflow_provider_lmeval.report import Page, brief, html, markdown, page
from airflow_provider_lmeval.report.answers import Row, SampleTables
from airflow_provider_lmeval.results.readers import Evidence
from airflow_provider_lmeval.store.location import Location, explained, join, locate
from airflow_provider_lmeval.wire import safe_name, write_atomic

DIRECTORY = "reports"
FORMATS = {".html": html, ".htm": html, ".md": markdown}
"""How a report is written, by the end of its file's name."""
LARGEST = 32 * 1024**2
"""Bytes of a report that are read for somebody."""


@dataclass(frozen=True, slots=True)
class StoredReport:
    """Where a report is, and the SHA-256 of its bytes in hexadecimal."""

    uri: str
    sha256: str


def task_report(dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> tuple[str, ...]:
    """Return the path below ``reports/`` of what a task instance reports, for those who write it and those who read it.

    :param map_index: -1 for a task that is not mapped.
    """
    index = "" if map_index < 0 else f"-{map_index}"
    return (dag_id, run_id, f"{task_id}{index}.html")


def check_format(name: str) -> None:
    """Refuse a file name that tells no format.

    :raises GateError: with the endings that do.
    """
    if _ending(name) not in FORMATS:
        raise GateError(f"report: {name!r} tells no format; end its name in {' or '.join(FORMATS)}")


def make_report(name: str, verdict: Verdict, candidate: Evidence | None, baseline: Evidence | None) -> str:
    """Return a report as text.

    :param name: its file name, for the format.
    :param candidate: the evidence behind the verdict; ``baseline`` likewise. None where there is none to be read.
    :raises GateError: the name tells no format.
    """
    check_format(name)
    return FORMATS[_ending(name)](_page(verdict, candidate, baseline))


def brief_report(verdict: Verdict, candidate: Evidence | None, baseline: Evidence | None) -> str:
    """Return a report as Markdown of a few screens, for places that are no files: a question, a message."""
    return brief(_page(verdict, candidate, baseline))


def _page(verdict: Verdict, candidate: Evidence | None, baseline: Evidence | None) -> Page:
    return page(
        verdict,
        candidate.result if candidate else None,
        baseline.result if baseline else None,
        _samples(candidate, baseline),
    )


def store_report(results_uri: str, path: tuple[str, ...], text: str) -> StoredReport:
    """Write a report below a store; one of the same path is replaced.

    :param path: names of directories and, last, of the file, any text; each is made a safe name.
    :raises StoreError: the store cannot be written to.
    """
    place, relative = locate(results_uri), _relative(path)
    write_report(place, relative, text)
    return StoredReport(join(place.url, relative), hashlib.sha256(text.encode()).hexdigest())


def read_report(results_uri: str, path: tuple[str, ...], sha256: str) -> bytes:
    """Read a report back, if it still is what was stored.

    :param path: as it was given to :func:`store_report`; whatever it says, the place read lies below ``reports/``.
    :param sha256: of the bytes that were stored.
    :raises ResultNotFoundError: there is none. :raises DamagedResultError: it is another.
    :raises StoreError: the store cannot be read.
    """
    place, relative = locate(results_uri), _relative(path)
    uri = join(place.url, relative)
    with explained("read", uri), place.fs.open(place.path(*relative.split("/")), "rb") as stream:
        raw: bytes = stream.read(LARGEST)
    if hashlib.sha256(raw).hexdigest() != sha256:
        raise DamagedResultError(f"{uri} is not the report that the gate wrote; clear the gate task to write it again")
    return raw


def _relative(path: tuple[str, ...]) -> str:
    ending = _ending(path[-1])
    return "/".join((DIRECTORY, *map(safe_name, path[:-1]), safe_name(path[-1].removesuffix(ending)) + ending))


def write_report(place: Location, relative: str, text: str) -> None:
    """Write a report's text.

    :raises StoreError: there is no permission, no space, no connection.
    """
    raw = text.encode()
    with explained("write", join(place.url, relative)):
        if place.local:
            path = Path(place.path(relative))
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, raw)
        else:
            place.fs.pipe_file(place.path(*relative.split("/")), raw)


def _samples(candidate: Evidence | None, baseline: Evidence | None) -> SampleTables:
    def rows(side: Side, task: str) -> Iterable[Row] | None:
        evidence = candidate if side == "candidate" else baseline
        return evidence.samples(task) if evidence else None

    return rows


def _ending(name: str) -> str:
    return Path(name).suffix.lower()
