"""Makes a gate's report of opened evidence, and puts it where people find it.

A report is for reading and decides nothing, so it lies beside the runs and not in them: evidence may be another's or
read-only, and a run's digests cover only what the run wrote.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from airflow_provider_lmeval.errors import GateError
from airflow_provider_lmeval.gate import Side, Verdict
from airflow_provider_lmeval.report import html, markdown, page
from airflow_provider_lmeval.report.answers import Row, SampleTables
from airflow_provider_lmeval.results.readers import Evidence
from airflow_provider_lmeval.store.location import Location, explained, join, locate
from airflow_provider_lmeval.wire import safe_name, write_atomic

DIRECTORY = "reports"
FORMATS = {".html": html, ".htm": html, ".md": markdown}
"""How a report is written, by the end of its file's name."""


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
    shown = page(
        verdict,
        candidate.result if candidate else None,
        baseline.result if baseline else None,
        _samples(candidate, baseline),
    )
    return FORMATS[_ending(name)](shown)


def store_report(results_uri: str, path: tuple[str, ...], text: str) -> str:
    """Write a report below a store; one of the same path is replaced.

    :param path: names of directories and, last, of the file, any text; each is made a safe name.
    :returns: where it is.
    :raises StoreError: the store cannot be written to.
    """
    ending = _ending(path[-1])
    names = [*map(safe_name, path[:-1]), safe_name(path[-1].removesuffix(ending)) + ending]
    relative = "/".join((DIRECTORY, *names))
    write_report(locate(results_uri), relative, text)
    return join(locate(results_uri).url, relative)


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
