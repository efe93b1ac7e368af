"""Two clocks: what is patience here is counted by the one that dated the pod."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from airflow_provider_lmeval.backends.kubernetes.clock import TOLERANCE_S, ServerClock


@pytest.mark.parametrize("off", [-3600.0, -90.0, 90.0, 3600.0])
def test_a_server_with_another_time_is_believed_about_its_own_objects(off: float) -> None:
    clock = ServerClock()
    clock.note(formatdate(time.time() + off, usegmt=True))
    assert clock.now() - time.time() == pytest.approx(off, abs=2)


@pytest.mark.parametrize("off", [0.0, 1 - TOLERANCE_S])
def test_whole_seconds_are_no_difference(off: float) -> None:
    clock = ServerClock()
    clock.note(formatdate(time.time() + off, usegmt=True))
    assert clock.ahead_s == 0.0


@pytest.mark.parametrize("date", [None, "", "yesterday", "Tue, 99 Foo 2026 25:00:00 GMT"])
def test_an_answer_without_a_date_changes_nothing(date: str | None) -> None:
    clock = ServerClock()
    clock.note(formatdate(time.time() + 600, usegmt=True))
    clock.note(date)
    assert clock.now() - time.time() > 590
