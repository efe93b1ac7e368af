"""What became of a job, by what is left of it: the job, its log, or only what was seen last."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from airflow_provider_lmeval.backends.kubernetes.cluster import Cluster
from airflow_provider_lmeval.backends.lmevaljob.conclude import conclude
from airflow_provider_lmeval.backends.lmevaljob.interpret import JobLimits
from airflow_provider_lmeval.backends.lmevaljob.runs import JobRef
from airflow_provider_lmeval.backends.lmevaljob.view import JOBS, JobView
from airflow_provider_lmeval.errors import ClusterError, RunFailedError
from tests.support.scripted_api import ScriptedApi

PATH = JOBS.path("ns", "j")
LOG = "/api/v1/namespaces/ns/pods/j/log"
RESULTS = '{"results": {"arc_easy": {"acc,none": 0.5}}, "configs": {"arc_easy": {}}}'
SCHEDULED = {"podName": "j", "lastScheduleTime": "2026-01-01T00:00:01Z", "completeTime": "2026-01-01T00:00:09Z"}


def job(**status: Any) -> dict[str, Any]:
    meta = {"name": "j", "namespace": "ns", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {"metadata": meta, "spec": {"model": "hf"}, "status": status}


def failed(message: str) -> dict[str, Any]:
    return job(state="Complete", reason="Failed", message=message, **SCHEDULED)


def end(api: ScriptedApi, seen: dict[str, Any] | None = None, **reference: Any) -> RunFailedError:
    """Conclude a job that has no result; return why."""
    at = JobRef(cluster=Cluster(), namespace="ns", name="j", uid="u", **reference)
    before = JobView.of(seen) if seen else JobView(name="j", namespace="ns", uid="u")
    with pytest.raises(RunFailedError) as caught:
        asyncio.run(conclude(api, at, before, "run"))
    return caught.value


def test_a_job_that_succeeded_has_a_result_and_is_left_to_whoever_stores_it() -> None:
    api = ScriptedApi({PATH: job(state="Complete", reason="Succeeded", results=RESULTS, **SCHEDULED)})
    at = JobRef(cluster=Cluster(), namespace="ns", name="j", uid="u")
    result = asyncio.run(conclude(api, at, JobView(name="j", namespace="ns", uid="u"), "run"))
    assert result.run_id == "run"
    assert api.deleted == []


def test_a_success_that_is_gone_before_it_is_read_is_no_success() -> None:
    seen = job(state="Complete", reason="Succeeded", results=RESULTS, **SCHEDULED)
    assert "was deleted before its results were read" in str(end(ScriptedApi(), seen))
    another = job() | {"metadata": job()["metadata"] | {"uid": "another"}}
    assert "was deleted before its results were read" in str(end(ScriptedApi({PATH: another}), seen))


def test_a_success_whose_spec_was_edited_is_no_success() -> None:
    seen = job(state="Complete", reason="Succeeded", results=RESULTS, **SCHEDULED)
    error = end(ScriptedApi({PATH: job(state="New")}), seen)
    assert "its spec was edited" in str(error)
    assert error.cause == "storage"


def test_a_failure_has_the_words_of_its_log_and_the_remedy() -> None:
    log = b"2026-01-01T00:00:05.1Z OfflineModeIsEnabled: offline mode is enabled\n2026-01-01T00:00:06.1Z bye\n"
    failure = failed("exit status 1") | {"spec": {"allowOnline": True}}
    api = ScriptedApi({PATH: failure, LOG: log})
    error = end(api)
    assert error.cause == "online_denied"
    for words in ("exit status 1", "OfflineModeIsEnabled", "lmes-allow-online", "restart"):
        assert words in str(error)
    assert api.deleted == []


def test_a_log_that_cannot_be_read_is_said_and_hides_nothing() -> None:
    error = end(ScriptedApi({PATH: failed("exit status 1"), LOG: ClusterError("Grant the verb 'get'", 403)}))
    assert "exit status 1. its log cannot be read: Grant the verb 'get'" in str(error)


def test_a_failure_that_explains_itself_needs_no_log() -> None:
    api = ScriptedApi({PATH: failed("OOMKilled")})
    assert end(api).cause == "out_of_memory"
    assert [call.path for call in api.calls] == [PATH]


def test_a_job_that_is_given_up_is_deleted_unless_it_is_somebody_elses() -> None:
    running = job(state="Running", podName="j", lastScheduleTime="2026-01-01T00:00:01Z")
    api = ScriptedApi({PATH: running})
    assert end(api, limits=JobLimits(timeout=1)).cause == "deadline"
    assert api.deleted == [PATH]
    api = ScriptedApi({PATH: running})
    assert end(api, limits=JobLimits(timeout=1), foreign=True).cause == "deadline"
    assert api.deleted == []


def test_a_job_that_the_operator_would_try_again_is_deleted_as_well() -> None:
    api = ScriptedApi({PATH: job(state="Complete", reason="Failed", message="violates PodSecurity")})
    assert end(api).cause == "pod_rejected"
    assert api.deleted == [PATH]


def test_a_job_that_is_gone_was_cancelled() -> None:
    assert end(ScriptedApi(), job(state="Running", **SCHEDULED)).cause == "cancelled"


def test_a_missing_crd_is_not_a_missing_job() -> None:
    api = ScriptedApi({PATH: ClusterError("The cluster does not know LMEvalJob", 404, "pod_rejected")})
    with pytest.raises(ClusterError, match="does not know LMEvalJob"):
        asyncio.run(conclude(api, JobRef(cluster=Cluster(), namespace="ns", name="j", uid="u"), JobView.of(job()), "r"))
