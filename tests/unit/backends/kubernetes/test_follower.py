"""What a follower believes of its pod when answers come in another order than they were given."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_provider_lmeval.backends.kubernetes.cluster import Cluster
from airflow_provider_lmeval.backends.kubernetes.resources import PODS
from airflow_provider_lmeval.backends.kubernetes.view import PodView
from airflow_provider_lmeval.backends.kubernetes.watch import Follower, SharedWatch

RUNNING = PodView(name="pod", namespace="ns", uid="1", run_id="run", phase="Running", scheduled=1.0, running=True)
ENDED = replace(RUNNING, running=False, phase="Failed", exit_code=7)


def follower() -> Follower[PodView]:
    return Follower(PODS, "ns", "pod", "1", "run")


@pytest.mark.parametrize("end", [ENDED, replace(RUNNING, deleted=True)])
def test_an_answer_that_was_overtaken_brings_no_pod_back(end: PodView) -> None:
    found = follower()
    found.see(end)
    found.see(RUNNING)
    assert found.view == end


def test_more_is_learned_of_a_pod_that_has_ended() -> None:
    found = follower()
    found.see(ENDED)
    found.see(replace(ENDED, deleted=True))
    assert found.view == replace(ENDED, deleted=True)


def test_an_answer_to_one_follower_is_no_news_for_those_who_come_later() -> None:
    watch: SharedWatch[PodView] = SharedWatch(Cluster(), PODS, "ns")
    watch.show(RUNNING)  # overtaken by the list, which does not have the pod any more
    assert watch._views == {}
