"""Finds what was asked and answered for the documents on which two models differ.

A verdict names these documents by hash, since verdicts are kept for ever and texts need not be. Where samples were
stored, their rows have the form of lm-eval's ``samples_*.jsonl`` (``EvaluationTracker.save_results_samples``), whoever
wrote them. They are read one at a time and only for tasks with flips. Here they are for people, so an odd row is skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_lmeval.gate.evidence import Side
from airflow_provider_lmeval.gate.verdict import Check, Flip, Verdict

Row = Mapping[str, Any]
SampleTables = Callable[[Side, str], Iterable[Row] | None]
"""Returns the rows of a side's samples of a task; None where none were stored."""
LONGEST = 4000
"""Characters of a text that are shown. A prompt's end is its question, an answer's beginning the answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One document's texts; None where they are not known."""

    prompt: str | None = None
    target: str | None = None
    candidate: str | None = None
    baseline: str | None = None


def flips(verdict: Verdict) -> dict[tuple[str, str], list[Flip]]:
    """Return the listed flips by task and ``metric,filter``, each document once though several rules may list it.

    A pool's metric names no filter, so what it lists is left out if another rule has listed it under one.
    """
    found: dict[tuple[str, str], list[Flip]] = {}
    seen: set[tuple[str, str, str, int]] = set()
    for check in sorted(verdict.checks, key=lambda check: "," not in check.metric):
        for flip in _listed(check):
            named = {(flip.task, name, flip.doc_hash, flip.doc_id) for name in _names(check.metric)}
            if (flip.task, check.metric, flip.doc_hash, flip.doc_id) not in seen:
                found.setdefault((flip.task, check.metric), []).append(flip)
            seen |= named
    return found


def _names(metric: str) -> set[str]:
    return {metric, metric.partition(",")[0]}


def _listed(check: Check) -> tuple[Flip, ...]:
    return check.statistics.flips.documents if check.statistics and check.statistics.flips else ()


def answers(wanted: Iterable[Flip], task: str, metric: str, samples: SampleTables) -> dict[str, Answer]:
    """Return the texts of a task's flips by document hash.

    :param metric: with its filter, which decides which of a document's rows is meant.
    """
    hashes = {flip.doc_hash for flip in wanted}
    _, _, filter_name = metric.partition(",")
    candidate = _rows(samples("candidate", task), hashes, filter_name)
    baseline = _rows(samples("baseline", task), hashes, filter_name)
    return {each: _answer(candidate.get(each), baseline.get(each)) for each in candidate.keys() | baseline.keys()}


def _rows(rows: Iterable[Row] | None, hashes: set[str], filter_name: str) -> dict[str, Row]:
    """Return the row of each document: that of the filter, or any where no filter has that name."""
    found: dict[str, Row] = {}
    for row in rows or ():
        name = row.get("doc_hash")
        if name in hashes and (name not in found or row.get("filter") == filter_name != found[name].get("filter")):
            found[str(name)] = row
    return found


def _answer(candidate: Row | None, baseline: Row | None) -> Answer:
    asked = candidate or baseline or {}
    requests = _requests(asked)
    return Answer(
        prompt=_end(requests[0][0]) if requests and requests[0] else None,
        target=_target(asked, requests),
        candidate=_said(candidate),
        baseline=_said(baseline),
    )


def _requests(row: Row) -> list[list[Any]]:
    """Return the arguments of the row's requests: context first, then continuation or generation arguments."""
    arguments = row.get("arguments")
    if not isinstance(arguments, Mapping):
        return []
    return [list(each.values()) for each in arguments.values() if isinstance(each, Mapping)]


def _choices(requests: list[list[Any]]) -> list[str] | None:
    """Return the continuations that were compared; None for a row that is not multiple choice."""
    said = [each[1] for each in requests if len(each) > 1 and isinstance(each[1], str)]
    return said if len(said) == len(requests) > 1 else None


def _target(row: Row, requests: list[list[Any]]) -> str | None:
    target, choices = row.get("target"), _choices(requests)
    if choices and isinstance(target, str) and target.isdecimal() and int(target) < len(choices):
        return _start(choices[int(target)])
    return None if target is None else _start(target)


def _said(row: Row | None) -> str | None:
    """Return what a model answered: its text, the choice it found likeliest, or a log-likelihood."""
    if row is None:
        return None
    found = row.get("filtered_resps") or row.get("resps")
    if not isinstance(found, list) or not found:
        return None
    choices = _choices(_requests(row))
    if choices and len(choices) == len(found):
        likelihoods = [_likelihood(each) for each in found]
        return _start(choices[likelihoods.index(max(likelihoods))])
    return _start(_plain(found[0]))


def _likelihood(response: Any) -> float:
    while isinstance(response, list) and response:
        response = response[0]
    try:
        return float(response)
    except (TypeError, ValueError):
        return float("-inf")


def _plain(response: Any) -> str:
    if isinstance(response, list) and len(response) == 2 and str(response[1]) in ("True", "False"):
        return f"log-likelihood {response[0]}"
    while isinstance(response, list) and len(response) == 1:
        response = response[0]
    return str(response)


def _start(text: Any) -> str:
    said = str(text)
    return said if len(said) <= LONGEST else f"{said[:LONGEST]}… ({len(said) - LONGEST:,} more characters)"


def _end(text: Any) -> str:
    said = str(text)
    return said if len(said) <= LONGEST else f"({len(said) - LONGEST:,} more characters) …{said[-LONGEST:]}"
