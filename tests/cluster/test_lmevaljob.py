"""``LMEvalJob`` on a cluster: with TrustyAI's CRD alone, where a test writes the status, and with its operator.

Which of both a cluster has cannot be seen from a namespace, so ``LMEVALJOB`` says it, and what contradicts it ends in words.
With the operator nothing is presumed of the cluster but that it can pull the operator's images: no network, no data. So a
job is run whose model is not there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_lmeval.backends.kubernetes.api import MERGE_PATCH, Call
from airflow_provider_lmeval.backends.lmevaljob.view import JOBS
from airflow_provider_lmeval.errors import ClusterError
from airflow_provider_lmeval.operators.lmeval import LMEvalOperator
from airflow_provider_lmeval.store import open_result
from tests.cluster.run import REMOVAL_S
from tests.cluster.site import SESSION, Site
from tests.kube_backend.conftest import context, defer, finish, fire, handle_of, spec

Json = dict[str, Any]
RESULTS = {"results": {"arc_easy": {"acc,none": 0.5, "acc_stderr,none": 0.1}}, "configs": {"arc_easy": {}}}
PICKUP_S = 120.0


class Jobs:
    """This session's jobs on a cluster."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def task(self, **fields: Any) -> LMEvalOperator:
        """Return a task that evaluates by a job."""
        settings = {
            "namespace": self.site.namespace,
            "labels": self.site.labels,
            "pickup_timeout": PICKUP_S,
            "startup_timeout": self.site.options.timeout,
        }
        defaults: Json = {"task_id": "evaluate", "spec": spec(), "lmeval_conn_id": "eval", "backend": "lmevaljob"}
        return LMEvalOperator(**defaults | fields, lmevaljob=settings)

    def list(self) -> list[Json]:
        """Return the session's jobs."""
        path = JOBS.path(self.site.namespace)
        return self.site.backend.call(lambda api: api.list_all(path, f"{SESSION}={self.site.token}"))[0]

    def write_status(self, name: str, **status: Any) -> None:
        """Write a job's status as the operator would, where none is."""
        path = f"{JOBS.path(self.site.namespace, name)}/status"
        call = Call("PATCH", path, body={"status": status}, content_type=MERGE_PATCH)
        self.site.backend.call(lambda api: api.send(call))
        self.refuse_an_operator()

    def refuse_an_operator(self) -> None:
        """End the test if somebody runs the jobs after all."""
        held = [job["metadata"]["name"] for job in self.list() if job["metadata"].get("finalizers")]
        if held:
            pytest.fail(f"LMEVALJOB=crd, but an operator has taken up {held}: set LMEVALJOB=operator")

    def clean_up(self) -> None:
        """Remove what is left, and wait until it is gone."""
        for job in self.list():
            meta = job["metadata"]
            path = JOBS.path(meta["namespace"], meta["name"])
            self.site.backend.call(lambda api, path=path, uid=meta["uid"]: api.delete(path, uid))
        self.site.wait(lambda: not self.list(), "all jobs of the session are gone", REMOVAL_S)


@pytest.fixture
def crd(site: Site) -> Iterator[Jobs]:
    yield from _of(site, "crd")


@pytest.fixture
def operator(site: Site) -> Iterator[Jobs]:
    yield from _of(site, "operator")


def _of(site: Site, wanted: str) -> Iterator[Jobs]:
    if site.options.lmevaljob != wanted:
        pytest.skip(f"LMEVALJOB is not {wanted}")
    jobs = Jobs(site)
    yield jobs
    jobs.clean_up()


def test_a_job_is_created_followed_collected_and_removed(crd: Jobs) -> None:
    task, ctx = crd.task(), context(run_id=crd.site.token)
    deferral = defer(task, ctx)
    name = handle_of(ctx).where["job"]
    crd.write_status(name, state="Complete", reason="Succeeded", results=json.dumps(RESULTS))
    found = finish(task, ctx, deferral, fire(deferral))
    assert found["results"]["arc_easy"]["acc,none"] == 0.5
    assert open_result(found["result_uri"]).succeeded
    with pytest.raises(ClusterError, match="404"):
        crd.site.backend.call(lambda api: api.get(JOBS.path(crd.site.namespace, name)))


def test_a_model_that_is_not_there_is_told_in_the_words_of_the_pods_log(operator: Jobs) -> None:
    nowhere = spec(model={"type": "hf", "pretrained": "/nowhere/lmeval-test"})
    task, ctx = operator.task(spec=nowhere), context(run_id=f"{operator.site.token}-fails")
    deferral = defer(task, ctx)
    event = fire(deferral, operator.site.options.timeout + PICKUP_S)
    with pytest.raises(AirflowException) as caught:
        finish(task, ctx, deferral, event)
    found, name = ctx["ti"].xcoms["return_value"], handle_of(ctx).where["job"]
    assert (found["state"], found["reason"]) == ("Complete", "Failed"), str(caught.value)
    assert "no operator has taken it up" not in str(caught.value), str(caught.value)
    assert f"LMEvalJob {operator.site.namespace}/{name}" in str(caught.value)
    assert [job["metadata"]["name"] for job in operator.list()] == [name]  # a failed one stays, for people to look at


def test_a_job_that_is_stopped_goes_with_its_pod(operator: Jobs) -> None:
    task, ctx = operator.task(), context(run_id=f"{operator.site.token}-stopped")
    defer(task, ctx)
    name, site = handle_of(ctx).where["job"], operator.site
    site.wait(
        lambda: (operator.list()[0].get("status") or {}).get("state"), "the operator has taken the job up", PICKUP_S
    )
    task.on_kill()
    assert operator.list() == []
    site.wait(lambda: name not in [pod["metadata"]["name"] for pod in site.list("pods")], "its pod is gone", REMOVAL_S)
