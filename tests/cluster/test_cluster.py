"""Evaluations on a real cluster, from the operator's ``execute`` to the scores; see ``options.py`` for what it has to offer.

Only what every Kubernetes from 1.30 on does is relied on: pods may start slowly, images may have to be pulled, and an
object that is deleted may be there for a while.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_lmeval.store import open_result
from tests.cluster.cargo import choosing, lasting
from tests.cluster.run import START_S, Run
from tests.cluster.site import Site

pytestmark = [pytest.mark.driver, pytest.mark.timeout(3600)]


def score(found: dict[str, Any], task: str) -> float:
    value = found["results"][task]["acc,none"]
    assert 0 <= value <= 1
    return float(value)


def failure(run: Run, event: dict[str, Any]) -> tuple[str, str]:
    """Resume a task that must fail, and return the cause and the message."""
    with pytest.raises(AirflowException) as caught:
        run.finish(event)
    return run.ctx["ti"].xcoms["return_value"]["cause"], str(caught.value)


def test_scores_come_back_by_the_log_and_the_pod_is_removed(site: Site) -> None:
    run = site.start(choosing("first"))
    event = run.event()
    assert event["status"]["reason"] == "Succeeded", run.log()
    found = run.finish(event)
    score(found, "first")
    assert open_result(found["result_uri"]).succeeded
    run.wait_until_gone()


def test_scores_come_back_by_the_last_words_of_a_pod_that_is_gone(site: Site) -> None:
    run = site.start(choosing("first"))
    event = run.event()
    assert event["status"]["reason"] == "Succeeded", run.log()
    run.delete()
    run.wait_until_gone()
    found = run.finish(event)
    score(found, "first")
    assert found["result_uri"] is None


def test_many_runs_are_seen_to_end_by_one_watch(site: Site) -> None:
    runs = [site.start(choosing(name)) for name in ("first", "second")]

    async def both() -> list[dict[str, Any]]:
        return await asyncio.gather(*(run.fired() for run in runs))

    events = asyncio.run(both())
    for run, event, task in zip(runs, events, ("first", "second"), strict=True):
        assert event["seen"]["uid"] == run.uid
        score(run.finish(event), task)


def test_the_drivers_own_reason_for_a_failure_comes_back(site: Site) -> None:
    run = site.start(choosing("first"), model="/lmeval-test/no-such-model")
    event = run.event()
    cause, message = failure(run, event)
    assert cause == "model_load"
    assert "no-such-model" in message
    run.wait_until_gone()


def test_progress_comes_through_the_proxy_and_cancelling_ends_the_pod(site: Site) -> None:
    run = site.start(lasting())
    run.wait_until_running()

    def done() -> int:
        assert run.is_running()
        return int(run.status().progress.get("done") or 0)

    site.wait(done, "the driver has told its progress", START_S)
    run.cancel()
    run.wait_until_gone()


def test_another_try_takes_over_the_pod_that_is_there(site: Site) -> None:
    first = site.start(lasting(), name="tried-twice")
    first.wait_until_running()
    second = site.start(lasting(), name="tried-twice")
    assert (second.name, second.uid) == (first.name, first.uid)
    second.delete()
    second.wait_until_gone()


def test_an_eviction_is_told_from_a_failure(site: Site) -> None:
    run = site.start(lasting())
    event = run.event(during=run.evict)
    cause, _ = failure(run, event)
    assert cause == "evicted"
    run.wait_until_gone()


def test_a_container_beyond_its_memory_limit_is_out_of_memory(site: Site) -> None:
    run = site.start(choosing("first"), memory="128Mi")
    cause, _ = failure(run, run.event())
    assert cause == "out_of_memory"


def test_a_pod_that_no_node_takes_is_unschedulable(site: Site) -> None:
    selector = {"lmeval-test/no-such-node": site.token}
    run = site.start(choosing("first"), node_selector=selector, scheduling_timeout=5)
    cause, message = failure(run, run.event())
    assert cause == "unschedulable"
    assert "no node" in message
    run.wait_until_gone()


def test_an_image_that_is_not_there_is_told(site: Site) -> None:
    image = f"localhost/lmeval-test-absent:{site.token}"
    run = site.start(choosing("first"), image=image, image_pull_policy="Never")  # pulling is tried for minutes
    cause, message = failure(run, run.event())
    assert cause == "image"
    assert image in message
    run.wait_until_gone()


def test_what_an_evicted_run_has_stored_is_not_done_again(site: Site) -> None:
    if not site.stores:
        pytest.skip("neither RESULTS_CLAIM nor RESULTS_HOST_PATH is given")
    stored, tasks, mark = site.store(), (choosing("first"), lasting("second")), "task finished: first"
    run = site.start(*tasks, name="resumed", **stored)

    def evict() -> None:
        site.wait(lambda: run.is_running() and mark in run.log(), "the first task is finished", START_S)
        run.evict()

    event = run.event(during=evict)
    assert failure(run, event)[0] == "evicted"
    run.wait_until_gone()
    again = site.start(*tasks, name="resumed", **stored)
    assert again.uid != run.uid
    again.wait_until_running()

    def resumed() -> bool:
        return again.is_running() and again.status().progress.get("task") == "second"

    site.wait(resumed, "the second pod has come to the second task", START_S)
    assert mark not in again.log()
    again.delete()
    again.wait_until_gone()
