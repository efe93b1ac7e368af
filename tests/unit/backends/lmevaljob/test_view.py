"""What is seen of a job, what only a watcher knows, and that a view survives its way through an event."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_lmeval.backends.lmevaljob.view import JobView, remember

MANIFEST: dict[str, Any] = {
    "metadata": {
        "name": "nightly",
        "namespace": "ns",
        "uid": "u1",
        "resourceVersion": "7",
        "creationTimestamp": "1970-01-01T00:01:00Z",
        "labels": {"lmeval.airflow/job-run-id": "run", "lmeval.airflow/job-task": "task"},
        "annotations": {"lmeval.airflow/dag-id": "dag", "lmeval.airflow/keep": "true"},
        "finalizers": ["trustyai.opendatahub.io/lmes-finalizer"],
    },
    "spec": {"suspend": True, "allowOnline": True},
    "status": {
        "state": "Running",
        "podName": "nightly",
        "lastScheduleTime": "1970-01-01T00:02:00Z",
        "progressBars": [{"count": "1/9"}, {"count": "2/9"}],
        "results": "x" * 1000,
    },
}


def job(**fields: Any) -> JobView:
    return JobView(**{"name": "j", "namespace": "ns", "uid": "u"} | fields)


def test_a_view_is_what_matters_of_a_job_without_its_results() -> None:
    view = JobView.of(MANIFEST)
    assert (view.run_id, view.task, view.owner, view.keep) == ("run", "task", ("dag",), True)
    assert (view.created, view.scheduled, view.began, view.bar) == (60.0, 120.0, 120.0, {"count": "2/9"})
    assert (view.suspended, view.online, view.finalizers) == (True, True, ("trustyai.opendatahub.io/lmes-finalizer",))
    assert "xxx" not in json.dumps(view.to_json())


@pytest.mark.parametrize("part", [{"spec": None}, {"status": None}, {"status": {"progressBars": []}}])
def test_a_job_that_says_little_is_seen_as_well(part: dict[str, Any]) -> None:
    assert JobView.of(MANIFEST | part).uid == "u1"


def test_a_view_comes_out_of_an_event_as_it_went_in() -> None:
    view = JobView.of(MANIFEST)
    assert JobView.from_json(json.loads(json.dumps(view.to_json() | {"of_another_release": 1}))) == view


def test_a_person_who_writes_nonsense_into_an_annotation_ends_nobodys_watch() -> None:
    notes = {"lmeval.airflow/pod-ttl": "a week"}
    assert JobView.of(MANIFEST | {"metadata": MANIFEST["metadata"] | {"annotations": notes}}).ttl is None


def test_it_is_remembered_since_when_the_bar_stands_still() -> None:
    first = remember(job(bar={"count": "1/9"}), None, 10.0)
    same = remember(job(bar={"count": "1/9"}), first, 20.0)
    moved = remember(job(bar={"count": "2/9"}), same, 30.0)
    assert [view.progressed for view in (first, same, moved)] == [10.0, 10.0, 30.0]
    assert remember(job(), moved, 40.0).progressed is None


def test_it_is_remembered_when_kueue_let_a_job_go_again() -> None:
    """The operator leaves ``lastScheduleTime`` and the bar as they were: neither may count against the resumed job."""
    running = remember(job(state="Running", scheduled=5.0, bar={"count": "1/9"}), None, 10.0)
    held = remember(job(state="Suspended", scheduled=5.0, bar={"count": "1/9"}), running, 1000.0)
    still = remember(job(state="Suspended", scheduled=5.0, bar={"count": "1/9"}), held, 2000.0)
    again = remember(job(state="Scheduled", scheduled=5.0, bar={"count": "1/9"}), still, 5000.0)
    later = remember(job(state="Running", scheduled=5.0, bar={"count": "1/9"}), again, 6000.0)
    assert (held.queued, still.queued, again.queued) == (1000.0, 1000.0, None)
    assert (again.began, again.progressed, later.began) == (5000.0, 5000.0, 5000.0)


def test_whoever_begins_to_watch_a_job_of_kueues_gives_it_its_whole_time() -> None:
    """A triggerer that starts anew has not seen whether Kueue let it go a second time."""
    assert remember(job(state="Running", kueue=True, scheduled=5.0), None, 5000.0).began == 5000.0
    assert remember(job(state="Running", scheduled=5.0), None, 5000.0).began == 5.0


def test_a_job_is_new_since_it_was_created_or_became_new_again() -> None:
    first = remember(job(created=1.0), None, 10.0)
    assert (first.pending, remember(job(created=1.0, state="New"), first, 20.0).pending) == (1.0, 1.0)
    running = remember(job(created=1.0, state="Running", scheduled=2.0), first, 30.0)
    assert running.pending is None
    assert remember(job(created=1.0, state="New", generation=2), running, 5000.0).pending == 5000.0
    assert remember(job(created=1.0, state="New", generation=2), None, 5000.0).pending == 5000.0
    held = remember(job(created=1.0, state="Suspended", kueue=True), None, 10.0)
    assert remember(job(created=1.0, state="New", kueue=True), held, 5000.0).pending == 5000.0


EDITED = {
    "state": "Complete",
    "reason": "Succeeded",
    "generation": 3,
    "evaluated": 2,
    "scheduled": 1.0,
    "finished": 2.0,
}


def test_a_job_whose_spec_was_edited_is_evaluated_once_more() -> None:
    assert job(**EDITED).edited
    assert not job(**EDITED).ended
    for other in ({"run_id": "ours"}, {"kueue": True}, {"evaluated": 3}, {"evaluated": None}, {"state": "Running"}):
        assert not job(**EDITED | other).edited


def test_generations_are_read_as_the_operator_writes_them() -> None:
    notes = {"trustyai.opendatahub.io/last-scheduled-generation": "2"}
    meta = MANIFEST["metadata"] | {"generation": 3, "annotations": notes}
    assert (JobView.of({"metadata": meta}).generation, JobView.of({"metadata": meta}).evaluated) == (3, 2)
    meta["annotations"] = {"trustyai.opendatahub.io/last-scheduled-generation": "two"}
    assert JobView.of({"metadata": meta}).evaluated is None


def test_a_message_of_a_megabyte_is_not_stored_with_an_event() -> None:
    assert len(JobView.of(MANIFEST | {"status": {"message": "x" * 10**6}}).message) < 10_000


def test_a_job_that_kueue_has_never_let_go_begins_when_it_gets_a_pod() -> None:
    held = remember(job(state="Suspended"), None, 10.0)
    assert remember(job(state="Scheduled", scheduled=50.0), held, 60.0).began == 50.0
