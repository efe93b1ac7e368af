"""What became of a run, told from its pod: states, causes, patience. Where one was recorded, the pod is a real cluster's."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lmeval.backends.kubernetes.interpret import LOST_AFTER_S, status_of
from airflow_provider_lmeval.backends.kubernetes.view import Limits, PodView
from airflow_provider_lmeval.backends.kubernetes.waiting import CLAIM_PATIENCE_S, PULL_PATIENCE_S
from airflow_provider_lmeval.wire import EXIT_CODES, Cause, Reason, State, Status
from airflow_provider_lmeval.wire_pod import Termination
from tests.support.recorded import body

RUN = "training-evaluate-0123456789ab-01234567"
LIMITS = Limits(scheduling=600.0, startup=600.0, queueing=600.0, pull=600.0)


def recorded(name: str, index: int = 0) -> PodView:
    return replace(PodView.of(body(name, index)), run_id=RUN)


def pod(**fields: Any) -> PodView:
    known: dict[str, Any] = {"name": "pod", "namespace": "ns", "uid": "1", "run_id": RUN, "created": 0.0}
    return PodView(**known | fields)


def ended(code: int, **fields: Any) -> PodView:
    known = {
        "scheduled": 1.0,
        "phase": "Failed" if code else "Succeeded",
        "exit_code": code,
        "started": 2.0,
        "finished": 9.0,
    }
    return pod(**known | fields)


def words(cause: Cause | None = None, *, state: State = State.COMPLETE, **fields: Any) -> str:
    reason = Reason.NO_REASON if state is State.RUNNING else Reason.FAILED if cause else Reason.SUCCEEDED
    return Termination(run_id=RUN, state=state, reason=reason, cause=cause, **fields).to_text()


def look(view: PodView, now: float = 10.0, driver: Status | None = None) -> Status:
    return status_of(view, now=now, limits=LIMITS, driver=driver)


def after(view: PodView, seconds: float) -> Status:
    """Look so many seconds after the pod got a node, or was created."""
    return look(view, (view.scheduled or view.created or 0.0) + seconds)


# -- recorded pods


def test_a_pod_without_a_node_is_new_and_says_what_is_missing() -> None:
    status = after(recorded("unschedulable"), 1)
    assert status.state == State.NEW
    assert "Insufficient nvidia.com/gpu" in str(status.message)


def test_a_pod_without_a_node_for_too_long_is_unschedulable() -> None:
    status = after(recorded("unschedulable"), LIMITS.scheduling + 1)
    assert (status.state, status.cause) == (State.COMPLETE, Cause.UNSCHEDULABLE)


def test_an_image_that_may_not_be_pulled_fails_at_once() -> None:
    assert after(recorded("image", 0), 1).cause == Cause.IMAGE


def test_an_image_that_cannot_be_pulled_gets_a_while() -> None:
    view = recorded("image", 1)
    assert after(view, 1).state == State.SCHEDULED
    status = after(view, PULL_PATIENCE_S + 1)
    assert status.cause == Cause.IMAGE
    assert "localhost/absent:1" in str(status.message)


@pytest.mark.parametrize("index", [0, 1])
def test_out_of_memory_is_kubernetes_word(index: int) -> None:
    assert look(recorded("oom", index)).cause == Cause.OUT_OF_MEMORY


def test_a_passed_deadline_is_no_kill() -> None:
    assert look(recorded("deadline")).cause == Cause.DEADLINE


def test_an_exit_code_of_the_driver_is_a_cause() -> None:
    assert look(recorded("exit-code")).cause == Cause.UNKNOWN_TASK


def test_a_pod_that_is_being_evicted_still_runs() -> None:
    view = recorded("eviction", 1)
    assert view.disruption == "EvictionByEvictionAPI"
    assert look(view, view.deletion or 0).state == State.RUNNING


def test_an_evicted_pod_ends_as_evicted_though_its_driver_was_told_to_stop() -> None:
    view = replace(recorded("eviction", 1), exit_code=143, last_words=words(Cause.CANCELLED), running=False)
    status = look(view)
    assert (status.state, status.cause) == (State.COMPLETE, Cause.EVICTED)


def test_a_pod_that_was_deleted_from_outside_is_killed_and_not_cancelled() -> None:
    view = replace(recorded("delete", 1), exit_code=143, last_words=words(Cause.CANCELLED), running=False)
    assert look(view).cause == Cause.KILLED


def test_a_finished_pod_has_succeeded() -> None:
    status = look(recorded("pod-lifecycle", 1))
    assert (status.state, status.reason, status.cause) == (State.COMPLETE, Reason.SUCCEEDED, None)
    assert status.ended == pytest.approx(status.started + 3)


# -- whose word counts


def test_the_drivers_own_cause_comes_before_everything_the_cluster_says() -> None:
    view = ended(
        7, exit_reason="OOMKilled", disruption="PreemptionByScheduler", last_words=words(Cause.HUNG, message="hung")
    )
    status = look(view)
    assert status.cause == Cause.HUNG
    assert "hung" in str(status.message)


def test_a_driver_that_was_killed_with_its_container_leaves_where_it_was() -> None:
    view = ended(137, exit_reason="OOMKilled", last_words=words(state=State.RUNNING, phase="evaluating", tasks_done=3))
    status = look(view)
    assert status.cause == Cause.OUT_OF_MEMORY
    assert "evaluating" in str(status.message)
    assert "3 tasks" in str(status.message)


def test_another_runs_last_words_do_not_count() -> None:
    foreign = Termination(run_id="other", state=State.COMPLETE, reason=Reason.FAILED, cause=Cause.BAD_SPEC).to_text()
    assert look(ended(137, last_words=foreign)).cause == Cause.KILLED


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        ("PreemptionByScheduler", Cause.PREEMPTED),
        ("EvictionByEvictionAPI", Cause.EVICTED),
        ("TerminationByKubelet", Cause.EVICTED),
        ("DeletionByTaintManager", Cause.NODE_LOST),
        ("WorkloadEvictedDueToPreempted", Cause.PREEMPTED),
        ("SomethingNew", Cause.EVICTED),
    ],
)
def test_disruptions(reason: str, cause: Cause) -> None:
    assert look(ended(143, disruption=reason)).cause == cause


def test_a_pod_that_finished_while_it_was_evicted_has_succeeded() -> None:
    assert look(ended(0, disruption="EvictionByEvictionAPI", deleted=True)).reason == Reason.SUCCEEDED


@pytest.mark.parametrize(
    ("reason", "cause"),
    [("Evicted", Cause.EVICTED), ("OutOfnvidia.com/gpu", Cause.UNSCHEDULABLE), ("NodeShutdown", Cause.EVICTED)],
)
def test_pods_that_failed_without_a_container(reason: str, cause: Cause) -> None:
    assert look(pod(phase="Failed", reason=reason, message="said so")).cause == cause


def test_an_image_without_the_driver_says_what_to_do() -> None:
    said = "/usr/bin/python3: Error while finding module specification for 'airflow_provider_lmeval.driver' "
    status = look(ended(1, last_words=f"{said}(ModuleNotFoundError: No module named 'airflow_provider_lmeval')"))
    assert status.cause == Cause.IMAGE
    assert "'driver': 'copy'" in str(status.message)


def test_a_command_that_is_not_in_the_image() -> None:
    assert look(ended(128, exit_reason="StartError", last_words='exec: "python3": not found')).cause == Cause.IMAGE


def test_an_init_container_that_failed() -> None:
    status = look(pod(phase="Failed", init_failure="lmeval-driver ended with 1: no space left"))
    assert "no space left" in str(status.message)


@pytest.mark.parametrize("cause", sorted(EXIT_CODES))
def test_every_exit_code_of_the_driver_is_understood_without_its_words(cause: Cause) -> None:
    assert look(ended(EXIT_CODES[cause])).cause == cause


# -- time


def test_a_claim_that_is_never_bound() -> None:
    view = pod(unscheduled="0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims.")
    assert look(view, CLAIM_PATIENCE_S - 1).state == State.NEW
    assert look(view, CLAIM_PATIENCE_S + 1).cause == Cause.CLAIM_PENDING


def test_a_container_that_cannot_be_configured() -> None:
    view = pod(scheduled=1.0, waiting="CreateContainerConfigError", waiting_message='secret "hub" not found')
    assert look(view, 2).state == State.SCHEDULED
    assert look(view, 100).cause == Cause.POD_REJECTED


def test_a_pod_that_does_not_come_up() -> None:
    view = pod(scheduled=1.0, node="n1")
    assert look(view, LIMITS.startup + LIMITS.pull).state == State.SCHEDULED
    assert look(view, LIMITS.startup + LIMITS.pull + 2).cause == Cause.NOT_STARTED


def test_a_pod_that_is_deleted_and_stays_is_on_a_lost_node() -> None:
    view = pod(scheduled=1.0, running=True, phase="Running", deletion=100.0, node="n1")
    assert look(view, 100.0 + LOST_AFTER_S).state == State.RUNNING
    assert look(view, 101.0 + LOST_AFTER_S).cause == Cause.NODE_LOST


def test_a_running_pod_has_all_the_time_there_is() -> None:
    view = pod(scheduled=1.0, running=True, phase="Running")
    assert look(view, 1e9).state == State.RUNNING


def test_progress_is_the_drivers() -> None:
    view = pod(scheduled=1.0, running=True, phase="Running")
    driver = Status(run_id=RUN, state=State.RUNNING, phase="evaluating", progress={"done": 3, "total": 9})
    status = look(view, driver=driver)
    assert (status.phase, status.progress["done"]) == ("evaluating", 3)
    assert look(ended(0), driver=driver).phase is None


# -- views


def test_a_view_survives_the_database() -> None:
    view = recorded("eviction", 1)
    again = PodView.from_json(json.loads(json.dumps(view.to_json() | {"of_a_newer_release": 1})))
    assert again == view


_TEXT = st.none() | st.text(max_size=20)


@given(
    st.fixed_dictionaries(
        {
            "phase": st.sampled_from(["Pending", "Running", "Succeeded", "Failed", "Unknown"]),
            "exit_code": st.none() | st.integers(0, 255),
            "deleted": st.booleans(),
            "deletion": st.none() | st.floats(0, 1e6),
            "scheduled": st.none() | st.floats(0, 1e6),
            "running": st.booleans(),
            "disruption": _TEXT,
            "reason": _TEXT,
            "waiting": _TEXT,
            "unscheduled": _TEXT,
            "last_words": _TEXT,
            "exit_reason": _TEXT,
        }
    ),
    st.floats(0, 2e6),
)
def test_whatever_a_pod_looks_like_it_has_one_consistent_status(fields: dict[str, Any], now: float) -> None:
    status = look(pod(**fields), now)
    assert (status.reason == Reason.NO_REASON) == (not State(status.state).ended)
    assert (status.cause is None) == (status.reason in (Reason.NO_REASON, Reason.SUCCEEDED))
    assert (status.state == State.CANCELLED) == (status.reason == Reason.CANCELLED)
