"""When a served model's server counts as gone: by the time it was silent for, and by failures in a row."""

from __future__ import annotations

import pytest

from airflow_provider_lmeval.driver.worker.patience import Patience, ServerGone


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class RefusedError(Exception):
    """An HTTP client's error: with status and headers, as aiohttp has it."""

    def __init__(self, status: int, **headers: str) -> None:
        super().__init__(f"HTTP {status}")
        self.status, self.headers = status, headers


@pytest.fixture
def clock() -> Clock:
    return Clock()


def fail(patience: Patience, error: Exception, times: int = 1) -> float:
    for _ in range(times):
        patience.begin()
        waits = patience.failed(error)
    return waits


def test_silence_as_long_as_one_request_may_take_is_the_end(clock: Clock) -> None:
    patience = Patience(timeout_s=10, attempts=3, concurrency=100, clock=clock)
    patience.begin()
    clock.now = 29
    fail(patience, TimeoutError())
    clock.now = 30

    with pytest.raises(ServerGone, match=r"nothing for 30 s.* no answer in 10 s"):
        fail(patience, TimeoutError())


def test_an_answer_in_between_starts_anew(clock: Clock) -> None:
    patience = Patience(timeout_s=10, attempts=3, concurrency=100, clock=clock)
    patience.begin()
    clock.now = 29
    patience.begin()
    patience.answered()
    clock.now = 58

    assert fail(patience, TimeoutError()) == 0


def test_time_in_which_nobody_asks_is_not_the_servers(clock: Clock) -> None:
    patience = Patience(timeout_s=10, attempts=3, concurrency=100, clock=clock)
    patience.begin()
    patience.answered()
    clock.now = 1000

    assert fail(patience, ConnectionError("reset")) == 0


def test_as_many_failures_in_a_row_as_there_are_attempts_in_flight_are_the_end(clock: Clock) -> None:
    patience = Patience(timeout_s=10, attempts=3, concurrency=2, clock=clock)
    fail(patience, ConnectionError("reset"), times=5)

    with pytest.raises(ServerGone, match=r"6 requests in a row.*ConnectionError: reset"):
        fail(patience, ConnectionError("reset"))


def test_a_limited_rate_is_waited_for_and_no_failure(clock: Clock) -> None:
    patience = Patience(timeout_s=10, attempts=1, concurrency=1, clock=clock)

    assert fail(patience, RefusedError(429, **{"retry-after": "3"}), times=50) == 3
    assert fail(patience, RefusedError(429, **{"Retry-After": "86400"})) == 30
    assert fail(patience, RefusedError(429, **{"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"})) == 0
