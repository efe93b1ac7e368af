"""Jobs that nobody owns any more: found and removed as pods are; who has none of them needs neither CRD nor right."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, cast

import pytest

from airflow_provider_lmeval.__main__ import main
from airflow_provider_lmeval.backends.lmevaljob.reap import reap_jobs
from airflow_provider_lmeval.hooks.lmeval import LMEvalHook
from tests.kube import KubeServer
from tests.kube.custom import LMEVALJOBS
from tests.kube.kinds import PODS
from tests.kube.trustyai import JobScript, TrustyAI
from tests.kube_backend.conftest import NAMESPACE, ROLE, Airflow, context, defer
from tests.kube_backend.lmevaljob.jobs import foreign, jobs, results, role, state, without

if TYPE_CHECKING:
    from airflow_provider_lmeval.backends.lmevaljob.backend import LMEvalJobBackend

UNKNOWN = ("reap", "--conn-id", "eval", "--unknown", "--ttl", "0")
"""Removes all that no task owns; :func:`start` makes jobs that none does, so that no database has to be asked."""


def age(server: KubeServer) -> None:
    """Let all jobs and pods look as if they had been there for long."""

    def change() -> None:
        for kind in (LMEVALJOBS, PODS):
            for found in server.cluster.store.all(kind, NAMESPACE):
                old = copy.deepcopy(found)
                old["metadata"]["creationTimestamp"] = "2020-01-01T00:00:00Z"
                server.cluster.store.put(kind, old)

    server.call(change)


def start(airflow: Airflow, **fields: Any) -> None:
    """Create a job that is not its task's to end."""
    airflow.operator(wait_for_completion=False, **fields).execute(context())


@pytest.fixture
def everything(server: KubeServer, airflow: Airflow) -> None:
    """An Airflow that has pods and LMEvalJobs."""
    server.register(LMEVALJOBS)
    server.user("airflow", [*ROLE, *role()])
    airflow.connect(backend="lmevaljob", namespace=NAMESPACE)


@pytest.fixture
def operator(server: KubeServer, everything: None) -> TrustyAI:
    found = TrustyAI(server, JobScript(stays="Running"))
    found.start()
    return found


@pytest.mark.usefixtures("operator")
def test_a_job_of_a_task_nobody_knows_goes_with_its_pod(
    server: KubeServer, airflow: Airflow, capsys: pytest.CaptureFixture[str]
) -> None:
    start(airflow)
    foreign(server)
    server.wait(lambda: len(server.pods(NAMESPACE)) == 2)
    mine = next(job["metadata"]["name"] for job in jobs(server) if job["metadata"]["name"] != "theirs")
    age(server)
    capsys.readouterr()
    assert main([*UNKNOWN, "--dry-run"]) == 0
    said = capsys.readouterr()
    assert said.out == f"{NAMESPACE}/{mine}: no task of this Airflow has started it\n"
    assert "0 pods, 1 LMEvalJob and 0 claims would be removed" in said.err
    assert len(jobs(server)) == 2
    assert main(UNKNOWN) == 0
    assert "0 pods, 1 LMEvalJob and 0 claims removed" in capsys.readouterr().err
    server.wait(lambda: [job["metadata"]["name"] for job in jobs(server)] == ["theirs"])
    server.wait(lambda: [pod["metadata"]["name"] for pod in server.pods(NAMESPACE)] == ["theirs"])


@pytest.mark.usefixtures("operator")
def test_a_job_whose_task_may_be_another_airflows_stays(server: KubeServer, airflow: Airflow) -> None:
    start(airflow)
    server.wait(lambda: state(server) == "Running")
    age(server)
    assert main(["reap", "--conn-id", "eval"]) == 0
    assert [job["metadata"].get("deletionTimestamp") for job in jobs(server)] == [None]


def test_a_job_that_was_created_to_stay_stays_when_it_has_succeeded(
    server: KubeServer, airflow: Airflow, operator: TrustyAI
) -> None:
    operator.script = JobScript(results=results())
    start(airflow, lmevaljob={"keep": True})
    server.wait(lambda: state(server) == "Complete")
    age(server)
    assert main(UNKNOWN) == 0
    assert [job["metadata"].get("deletionTimestamp") for job in jobs(server)] == [None]


def test_a_job_goes_when_its_task_has_ended_and_not_before(unattended: KubeServer, airflow: Airflow) -> None:
    defer(airflow.operator(), context())
    age(unattended)
    backend = cast("LMEvalJobBackend", LMEvalHook("eval").get_conn())
    owner = ("dag", "manual__1", "evaluate", "-1")
    assert reap_jobs(backend, lambda owners: dict.fromkeys(owners, "deferred"), ttl_s=0) == []
    assert len(jobs(unattended)) == 1
    assert [orphan.why for orphan in reap_jobs(backend, lambda _: {owner: "failed"}, ttl_s=0)] == ["its task is failed"]
    assert jobs(unattended) == []


@pytest.mark.parametrize("crd", [True, False])
def test_who_has_only_pods_needs_no_right_to_jobs(
    server: KubeServer, airflow: Airflow, capsys: pytest.CaptureFixture[str], crd: bool
) -> None:
    if crd:
        server.register(LMEVALJOBS)
    airflow.connect(backend="kubernetes", namespace=NAMESPACE)
    assert main(UNKNOWN) == 0
    assert "0 pods, 0 LMEvalJobs and 0 claims removed" in capsys.readouterr().err


def test_who_has_only_jobs_needs_no_right_to_pods(
    unattended: KubeServer, airflow: Airflow, capsys: pytest.CaptureFixture[str]
) -> None:
    start(airflow)
    age(unattended)
    assert main(UNKNOWN) == 0
    assert "0 pods, 1 LMEvalJob and 0 claims removed" in capsys.readouterr().err
    assert jobs(unattended) == []


@pytest.mark.parametrize("verb", ["list", "delete"])
def test_a_right_that_is_needed_is_named(
    unattended: KubeServer, airflow: Airflow, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    start(airflow)
    age(unattended)
    unattended.user("airflow", without(verb))
    assert main(UNKNOWN) == 1
    assert f"Grant the verb '{verb}' on 'lmevaljobs'" in capsys.readouterr().err
    assert len(jobs(unattended)) == 1
