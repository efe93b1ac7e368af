"""Which pods nobody owns any more, and that no live run is among them."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_lmeval.backends.kubernetes.claims import ClaimView, orphaned
from airflow_provider_lmeval.backends.kubernetes.reap import YOUNG_S, Orphan, orphans
from airflow_provider_lmeval.backends.kubernetes.view import PodView

OWNER = ("dag", "run", "evaluate", "-1")
NOW = 100_000.0
TTL = 3600.0


def pod(**fields: Any) -> PodView:
    known: dict[str, Any] = {"name": "pod", "namespace": "ns", "uid": "1", "run_id": "a-b-task-gen1", "task": "task"}
    return PodView(**known | {"owner": OWNER, "created": 0.0, "scheduled": 1.0, "running": True} | fields)


def ended(ago: float, **fields: Any) -> PodView:
    return pod(running=False, phase="Succeeded", exit_code=0, finished=NOW - ago, **fields)


def found(*views: PodView, state: str | None, **options: Any) -> list[Orphan]:
    return orphans(views, {OWNER: state}, now=NOW, ttl_s=TTL, **options)


@pytest.mark.parametrize("state", ["success", "failed", "skipped", "upstream_failed", "removed"])
def test_a_run_whose_task_has_ended_is_an_orphan(state: str) -> None:
    (orphan,) = found(pod(), state=state)
    assert state in orphan.why


@pytest.mark.parametrize(
    "state", ["running", "deferred", "queued", "scheduled", "up_for_retry", "none", "awaiting_input"]
)
def test_a_run_whose_task_is_or_will_be_at_it_stays(state: str) -> None:
    assert found(pod(), state=state) == []
    assert found(ended(TTL * 10), state=state) == []


def test_a_run_of_a_task_nobody_knows_stays_unless_asked_for() -> None:
    assert found(pod(), state=None) == []
    assert found(pod(owner=()), state=None) == []
    assert len(found(pod(), state=None, unknown=True)) == 1


def test_a_run_that_another_generation_has_replaced_goes_while_the_task_runs() -> None:
    newer = pod(uid="2", run_id="a-b-task-gen2", created=10.0)
    assert [orphan.view.uid for orphan in found(pod(), newer, state="deferred")] == ["1"]


def test_pods_that_ended_are_kept_for_a_while() -> None:
    assert found(ended(TTL - 1), state="success") == []
    assert len(found(ended(TTL + 1), state="success")) == 1
    assert len(found(ended(TTL + 1, owner=()), state=None)) == 1


def test_what_another_airflow_may_still_have_to_collect_stays_unless_asked_for() -> None:
    assert found(ended(TTL * 10), state=None) == []
    assert len(found(ended(TTL + 1), state=None, unknown=True)) == 1


def test_a_young_pod_and_one_on_its_way_out_stay() -> None:
    assert found(pod(created=NOW - YOUNG_S + 1), state="failed") == []
    assert found(pod(deletion=NOW), state="failed") == []


def test_a_pod_may_have_a_time_of_its_own() -> None:
    assert found(ended(TTL - 1), state="success") == []
    assert len(found(ended(61.0, ttl=60.0), state="success")) == 1
    assert found(ended(TTL + 1, ttl=2 * TTL), state="success") == []


def claim(**fields: Any) -> ClaimView:
    known: dict[str, Any] = {"name": "c", "namespace": "ns", "run_id": "a-b-task-gen1", "owner": OWNER, "created": 0.0}
    return ClaimView(**known | {"deleted": False, "retention": "Delete"} | fields)


def alive(_: tuple[str, ...]) -> None:
    """Say that the task may try again."""


def test_a_claim_stays_as_long_as_its_runs_pod() -> None:
    assert orphaned([claim()], [pod()], lambda _: "failed") == []
    assert orphaned([claim()], [], lambda _: "failed") == [(claim(), "failed")]


def test_a_claim_stays_for_the_next_try() -> None:
    assert orphaned([claim()], [], alive) == []


def test_a_claim_of_a_cleared_run_goes_when_the_next_one_is_there() -> None:
    ((_, why),) = orphaned([claim()], [pod(run_id="a-b-task-gen2")], alive)
    assert "a-b-task-gen2" in why


def test_what_others_use_is_never_removed() -> None:
    shared = [claim(retention="Retain"), claim(run_id=""), claim(deleted=True)]
    assert orphaned(shared, [], lambda _: "failed") == []
