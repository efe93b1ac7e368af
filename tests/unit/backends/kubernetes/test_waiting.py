"""A pod that does not run: four waits with four patiences, and a remedy for each."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_lmeval.backends.kubernetes.interpret import status_of
from airflow_provider_lmeval.backends.kubernetes.view import Limits, PodView, remember
from airflow_provider_lmeval.backends.kubernetes.waiting import ABSENT_CLAIM_PATIENCE_S, DENIED_PATIENCE_S
from airflow_provider_lmeval.wire import Cause, State, Status
from tests.support.recorded import body

LIMITS = Limits(scheduling=100.0, startup=200.0, queueing=1000.0, pull=400.0)
GATES = ("kueue.x-k8s.io/admission",)
MISSING_GPU = "0/2 nodes are available: 2 Insufficient nvidia.com/gpu."


def pod(**fields: Any) -> PodView:
    return PodView(**{"name": "pod", "namespace": "ns", "uid": "1", "run_id": "run", "created": 0.0} | fields)


def look(view: PodView, now: float) -> Status:
    return status_of(view, now=now, limits=LIMITS)


def test_a_pod_in_a_queue_is_suspended_and_says_which() -> None:
    status = look(pod(gates=GATES, queue="evaluations"), 999.0)
    assert (status.state, status.message) == (State.SUSPENDED, "waiting in queue 'evaluations'")


def test_a_pod_that_something_else_holds_back_is_suspended_too() -> None:
    assert "example.com/gate" in str(look(pod(gates=("example.com/gate",)), 1.0).message)


def test_a_queue_that_never_lets_it_go() -> None:
    status = look(pod(gates=GATES, queue="evaluations"), 1001.0)
    assert status.cause == Cause.UNSCHEDULABLE
    assert "queueing_timeout" in str(status.message)


def test_time_in_a_queue_is_no_scheduling_time() -> None:
    queued = pod(gates=GATES, queue="evaluations")
    freed = remember(pod(queue="evaluations", unscheduled=MISSING_GPU), queued, now=900.0)
    later = remember(pod(queue="evaluations", unscheduled=MISSING_GPU), freed, now=950.0)
    assert look(later, 999.0).state == State.NEW
    assert look(later, 1001.0).cause == Cause.UNSCHEDULABLE


def test_without_a_queue_scheduling_time_counts_from_the_start() -> None:
    view = remember(pod(unscheduled=MISSING_GPU), pod(), now=50.0)
    assert look(view, 101.0).cause == Cause.UNSCHEDULABLE


def test_a_gate_of_somebody_else_does_not_count_either() -> None:
    freed = remember(pod(), pod(gates=("example.com/gate",)), now=900.0)
    assert look(remember(pod(), freed, now=960.0), 990.0).state == State.NEW


@pytest.mark.parametrize(
    ("why", "remedy"),
    [
        (MISSING_GPU, "device plugin"),
        ("0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.", "gpu.product"),
        ("0/1 nodes are available: 1 node(s) had untolerated taint(s) {gpu: }.", "tolerations"),
        ("0/1 nodes are available: 1 Insufficient memory.", "less memory"),
    ],
)
def test_a_pod_without_a_node_gets_a_remedy(why: str, remedy: str) -> None:
    assert remedy in str(look(pod(unscheduled=why), 101.0).message)


def test_a_claim_that_is_not_there() -> None:
    view = pod(unscheduled='persistentvolumeclaim "results" not found')
    assert look(view, ABSENT_CLAIM_PATIENCE_S).state == State.NEW
    status = look(view, ABSENT_CLAIM_PATIENCE_S + 1)
    assert status.cause == Cause.CLAIM_PENDING
    assert "give it a size" in str(status.message)


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("failed to authorize: 401 Unauthorized", "image_pull_secrets"),
        ("x509: certificate signed by unknown authority", "container runtime"),
        ("manifest unknown", "name and tag"),
    ],
)
def test_an_image_that_cannot_be_pulled_gets_a_remedy(said: str, remedy: str) -> None:
    status = look(pod(scheduled=1.0, waiting="ErrImagePull", waiting_message=said), 190.0)
    assert status.cause == Cause.IMAGE
    assert remedy in str(status.message)


def test_wrong_credentials_are_not_tried_for_long() -> None:
    view = pod(scheduled=0.0, waiting="ErrImagePull", waiting_message="401 Unauthorized")
    assert look(view, DENIED_PATIENCE_S).state == State.SCHEDULED
    assert look(view, DENIED_PATIENCE_S + 1).cause == Cause.IMAGE


def test_volumes_that_are_not_ready_in_time() -> None:
    view = pod(scheduled=0.0, preparing=True, pulling=True)
    assert look(view, 200.0).state == State.SCHEDULED
    status = look(view, 201.0)
    assert status.cause == Cause.NOT_STARTED
    assert "startup_timeout" in str(status.message)


def test_pulling_has_a_time_of_its_own() -> None:
    view = pod(scheduled=0.0, prepared=190.0, pulling=True, node="n1")
    assert look(view, 590.0).message == "pulling images on node n1"
    assert look(view, 591.0).cause == Cause.IMAGE


def test_a_slow_init_container_is_not_pulling() -> None:
    view = pod(scheduled=0.0, prepared=1.0, pulling=False)
    assert look(view, 600.0).state == State.SCHEDULED
    assert look(view, 601.0).cause == Cause.NOT_STARTED


def test_a_recorded_pod_shows_when_it_was_ready_and_what_it_pulls() -> None:
    waiting, running = PodView.of(body("image", 1)), PodView.of(body("eviction", 1))
    assert waiting.pulling
    assert waiting.prepared is not None
    assert not running.pulling


def test_gates_and_queue_are_read_from_the_pod() -> None:
    meta = {"name": "p", "uid": "1", "labels": {"kueue.x-k8s.io/queue-name": "evaluations"}}
    view = PodView.of({"metadata": meta, "spec": {"schedulingGates": [{"name": GATES[0]}]}})
    assert (view.queue, view.gates) == ("evaluations", GATES)
    assert PodView.from_json(view.to_json()) == view
