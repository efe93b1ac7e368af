"""Pod settings on a server: queues, claims that are made for a run, and that nothing is left of them."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, cast

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from airflow_provider_lmeval.backends.kubernetes.backend import KubernetesBackend
from airflow_provider_lmeval.backends.kubernetes.claims import ClaimView, orphaned
from airflow_provider_lmeval.backends.kubernetes.reap import reap
from airflow_provider_lmeval.hooks.lmeval import LMEvalHook
from airflow_provider_lmeval.plan import run_id
from airflow_provider_lmeval.plan.pod import SELECTOR
from airflow_provider_lmeval.plan.pod_volumes import INJECT_CA, SERVICE_CA
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.wire import Cause, State
from tests.kube import KubeServer, Script
from tests.kube.kinds import CLAIMS, CONFIG_MAPS, PODS, QUOTAS
from tests.kube_backend import pods
from tests.kube_backend.conftest import NAMESPACE, ROLE, Airflow, context, defer, finish, fire, handle_of, spec
from tests.support.manifests import role

RUN = run_id("dag", "manual__1", "evaluate", -1, 0, EvalSpec.parse(spec()).content_hash)
GOOD = pods.document(RUN)
CLAIM_ROLE = role(NAMESPACE, "managed-claims/role")
OWN = {"results": {"path": "/results", "size": "1Gi"}}
GATED = {"spec": {"schedulingGates": [{"name": "kueue.x-k8s.io/admission"}], "containers": [{"name": "base"}]}}
"""What Kueue's webhook does to a pod with its label."""


@pytest.fixture
def endless(server: KubeServer) -> None:
    server.script(Script())


@pytest.fixture
def managing(server: KubeServer, airflow: Airflow) -> Airflow:
    """An Airflow that may make claims."""
    server.user("airflow", [*ROLE, *CLAIM_ROLE])
    return airflow


def backend() -> KubernetesBackend:
    return cast("KubernetesBackend", LMEvalHook("eval").get_conn())


def claims(server: KubeServer) -> list[str]:
    return [claim["metadata"]["name"] for claim in server.all(CLAIMS, NAMESPACE)]


def admit(server: KubeServer, name: str) -> None:
    """Remove a pod's gates, as Kueue does when there is room."""

    def remove() -> None:
        pod = server.cluster.store.get(PODS, (NAMESPACE, name))
        rest = {key: value for key, value in pod["spec"].items() if key != "schedulingGates"}
        server.cluster.store.put(PODS, {**pod, "spec": rest})

    server.call(remove)


def queued(airflow: Airflow, **settings: Any) -> tuple[Any, dict[str, Any], Any]:
    """Start a run whose pod a queue holds back."""
    kubernetes = {"queue_name": "evaluations", "pod_template_dict": GATED, **settings}
    task, ctx = airflow.operator(kubernetes=kubernetes), context()
    return task, ctx, defer(task, ctx)


@pytest.mark.usefixtures("endless")
def test_a_pod_in_a_queue_is_suspended_and_its_time_there_is_no_scheduling_time(
    server: KubeServer, airflow: Airflow
) -> None:
    began = time.monotonic()
    _, ctx, _ = queued(airflow, scheduling_timeout=0.5)
    handle, pods_ = handle_of(ctx), backend()
    status = pods_.status(handle)
    assert (status.state, status.message) == (State.SUSPENDED, "waiting in queue 'evaluations'")
    server.wait(lambda: time.monotonic() - began > 2)  # longer than the scheduling time
    assert pods_.status(handle).state == State.SUSPENDED
    admit(server, handle.where["pod"])
    server.wait_for_phase(handle.where["pod"], "Running", namespace=NAMESPACE)
    assert pods_.status(handle).state == State.RUNNING


@pytest.mark.usefixtures("endless")
def test_a_pod_that_its_queue_does_not_let_go_is_removed(server: KubeServer, airflow: Airflow) -> None:
    task, ctx, deferral = queued(airflow, queueing_timeout=1)
    with pytest.raises(AirflowException, match="queueing_timeout"):
        finish(task, ctx, deferral, fire(deferral))
    assert ctx["ti"].xcoms["return_value"]["cause"] == Cause.UNSCHEDULABLE
    server.wait(lambda: not server.pods(NAMESPACE))


