"""The resource: made once per try, adopted by another, refused with what to do before anything is created."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_lmeval.hooks.lmeval import LMEvalHook, make_backend
from airflow_provider_lmeval.plan import task_key
from airflow_provider_lmeval.plan.lmevaljob import read_one
from airflow_provider_lmeval.plan.pod import SELECTOR, TASK_LABEL
from tests.kube import KubeServer
from tests.kube.custom import LMEVALJOBS
from tests.kube.trustyai import JobScript, TrustyAI
from tests.kube_backend.conftest import NAMESPACE, ROLE, Airflow, Said, context, defer, spec
from tests.kube_backend.lmevaljob.jobs import GROUP, RUN, jobs, play, results, role, state, without

if TYPE_CHECKING:
    from airflow_provider_lmeval.backends.kubernetes.backend import KubernetesBackend


def test_the_resource_is_the_spec_with_labels_owner_and_queue(
    server: KubeServer, airflow: Airflow, trusty: TrustyAI
) -> None:
    trusty.script = JobScript(stays="Running")
    queue = {"kueue.x-k8s.io/queue-name": "gpus"}
    job = {"name": "nightly", "labels": queue, "annotations": {"team": "llm"}}
    defer(airflow.operator(lmevaljob=job), context())
    (made,) = jobs(server)
    meta = made["metadata"]
    assert meta["name"].startswith("nightly-")
    assert meta["labels"].items() >= (queue | {"lmeval.airflow/job-run-id": RUN}).items()
    assert (
        meta["annotations"].items()
        >= {"team": "llm", "lmeval.airflow/dag-id": "dag", "lmeval.airflow/task-id": "evaluate"}.items()
    )
    assert read_one({key: made[key] for key in ("apiVersion", "kind", "spec")}).spec.tasks == ("arc_easy",)


@pytest.mark.usefixtures("trusty")
def test_a_second_try_finds_the_stored_result_and_creates_nothing(server: KubeServer, airflow: Airflow) -> None:
    play(airflow)
    created = server.requests.count("create", "lmevaljobs")
    found, error = play(airflow)
    assert error is None
    assert found["reason"] == "Succeeded"
    assert server.requests.count("create", "lmevaljobs") == created == 1


def test_a_failed_job_is_tried_again_under_another_name(server: KubeServer, airflow: Airflow, trusty: TrustyAI) -> None:
    trusty.script = JobScript(failure="exit status 1")
    _, error = play(airflow)
    assert isinstance(error, AirflowException)
    assert not isinstance(error, AirflowFailException)
    trusty.script = JobScript(results=results())
    found, error = play(airflow)
    assert error is None
    assert found["reason"] == "Succeeded"
    assert server.requests.count("create", "lmevaljobs") == 2


def test_a_try_whose_worker_died_finds_its_job(server: KubeServer, airflow: Airflow, trusty: TrustyAI) -> None:
    trusty.script = JobScript(stays="Running")
    defer(airflow.operator(), context())
    defer(airflow.operator(), context())
    assert len(jobs(server)) == 1


def test_what_a_job_cannot_say_is_refused_before_anything_is_created(unattended: KubeServer, airflow: Airflow) -> None:
    with pytest.raises(AirflowFailException, match="samples"):
        airflow.operator(spec=spec(samples={"arc_easy": [1]})).execute(context())
    assert unattended.requests.count("create", "lmevaljobs") == 0


def test_a_missing_crd_is_explained(airflow: Airflow) -> None:
    airflow.connect(backend="lmevaljob", namespace=NAMESPACE)
    airflow.server.user("airflow", role())
    with pytest.raises(AirflowFailException, match="does not know LMEvalJob: its CRD") as caught:
        airflow.operator().execute(context())
    assert "managementState: Managed" in str(caught.value)


@pytest.mark.parametrize("verb", ["create", "list"])
def test_a_missing_right_is_named_with_its_role(server: KubeServer, airflow: Airflow, verb: str) -> None:
    server.register(LMEVALJOBS)
    server.user("airflow", without(verb))
    airflow.connect(backend="lmevaljob", namespace=NAMESPACE)
    with pytest.raises(AirflowFailException, match=f"Grant the verb '{verb}' on 'lmevaljobs' of API group '{GROUP}'"):
        airflow.operator().execute(context())


@pytest.mark.usefixtures("trusty")
@pytest.mark.parametrize(("preflight", "told"), [(True, True), ("rules", True), (False, False)])
def test_what_the_rules_doubt_is_logged_before_the_job_is_created(
    airflow: Airflow, said: Said, preflight: bool | str, told: bool
) -> None:
    defer(airflow.operator(spec=spec(limit=5), preflight=preflight), context())
    assert ("for trying out only" in said) is told


def test_the_operators_pod_is_not_taken_for_one_of_ours(server: KubeServer, airflow: Airflow, trusty: TrustyAI) -> None:
    """It has the job's labels; a later try on another backend would wait for it, and the reaper would end it."""
    trusty.script = JobScript(stays="Running")
    defer(airflow.operator(), context())
    server.wait(lambda: state(server) == "Running")
    (pod,) = server.pods(NAMESPACE)
    assert pod["metadata"]["labels"].items() >= {"lmeval.airflow/job-run-id": RUN}.items()
    server.user("airflow", [*ROLE, *role()])
    pods = cast("KubernetesBackend", make_backend(LMEvalHook("eval").settings, "kubernetes"))
    assert pods.find(RUN) is None
    for selector in (SELECTOR, f"{TASK_LABEL}={task_key(RUN)}"):
        assert pods.call(lambda api, selector=selector: api.list_pods(NAMESPACE, selector))[0] == []
