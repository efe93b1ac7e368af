"""A pod's log in pieces: every line once, whatever a kubelet's seconds, a node's zone, a piece's end make of it."""

from __future__ import annotations

import asyncio

import pytest

from airflow_provider_lmeval.backends.lmevaljob.log import MOST_BYTES, PodLog
from airflow_provider_lmeval.backends.lmevaljob.view import JobView
from airflow_provider_lmeval.errors import ClusterError
from tests.support.scripted_api import ScriptedApi

VIEW = JobView(name="j", namespace="ns", uid="u", state="Running", pod="j")
PATH = "/api/v1/namespaces/ns/pods/j/log"


def at(second: int, *texts: str, zone: str = "Z") -> bytes:
    """Return lines of one time."""
    return b"".join(f"2026-01-01T00:00:{second:02}.123456789{zone} {text}\n".encode() for text in texts)


def test_lines_that_were_there_before_are_told_once() -> None:
    log = PodLog()
    assert log.take(at(1, "a", "b")) == ["a", "b"]
    assert log.take(at(1, "a", "b", "c") + at(2, "a")) == ["c", "a"]
    assert log.take(at(2, "a")) == []
    assert list(log.lines) == ["a", "b", "c", "a"]


def test_a_progress_bar_that_writes_over_itself_shows_what_it_said_last() -> None:
    assert PodLog().take(at(1, "  1%\r 37%\r", "done", "  ", "")) == [" 37%", "done"]


def test_what_is_no_utf_8_and_no_time_does_not_stop_it() -> None:
    assert PodLog().take(b"no time at all\n" + at(1, "x").replace(b"x", b"caf\xe9") + at(2, "naïve")) == [
        "caf�",
        "naïve",
    ]


def test_a_line_that_the_end_of_a_piece_cuts_comes_again_whole() -> None:
    log = PodLog()
    long = "é" * (MOST_BYTES // 2)
    first = at(1, "a") + at(2, long)
    assert log.take(first[:MOST_BYTES]) == ["a"]
    assert log.take(at(2, "b")) == ["b"]


def test_more_than_a_piece_within_a_second_does_not_stop_it() -> None:
    log = PodLog()
    full = at(1, *["x" * 1000] * 1200)[:MOST_BYTES]
    assert len(log.take(full)) > 900
    (told,) = log.take(full)
    assert "within a second" in told
    assert log.take(at(2, "on we go")) == ["on we go"]


@pytest.mark.parametrize(
    ("zone", "since"), [("Z", "2026-01-01T00:00:07+00:00"), ("+02:00", "2026-01-01T00:00:07+02:00")]
)
def test_the_kubelet_is_asked_from_the_last_second_on_in_the_nodes_own_zone(zone: str, since: str) -> None:
    api = ScriptedApi({PATH: at(7, "a", zone=zone)})
    log = PodLog()
    for _ in range(2):
        asyncio.run(log.status(api, VIEW))
    assert "sinceTime" not in api.calls[0].query
    assert api.calls[1].query["sinceTime"] == since
    assert list(log.lines) == ["a"]


@pytest.mark.parametrize("status", [0, 400, 404, 429, 503])
def test_a_log_that_is_not_there_yet_or_any_more_is_no_trouble(status: int) -> None:
    api = ScriptedApi({PATH: ClusterError("not now", status)})
    assert asyncio.run(PodLog().news(api, VIEW)) == []


def test_a_log_that_may_not_be_read_says_so_once() -> None:
    api = ScriptedApi({PATH: ClusterError("Grant the verb 'get' on 'pods/log'", 403)})
    log = PodLog()
    (told,) = asyncio.run(log.news(api, VIEW))
    assert "not shown: Grant the verb" in told
    assert asyncio.run(log.news(api, VIEW)) == []
    with pytest.raises(ClusterError):
        asyncio.run(log.status(api, VIEW))


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (VIEW, True),
        (JobView(name="j", namespace="ns", uid="u", state="Running"), False),
        (JobView(name="j", namespace="ns", uid="u", state="Scheduled", pod="j"), False),
    ],
)
def test_only_a_pod_that_runs_is_asked(view: JobView, expected: bool) -> None:
    assert PodLog().can_ask(view) is expected
