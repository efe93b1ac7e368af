"""When a waiting task speaks, and what it says."""

from __future__ import annotations

from airflow_provider_lmeval.triggers.progress import ProgressLog, describe
from airflow_provider_lmeval.wire import Status

RUNNING = Status(
    run_id="r",
    state="Running",
    phase="evaluating",
    progress={
        "task": "tiny_mc",
        "done": 120,
        "total": 480,
        "rate": 40.0,
        "eta_s": 9.0,
        "tasks_done": 1,
        "tasks_total": 3,
    },
)


def test_a_line_tells_task_share_rate_and_time_left() -> None:
    assert describe(RUNNING) == "Running: evaluating tiny_mc, 120/480 requests (25 %), 1/3 tasks done, 40.0/s, 9 s left"


def test_a_line_without_progress_tells_the_phase_or_message() -> None:
    assert describe(Status(run_id="r", state="Running", phase="loading model")) == "Running: loading model"
    assert describe(Status(run_id="r", state="New", message="waiting for a slot")) == "New: waiting for a slot"
    assert describe(Status(run_id="r", state="Scheduled")) == "Scheduled"


def test_a_new_phase_is_told_at_once_and_progress_only_now_and_then() -> None:
    log = ProgressLog(every_s=1000)
    more = Status(run_id="r", state="Running", phase="evaluating", progress={"done": 130, "total": 480})
    assert log.line(RUNNING)
    assert log.line(RUNNING) is None
    assert log.line(more) is None
    assert log.line(Status(run_id="r", state="Running", phase="saving")) == "Running: saving"


def test_progress_is_told_again_when_the_time_has_come() -> None:
    log = ProgressLog(every_s=0)
    more = Status(run_id="r", state="Running", phase="evaluating", progress={"done": 130, "total": 480})
    assert log.line(RUNNING)
    assert log.line(RUNNING) is None
    assert "130/480" in str(log.line(more))
