"""A job that fails or never gets anywhere: told in the words of its log, given up in time."""

from __future__ import annotations

import time

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from tests.kube import KubeServer
from tests.kube.trustyai import JobScript, TrustyAI
from tests.kube_backend.conftest import NAMESPACE, Airflow, spec
from tests.kube_backend.lmevaljob.jobs import PAGE, jobs, play


def test_a_failure_is_told_in_the_words_of_the_log(airflow: Airflow, trusty: TrustyAI) -> None:
    log = b"Traceback (most recent call last):\nValueError: Tasks not found: arc_eesy\n"
    trusty.script = JobScript(failure="exit status 1", log=log)
    found, error = play(airflow)
    assert (found["state"], found["reason"], found["cause"]) == ("Complete", "Failed", "unknown_task")
    assert isinstance(error, AirflowFailException)
    assert "exit status 1" in str(error)
    assert "Tasks not found: arc_eesy" in str(error)


def test_online_access_that_the_operator_denies_is_answered_with_the_steps(airflow: Airflow, trusty: TrustyAI) -> None:
    airflow.connect(backend="lmevaljob", namespace=NAMESPACE, allow_online=True)
    log = b"OfflineModeIsEnabled: Cannot reach https://huggingface.co/api: offline mode is enabled.\n"
    trusty.script = JobScript(failure="exit status 1", log=log)
    found, error = play(airflow, spec=spec(allow_online=True))
    assert found["cause"] == "online_denied"
    assert isinstance(error, AirflowFailException)
    for step in ("permitOnline", "lmes-allow-online", "trustyai-service-operator-config", "restart"):
        assert step in str(error)
        assert step in PAGE


def test_a_job_that_nobody_takes_up_is_given_up(unattended: KubeServer, airflow: Airflow) -> None:
    began = time.monotonic()
    found, error = play(airflow, lmevaljob={"pickup_timeout": 1})
    assert time.monotonic() - began < 15
    assert found["cause"] == "not_started"
    assert "no operator has taken it up" in str(error)
    assert "it has no state" in str(error)
    assert jobs(unattended) == []


def test_a_job_that_does_not_start_is_given_up(server: KubeServer, airflow: Airflow, trusty: TrustyAI) -> None:
    trusty.script = JobScript(stays="Scheduled")
    found, error = play(airflow, lmevaljob={"startup_timeout": 1})
    assert found["cause"] == "unschedulable"
    assert error is not None
    server.wait(lambda: not jobs(server))


@pytest.mark.parametrize(("limit", "cause"), [("timeout", "deadline"), ("no_progress_timeout", "hung")])
def test_the_specs_time_limits_hold(
    server: KubeServer, airflow: Airflow, trusty: TrustyAI, limit: str, cause: str
) -> None:
    trusty.script = JobScript(stays="Running", bars=("1/10",))

    def nudge() -> None:
        """Change the job after the limit, so that nobody has to wait for the trigger's next thought."""
        server.wait(lambda: (jobs(server)[0].get("status") or {}).get("progressBars"))
        until = time.monotonic() + 2.2
        server.wait(lambda: time.monotonic() > until)
        name = jobs(server)[0]["metadata"]["name"]
        trusty.set(name, NAMESPACE, message="still here")

    found, error = play(airflow, nudge, spec=spec(**{limit: 1}))
    assert found["cause"] == cause
    assert limit in str(error)
    server.wait(lambda: not jobs(server))
