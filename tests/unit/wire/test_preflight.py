"""The report of a preflight: what failed, whether another try can help, and what to do."""

from __future__ import annotations

import json

import pytest

from airflow_provider_lmeval.errors import ProtocolError
from airflow_provider_lmeval.wire import Cause
from airflow_provider_lmeval.wire_preflight import CHECKS, Check, Finding, Report


def report(**causes: Cause | None) -> Report:
    found = {name.replace("_", "-"): cause for name, cause in causes.items()}
    made = [
        Check(id=name, finding=Finding.FAILED if cause else Finding.OK, found=f"{name} was looked at.", cause=cause)
        for name, cause in found.items()
    ]
    return Report.from_json(json.loads(json.dumps(Report(checks=[check.to_json() for check in made]).to_json())))


def test_one_message_names_all_that_failed_and_what_to_do() -> None:
    found = report(model_files=None, tasks_load=Cause.BAD_SPEC, gpu_memory=Cause.BAD_SPEC)
    assert found.message.splitlines() == [
        "2 of 3 checks failed: tasks-load, gpu-memory",
        f"tasks-load was looked at. {CHECKS['tasks-load']} [tasks-load]",
        f"gpu-memory was looked at. {CHECKS['gpu-memory']} [gpu-memory]",
    ]


def test_a_cause_that_no_other_try_cures_is_the_cause_of_all() -> None:
    assert report(endpoint_answers=Cause.ENDPOINT, gpu_memory=Cause.BAD_SPEC).cause is Cause.BAD_SPEC
    assert report(endpoint_answers=Cause.ENDPOINT, datasets_load=Cause.DATASET).cause is Cause.ENDPOINT
    assert report(model_files=None).cause is None


def test_a_remedy_is_for_what_failed() -> None:
    assert [each["remedy"] for each in report(model_files=None, tasks_load=Cause.BAD_SPEC).checks] == [
        None,
        CHECKS["tasks-load"],
    ]


@pytest.mark.parametrize("broken", [{}, {"id": "x", "finding": "maybe", "found": ""}, "x", None])
def test_what_is_no_check_is_refused(broken: object) -> None:
    with pytest.raises(ProtocolError, match="not a check"):
        Report(checks=[broken]).all()  # type: ignore[list-item]
