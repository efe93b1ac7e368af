"""The trigger: one event, no secrets in its arguments, and only a person stops a run."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from airflow_provider_lmeval.backends.memory import MemoryBackend, Script
from airflow_provider_lmeval.plan import Grants
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.triggers.lmeval import LMEvalTrigger
from tests.support.scripts import RUNNING, SUCCEEDED, endless, failure

SPEC = EvalSpec.parse({"model": {"type": "hf", "pretrained": "/m"}, "tasks": ["arc_easy"]})


def submit(script: dict, name: str) -> tuple[MemoryBackend, dict]:
    backend = MemoryBackend(Script(**script))
    return backend, backend.submit(SPEC, name, Grants()).to_json()


async def event(trigger: LMEvalTrigger) -> dict:
    async for fired in trigger.run():
        return fired.payload
    raise AssertionError("the trigger ended without an event")


async def test_the_event_tells_how_the_run_ended() -> None:
    _, handle = submit({"steps": [[0, RUNNING], [0.1, SUCCEEDED]]}, "ends")
    payload = await event(LMEvalTrigger(handle, poll_interval=0.02))
    assert (payload["status"]["state"], payload["status"]["reason"], payload["timed_out"]) == (
        "Complete",
        "Succeeded",
        False,
    )
    json.dumps(payload)


async def test_a_failure_is_an_event_and_no_crash() -> None:
    _, handle = submit(failure("endpoint", "refused"), "fails")
    payload = await event(LMEvalTrigger(handle, poll_interval=0.02))
    assert (payload["status"]["cause"], payload["status"]["message"]) == ("endpoint", "refused")


async def test_a_run_that_ends_at_once_is_not_told_before_airflow_has_noticed_the_deferral() -> None:
    _, handle = submit({"steps": [[0, SUCCEEDED]]}, "at-once")
    settled = time.time() + 0.3
    await event(LMEvalTrigger(handle, poll_interval=0.02, not_before=settled))
    assert time.time() >= settled


async def test_a_handle_nobody_knows_is_an_event_with_the_reason() -> None:
    payload = await event(LMEvalTrigger({"backend": "slurm"}))
    assert "slurm" in payload["error"]


async def test_the_deadline_stops_the_run_it_owns_and_no_other() -> None:
    _, handle = submit(endless(), "owned")
    payload = await event(LMEvalTrigger(handle, poll_interval=0.02, deadline=time.time() + 0.05))
    assert payload["timed_out"]
    assert payload["status"]["state"] == "Cancelled"
    _, other = submit(endless(), "not-owned")
    payload = await event(LMEvalTrigger(other, poll_interval=0.02, deadline=time.time() + 0.05, owns_run=False))
    assert (payload["timed_out"], payload["status"]["state"]) == (True, "Running")


def test_arguments_are_plain_data_and_rebuild_the_trigger() -> None:
    _, handle = submit(endless(), "stored")
    path, arguments = LMEvalTrigger(handle, "conn", 3.0, 12.5, owns_run=False, not_before=7.0).serialize()
    assert path == "airflow_provider_lmeval.triggers.lmeval.LMEvalTrigger"
    assert LMEvalTrigger(**json.loads(json.dumps(arguments))).serialize() == (path, arguments)


async def test_a_run_whose_task_cannot_be_asked_about_goes_on() -> None:
    backend, handle = submit(endless(), "unknown-state")
    trigger = LMEvalTrigger(handle)
    await trigger.on_kill()
    await trigger.cleanup()
    assert backend.status(backend_handle(handle)).state == "Running"


def backend_handle(handle: dict):
    from airflow_provider_lmeval.backends import Handle

    return Handle.parse(handle)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("deferred", "Running"),
        ("failed", "Cancelled"),
        ("success", "Cancelled"),
        ("queued", "Cancelled"),
        (None, "Cancelled"),
    ],
)
async def test_only_a_person_stops_a_run(task_states, state: str | None, expected: str) -> None:
    backend, handle = submit(endless(), f"killed-{state}")
    trigger = LMEvalTrigger(handle)
    trigger.task_instance = task_states(state)
    await trigger.on_kill()
    assert backend.status(backend_handle(handle)).state == expected


async def test_stopping_goes_on_when_airflow_cuts_on_kill_short(task_states) -> None:
    backend, handle = submit(endless(), "cut-short")
    trigger = LMEvalTrigger(handle)
    trigger.task_instance = task_states("failed", delay=0.2)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(trigger.on_kill(), 0.05)
    async with asyncio.timeout(5):
        while backend.status(backend_handle(handle)).state != "Cancelled":
            await asyncio.sleep(0.01)