def test_a_runs_own_claim_is_made_used_and_removed_with_its_success(server: KubeServer, managing: Airflow) -> None:
    server.script(Script(runs_s=0.2, log=pods.log(RUN, GOOD), message=pods.last_words(RUN, GOOD)))
    task, ctx = managing.operator(kubernetes=OWN), context()
    deferral = defer(task, ctx)
    (name,) = claims(server)
    volumes = server.pods(NAMESPACE)[0]["spec"]["volumes"]
    assert name in [each.get("persistentVolumeClaim", {}).get("claimName") for each in volumes]
    finish(task, ctx, deferral, fire(deferral))
    server.wait(lambda: not server.pods(NAMESPACE) and not claims(server))


def test_a_failed_run_keeps_its_claim_for_the_next_try_and_the_reaper_takes_it_then(
    server: KubeServer, managing: Airflow
) -> None:
    raw = pods.failure(RUN, Cause.HUNG, "hung")
    server.script(Script(runs_s=0.2, exit_code=8, log=pods.log(RUN, raw)))
    task, ctx = managing.operator(kubernetes=OWN), context()
    deferral = defer(task, ctx)
    with pytest.raises(AirflowException, match="hung"):
        finish(task, ctx, deferral, fire(deferral))
    server.wait(lambda: not server.pods(NAMESPACE))
    (first,) = claims(server)
    defer(managing.operator(kubernetes=OWN), context())
    assert claims(server) == [first]
    assert reap(backend(), lambda owners: dict.fromkeys(owners, "failed"), ttl_s=0) == []  # too young
    (view,) = [ClaimView.of(item) for item in backend().call(lambda api: api.list_claims(NAMESPACE, SELECTOR))]
    assert view.owner == ("dag", "manual__1", "evaluate", "-1")
    assert orphaned([view], [], lambda owner: f"{owner[2]} failed") == [(view, "evaluate failed")]
    assert orphaned([replace(view, retention="Retain")], [], lambda _: "failed") == []


@pytest.mark.usefixtures("endless")
def test_a_claim_with_a_name_is_made_once_and_stays(server: KubeServer, managing: Airflow) -> None:
    cache = {"cache": {"claim": "models", "path": "/cache", "size": "1Gi"}}
    defer(managing.operator(kubernetes=cache), context())
    defer(managing.operator(kubernetes=cache), context(max_tries=1))
    assert claims(server) == ["models"]
    backend().call(lambda api: api.delete_claim(NAMESPACE, "absent"))
    assert claims(server) == ["models"]


def test_without_the_right_to_make_claims_the_verb_is_named_and_nothing_is_left(
    server: KubeServer, airflow: Airflow
) -> None:
    with pytest.raises(AirflowFailException, match="verb 'create' on 'persistentvolumeclaims'"):
        airflow.operator(kubernetes=OWN).execute(context())
    assert (server.pods(NAMESPACE), claims(server)) == ([], [])


def test_a_quota_that_refuses_the_pod_leaves_no_claim(server: KubeServer, managing: Airflow) -> None:
    quota = {"metadata": {"name": "gpus", "namespace": NAMESPACE}, "spec": {"hard": {"requests.nvidia.com/gpu": "1"}}}
    server.create(quota, QUOTAS)
    with pytest.raises(AirflowException, match=r"exceeded quota.*Ask for less"):
        managing.operator(kubernetes={**OWN, "gpu": 2}, preflight="rules").execute(context())
    server.wait(lambda: not claims(server))
    assert server.pods(NAMESPACE) == []


@pytest.mark.usefixtures("endless")
def test_the_service_ca_is_asked_for_once(server: KubeServer, airflow: Airflow) -> None:
    defer(airflow.operator(kubernetes={"service_ca": True}), context())
    defer(airflow.operator(kubernetes={"service_ca": True}), context(max_tries=1))
    (found,) = [each for each in server.all(CONFIG_MAPS, NAMESPACE) if each["metadata"]["name"] == SERVICE_CA]
    assert found["metadata"]["annotations"][INJECT_CA] == "true"


@pytest.mark.usefixtures("endless")
def test_defaults_of_the_connection_are_overridden_by_the_task(server: KubeServer, airflow: Airflow) -> None:
    airflow.connect(pod={"annotations": {"from": "connection"}, "labels": {"team": "llm"}, "runtime_class_name": "a"})
    secrets = {"image_pull_secrets": ["registry"], "runtime_class_name": "b"}
    defer(airflow.operator(kubernetes=secrets), context())
    (pod,) = server.pods(NAMESPACE)
    assert pod["metadata"]["annotations"]["from"] == "connection"
    assert pod["metadata"]["labels"]["team"] == "llm"
    assert pod["spec"]["runtimeClassName"] == "b"
    assert pod["spec"]["imagePullSecrets"] == [{"name": "registry"}]
