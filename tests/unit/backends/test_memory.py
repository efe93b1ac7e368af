"""Scripted runs: what they say follows from the clock alone."""

from __future__ import annotations

import pytest

from airflow_provider_lmeval.backends import Handle
from airflow_provider_lmeval.backends.memory import MemoryBackend, Script
from airflow_provider_lmeval.errors import BackendError, EvaluationPermissionError, RunFailedError
from airflow_provider_lmeval.plan import Grants
from airflow_provider_lmeval.spec import EvalSpec
from tests.support.scripts import RUNNING, SUCCEEDED, endless, failure, success

SPEC = EvalSpec.parse({"model": {"type": "hf", "pretrained": "/m"}, "tasks": ["arc_easy"]})


def submitted(script: dict, name: str) -> tuple[MemoryBackend, Handle]:
    backend = MemoryBackend(Script(**script))
    return backend, backend.submit(SPEC, name, Grants())


def test_a_run_takes_its_course_by_the_clock() -> None:
    backend, handle = submitted({"steps": [[0, RUNNING], [100, SUCCEEDED]]}, "course")
    assert backend.status(handle).state == "Running"
    later = Handle.parse(handle.to_json() | {"where": handle.where | {"started": handle.where["started"] - 101}})
    assert backend.status(later).reason == "Succeeded"


def test_another_process_sees_the_same_run() -> None:
    _, handle = submitted(success(), "elsewhere")
    other = MemoryBackend(Script(()))
    assert other.collect(Handle.parse(handle.to_json())).run_id == "elsewhere"


def test_a_failed_run_has_no_result() -> None:
    backend, handle = submitted(failure("dataset", "no such file"), "failed")
    with pytest.raises(RunFailedError, match="no such file") as caught:
        backend.collect(handle)
    assert caught.value.cause == "dataset"


def test_cancelling_ends_what_goes_on_and_leaves_what_has_ended() -> None:
    backend, handle = submitted(endless(), "cancelled")
    backend.cancel(handle)
    assert backend.status(handle).state == "Cancelled"
    done, ended = submitted(success(), "already-ended")
    done.cancel(ended)
    assert done.status(ended).reason == "Succeeded"


def test_permissions_hold_here_too() -> None:
    spec = EvalSpec.parse(SPEC.to_data() | {"allow_online": True})
    with pytest.raises(EvaluationPermissionError):
        MemoryBackend(Script(())).check(spec, Grants())


@pytest.mark.parametrize("data", [None, {}, "run-1", {"protocol": 1}, {"protocol": 99, "backend": "x"}])
def test_what_is_no_handle_is_refused_with_the_way_to_get_one(data: object) -> None:
    with pytest.raises(BackendError, match="wait_for_completion=False"):
        Handle.parse(data)
