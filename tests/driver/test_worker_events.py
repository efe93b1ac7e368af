"""Events: whole lines, never held up, the important ones never lost to a reader that is merely slow."""

import contextlib
import json
import os
import threading
import time

import pytest

from airflow_provider_lmeval.driver.worker.events import LONGEST_LINE, Events, shorten
from airflow_provider_lmeval.wire import Cause, Phase


@pytest.fixture
def pipe():
    ours, theirs = os.pipe()
    yield ours, theirs
    for descriptor in (ours, theirs):
        os.close(descriptor)


def step(done, total=1000):
    return {"task": "t", "kind": "loglikelihood", "done": done, "total": total, "tasks_done": 0, "tasks_total": 1}


def lines(descriptor):
    return [json.loads(line) for line in os.read(descriptor, 1 << 20).splitlines()]


def fill(descriptor):
    os.set_blocking(descriptor, False)
    with contextlib.suppress(BlockingIOError):
        while os.write(descriptor, b"x" * 4096):
            pass


def test_each_event_is_a_line(pipe):
    events = Events(pipe[1])

    events.phase(Phase.LOADING_MODEL)
    events.task('a "name"\n')
    events.finished()

    assert lines(pipe[0]) == [
        {"event": "phase", "phase": "loading model"},
        {"event": "task", "task": 'a "name"\n'},
        {"event": "finished"},
    ]


def test_progress_is_rare_but_its_end_is_always_told(pipe):
    events = Events(pipe[1])

    for done in range(1001):
        events.progress(step(done))

    told = [event["done"] for event in lines(pipe[0])]
    assert told[0] == 0
    assert told[-1] == 1000
    assert len(told) < 20


def test_a_full_pipe_drops_progress_at_once(pipe):
    events = Events(pipe[1])
    fill(pipe[1])

    started = time.monotonic()
    events.progress(step(1))

    assert time.monotonic() - started < 0.5


def test_a_full_pipe_makes_important_events_wait_for_the_reader(pipe):
    events = Events(pipe[1])
    fill(pipe[1])
    taken = []
    reader = threading.Timer(0.2, lambda: taken.append(os.read(pipe[0], 1 << 20)))
    reader.start()

    events.finished()
    reader.join()

    assert os.read(pipe[0], 1 << 20).endswith(b'{"event": "finished"}\n')


def test_a_reader_that_is_gone_does_not_stop_the_worker():
    ours, theirs = os.pipe()
    events = Events(theirs)
    os.close(ours)

    events.finished()
    events.finished()

    os.close(theirs)


@pytest.mark.parametrize("text", ["x" * 100_000, "\N{PILE OF POO}" * 5000, "\n" * 50_000])
def test_a_long_message_is_cut_in_the_middle_to_fit_into_one_write(pipe, text):
    Events(pipe[1]).failed(Cause.INTERNAL, f"first {text} last")

    line = os.read(pipe[0], 1 << 20)

    assert len(line) <= LONGEST_LINE + 1
    message = json.loads(line)["message"]
    assert message.startswith("first")
    assert message.endswith("last")


def test_short_texts_stay_as_they_are():
    assert shorten("abc", 3) == "abc"
    assert len(shorten("a" * 50, 20)) <= 20


def test_without_a_pipe_nothing_is_said():
    Events(None).finished()
