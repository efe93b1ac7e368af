"""What each state of a job means, and how long it may last: New, Scheduled, Running, Complete, Cancelled, Suspended."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_lmeval.backends.lmevaljob.interpret import HELD_S, JobLimits, progress_of, status_of
from airflow_provider_lmeval.backends.lmevaljob.view import JobView
from airflow_provider_lmeval.wire import State, Status

LIMITS = JobLimits(pickup=10, startup=100, queueing=1000, timeout=50, no_progress=20)


def seen(now: float = 1.0, **fields: Any) -> Status:
    """Return the status of a job created at 0."""
    known: dict[str, Any] = {"name": "j", "namespace": "ns", "uid": "u", "run_id": "run", "created": 0.0}
    return status_of(JobView(**known | fields), now=now, limits=LIMITS)


def outcome(status: Status) -> tuple[str, str, str | None]:
    return str(status.state), str(status.reason), status.cause and str(status.cause)


@pytest.mark.parametrize(
    ("fields", "state", "said"),
    [
        ({}, "New", "waiting for TrustyAI's operator"),
        ({"state": "New"}, "New", "waiting for TrustyAI's operator"),
        ({"state": "Suspended"}, "Suspended", "waiting for Kueue"),
        ({"state": "Scheduled", "pod": "j", "scheduled": 0.5}, "Scheduled", "pod j is starting"),
        ({"state": "Running", "scheduled": 0.5, "message": "update status"}, "Running", "update status"),
        ({"state": "Dreaming", "scheduled": 0.5, "message": "zzz"}, "Running", "zzz"),
    ],
)
def test_a_job_that_goes_on(fields: dict[str, Any], state: str, said: str) -> None:
    status = seen(**fields)
    assert outcome(status) == (state, "NoReason", None)
    assert said in (status.message or "")
    assert not State(status.state).ended


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"state": "Complete", "reason": "Succeeded"}, ("Complete", "Succeeded", None)),
        ({"state": "Complete", "reason": "Failed", "finished": 9.0}, ("Complete", "Failed", "internal")),
        ({"state": "Complete", "reason": "NoReason"}, ("Complete", "Failed", "internal")),
        ({"state": "Complete"}, ("Complete", "Failed", "internal")),
        ({"state": "Complete", "reason": "Cancelled"}, ("Cancelled", "Cancelled", "cancelled")),
        ({"state": "Cancelled"}, ("Cancelled", "Cancelled", "cancelled")),
        ({"state": "Running", "deleted": True}, ("Cancelled", "Cancelled", "cancelled")),
        ({"deleted": True}, ("Cancelled", "Cancelled", "cancelled")),
        ({"state": "Complete", "reason": "Succeeded", "deleted": True}, ("Complete", "Succeeded", None)),
    ],
)
def test_a_job_that_has_ended(fields: dict[str, Any], expected: tuple[str, str, str]) -> None:
    assert outcome(seen(**fields)) == expected


def test_the_end_is_the_operators() -> None:
    status = seen(state="Complete", reason="Succeeded", scheduled=3.0, finished=9.0)
    assert (status.started, status.ended) == (3.0, 9.0)


@pytest.mark.parametrize(
    ("fields", "last", "over", "cause", "said"),
    [
        ({}, 10, 11, "not_started", "it has no state"),
        ({"state": "New"}, 10, 11, "not_started", "its state is New"),
        ({"state": "Suspended"}, 1000, 1001, "unschedulable", "queueing_timeout"),
        ({"state": "Suspended", "scheduled": 5.0, "queued": 500.0}, 1500, 1501, "unschedulable", "LocalQueue"),
        ({"state": "Scheduled", "scheduled": 5.0, "pod": "j"}, 105, 106, "unschedulable", "pod j does not run"),
        ({"state": "Scheduled", "scheduled": 5.0, "resumed": 900.0}, 1000, 1001, "unschedulable", "startup_timeout"),
        ({"state": "Running", "scheduled": 5.0}, 55, 56, "deadline", "timeout"),
        ({"state": "Running", "scheduled": 5.0, "resumed": 900.0}, 950, 951, "deadline", "timeout"),
        ({"state": "Running", "scheduled": 5.0, "progressed": 10.0}, 30, 31, "hung", "no_progress_timeout"),
    ],
)
def test_a_job_is_given_up_when_its_time_is_over_and_not_before(
    fields: dict[str, Any], last: float, over: float, cause: str, said: str
) -> None:
    assert not State(seen(now=last, **fields).state).ended
    status = seen(now=over, **fields)
    assert outcome(status) == ("Complete", "Failed", cause)
    assert said in (status.message or "")
    assert status.ended == over


def test_without_limits_a_running_job_may_go_on_for_ever() -> None:
    view = JobView(name="j", namespace="ns", uid="u", state="Running", created=0.0, scheduled=1.0, progressed=1.0)
    assert status_of(view, now=1e9).state == "Running"


def test_all_requests_done_and_no_end_means_results_that_do_not_fit() -> None:
    bar = {"count": "228/228"}
    assert "larger than Kubernetes stores" in (seen(now=99, state="Running", scheduled=5.0, bar=bar).message or "")
    assert "larger" not in (seen(now=99, state="Running", scheduled=5.0, bar={"count": "1/228"}).message or "")


QUOTA = 'pods "j" is forbidden: exceeded quota: gpus, requested: 1, used: 8, limited: 8'


def test_what_the_operator_tries_again_has_not_failed_yet() -> None:
    """It says Complete and Failed when it cannot create the pod, and creates it as soon as there is room."""
    status = seen(now=99, state="Complete", reason="Failed", message=QUOTA)
    assert outcome(status) == ("New", "NoReason", None)
    assert "tries again" in (status.message or "")
    assert "exceeded quota" in (status.message or "")
    assert outcome(seen(now=101, state="Complete", reason="Failed", message=QUOTA)) == ("Complete", "Failed", "quota")


def test_what_no_other_try_of_the_operator_helps_is_not_waited_for() -> None:
    said = 'pods "j" is forbidden: violates PodSecurity "restricted:latest"'
    assert outcome(seen(state="Complete", reason="Failed", message=said)) == ("Complete", "Failed", "pod_rejected")
    said = "Failed to read configuration: not found"
    assert outcome(seen(now=10, state="Complete", reason="Failed", message=said))[0] == "New"
    assert outcome(seen(now=11, state="Complete", reason="Failed", message=said))[1] == "Failed"


@pytest.mark.parametrize("field", ["scheduled", "finished"])
def test_a_failure_of_a_job_that_had_a_pod_or_was_completed_is_final(field: str) -> None:
    assert outcome(seen(state="Complete", reason="Failed", message=QUOTA, **{field: 1.0}))[1] == "Failed"


def test_a_job_that_became_new_again_is_not_held_by_the_time_it_was_created() -> None:
    assert outcome(seen(now=5010, state="New", pending=5000.0))[0] == "New"
    assert outcome(seen(now=5011, state="New", pending=5000.0)) == ("Complete", "Failed", "not_started")


def test_a_deleted_job_is_waited_for_as_long_as_its_operator_may_hold_it() -> None:
    fields: dict[str, Any] = {"state": "Running", "scheduled": 1.0, "deletion": 5.0, "finalizers": ("trusty/lmes",)}
    status = seen(now=5 + HELD_S, **fields)
    assert outcome(status) == ("Running", "NoReason", None)
    assert "trusty/lmes holds it" in (status.message or "")
    assert outcome(seen(now=6 + HELD_S, **fields)) == ("Cancelled", "Cancelled", "cancelled")


@pytest.mark.parametrize(
    ("bar", "expected"),
    [
        (None, {}),
        ({}, {}),
        ({"count": "many"}, {}),
        ({"count": "-1/9"}, {}),
        ({"count": "²/9"}, {}),
        ({"count": "2/8", "message": "Requesting API"}, {"done": 2, "total": 8, "task": "Requesting API"}),
        (
            {"count": "2/8", "elapsedTime": "0:00:04", "remainingTimeEstimate": "1 day, 1:00:00"},
            {"done": 2, "total": 8, "task": None, "rate": 0.5, "eta_s": 90000.0},
        ),
        (
            {"count": "2/8", "elapsedTime": "?", "remainingTimeEstimate": "02:03"},
            {"done": 2, "total": 8, "task": None, "eta_s": 123.0},
        ),
    ],
)
def test_a_progress_bar_is_read_as_far_as_it_is_numbers(bar: dict[str, str] | None, expected: dict[str, Any]) -> None:
    assert progress_of(bar) == expected
