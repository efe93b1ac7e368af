"""The supervisor's pure parts, with every combination that a real run would take too long to show."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lmeval.driver.cgroup import oom_kills
from airflow_provider_lmeval.driver.environment import LONGEST_TMPDIR, Resolver, temporary_directory
from airflow_provider_lmeval.driver.outcome import Evidence, Outcome, decide, read_json
from airflow_provider_lmeval.driver.progress import Milestones, Pace, sentence
from airflow_provider_lmeval.driver.redact import REPLACEMENT, SHORTEST_IN_TEXT, Redactor
from airflow_provider_lmeval.errors import RunFailedError
from airflow_provider_lmeval.wire import Cause

small_texts = st.text(alphabet="ab*", max_size=30)
secrets = st.lists(st.text(alphabet="ab", min_size=SHORTEST_IN_TEXT, max_size=9), max_size=4)


@given(text=small_texts, hidden=secrets, cuts=st.lists(st.integers(0, 30), max_size=6))
def test_a_stream_is_redacted_the_same_however_it_is_cut(text: str, hidden: list[str], cuts: list[int]) -> None:
    redactor = Redactor(hidden)
    stream = redactor.stream()
    edges = [0, *sorted(cuts), len(text)]
    pieces = [text[start:end] for start, end in itertools.pairwise(edges)]
    shown = b"".join(stream.feed(piece.encode()) for piece in pieces) + stream.flush()

    assert shown.decode() == redactor.text(text)


@given(text=st.text(alphabet="ab", max_size=40), hidden=secrets)
def test_no_secret_survives_in_a_text(text: str, hidden: list[str]) -> None:
    shown = Redactor(hidden).text(text)
    assert not [secret for secret in hidden if secret in shown]


@given(hidden=st.text(min_size=SHORTEST_IN_TEXT), frame=st.text(alphabet="<>", max_size=3))
def test_no_secret_survives_in_json(hidden: str, frame: str) -> None:
    shown = Redactor([hidden]).data({"key": [f"{frame}{hidden}{frame}", hidden, 1, None, True]})
    assert shown["key"][1:] == [REPLACEMENT, 1, None, True]
    assert hidden not in shown["key"][0]


def test_a_longer_secret_that_begins_like_a_shorter_one_is_hidden_whole() -> None:
    stream = Redactor(["token", "token-and-more"]).stream()
    assert stream.feed(b"a token") + stream.feed(b"-and-more b ") + stream.flush() == b"a *** b "


def test_short_secrets_are_hidden_as_values_and_spare_texts() -> None:
    redactor = Redactor(["abc", ""])
    assert redactor.data({"abc": ["abc", "abcdef", ""]}) == {"abc": [REPLACEMENT, "abcdef", ""]}
    assert redactor.text("abc") == "abc"


def test_secrets_are_found_in_json_and_url_spelling() -> None:
    secret = 'a"b\\c\nd/é'
    redactor = Redactor([secret])
    assert redactor.text(json.dumps([secret])) == f'["{REPLACEMENT}"]'
    assert redactor.text("https://x/?key=a%22b%5Cc%0Ad%2F%C3%A9&y") == f"https://x/?key={REPLACEMENT}&y"


COMPLETE = Evidence(finished=True, evaluation=True)


@pytest.mark.parametrize(
    ("seen", "cause"),
    [
        (COMPLETE, None),
        (Evidence(finished=True, evaluation=True, stopped=Outcome(Cause.DEADLINE)), None),  # it came too late
        (Evidence(finished=True, evaluation=False), Cause.INTERNAL),
        (Evidence(finished=False, evaluation=True), Cause.INTERNAL),
        (Evidence(finished=True, evaluation=True, exit_code=-6), Cause.KILLED),
        (Evidence(finished=True, evaluation=True, failed=Outcome(Cause.DATASET)), Cause.DATASET),
        (Evidence(exit_code=1, failed=Outcome(Cause.MODEL_LOAD)), Cause.MODEL_LOAD),
        (Evidence(exit_code=-9, stopped=Outcome(Cause.HUNG)), Cause.HUNG),
        (Evidence(exit_code=143, stopped=Outcome(Cause.CANCELLED), failed=Outcome(Cause.CANCELLED)), Cause.CANCELLED),
        (Evidence(exit_code=-9), Cause.KILLED),
        (Evidence(exit_code=-9, oom_kills=1), Cause.OUT_OF_MEMORY),
        (Evidence(exit_code=-11, oom_kills=1), Cause.KILLED),
        (Evidence(exit_code=-64), Cause.KILLED),
        (Evidence(exit_code=1, oom_kills=1), Cause.INTERNAL),
    ],
)
def test_the_verdict_follows_the_evidence(seen: Evidence, cause: Cause | None) -> None:
    assert decide(seen).cause == cause


def test_memory_kills_are_counted_in_both_versions_of_control_groups(tmp_path: Path) -> None:
    membership = tmp_path / "membership"
    mounted = tmp_path / "cgroup"
    (mounted / "memory").mkdir(parents=True)
    membership.write_text("4:cpu,memory:/pod/x\n0::/pod\n")
    assert oom_kills(mounted, membership) == 0

    (mounted / "memory" / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")
    assert oom_kills(mounted, membership) == 3

    (mounted / "memory.events").write_text("low 0\noom 9\noom_kill 2\noom_group_kill 7\n")
    assert oom_kills(mounted, membership) == 2

    (mounted / "pod").mkdir()
    (mounted / "pod" / "memory.events").write_text("oom_kill 5\n")
    assert oom_kills(mounted, membership) == 5
    assert oom_kills(tmp_path / "nothing", tmp_path / "nothing") == 0


def progress_event(done: object, total: int = 100, task: str = "a") -> dict:
    return {"task": task, "done": done, "total": total, "tasks_done": 0, "tasks_total": 2, "kind": "loglikelihood"}


def test_rate_and_estimate_are_those_of_the_batch_under_way() -> None:
    pace = Pace()
    assert pace.measure(progress_event(0), 0.0)["rate"] is None
    progress = pace.measure(progress_event(20), 10.0)
    assert (progress["rate"], progress["eta_s"]) == (2.0, 40.0)
    assert sentence(progress) == "a: 20/100 requests, 2/s, 40 s to go (task 1 of 2)"
    assert pace.measure(progress_event(5, task="b"), 11.0)["eta_s"] is None  # another task: nothing known yet
    assert pace.measure(progress_event(10, task="b"), 12.0)["rate"] == 5.0


def test_the_rate_forgets_a_slow_start() -> None:
    pace = Pace()
    for second in range(100):
        progress = pace.measure(progress_event(min(second, 50) + 10 * max(second - 50, 0), total=10_000), float(second))
    assert progress["rate"] == 10.0


@given(value=st.one_of(st.none(), st.text(), st.floats(), st.lists(st.integers()), st.integers()))
def test_nonsense_from_the_child_is_no_progress_and_no_error(value: object) -> None:
    event = {"task": value, "done": value, "total": value, "tasks_done": value, "kind": value}
    progress = Pace().measure(event, 0.0)
    json.dumps(progress, allow_nan=False)
    assert sentence(progress)


def test_milestones_are_every_tenth_or_ten_seconds_and_never_more_than_one_a_second() -> None:
    milestones = Milestones()
    reached = [
        (now, done)
        for now, done in [(0, 0), (0.5, 30), (1.5, 31), (2, 60), (2.5, 61), (9, 62), (12.6, 63), (12.7, 64)]
        if milestones.reached({"done": done, "total": 100}, now)
    ]
    assert reached == [(0, 0), (1.5, 31), (2.5, 61), (12.6, 63)]


@pytest.mark.parametrize(("every_s", "lines"), [(1.5, 3), (30.0, 1)])
def test_slow_progress_is_told_as_often_as_the_administrator_says(every_s: float, lines: int) -> None:
    milestones = Milestones(every_s)
    assert sum(milestones.reached({"done": now, "total": 1000}, now) for now in range(5)) == lines


def test_only_an_object_of_the_single_key_env_is_a_reference() -> None:
    resolver = Resolver({"A": "secret"}, ["A"])
    value = {"env": {"env": "A"}, "x": {"env": "A", "y": 1}, "z": {"env": 3}}

    assert resolver.resolve(value, "here") == {**value, "env": "secret"}
    assert resolver.secrets == {"secret"}
    with pytest.raises(RunFailedError, match=r"here\.q\[1\] refers to the environment variable 'B'"):
        resolver.resolve({"q": [0, {"env": "B"}]}, "here")


def test_a_temporary_directory_leaves_room_for_socket_names(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * LONGEST_TMPDIR)
    deep.mkdir()
    elsewhere = temporary_directory(deep)
    assert elsewhere.is_dir()
    assert len(str(elsewhere)) <= LONGEST_TMPDIR
    elsewhere.rmdir()


def test_what_is_no_json_object_reads_as_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    assert read_json(path) is None
    for content in ("", "[1]", "{", '"text"', "[" * 100_000):
        path.write_text(content)
        assert read_json(path) is None
    path.write_text('{"a": NaN, "b": -Infinity}')
    assert read_json(path) == {"a": None, "b": None}
