"""The warm-up: the evaluation's own spec and pod, turned so that they fetch."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_lmeval.errors import SpecError
from airflow_provider_lmeval.operators.warmup import LMEvalWarmupOperator
from airflow_provider_lmeval.plan import Grants, Placement, plan_request
from airflow_provider_lmeval.plan.warm_up import warm_up_of, warm_up_pod
from airflow_provider_lmeval.spec import EvalSpec
from tests.support.context import context
from tests.support.manifests import manifest
from tests.support.scripts import success

SPEC = {
    "model": {"type": "hf", "pretrained": "org/model", "revision": "v1"},
    "tasks": ["arc_easy"],
    "offline": {"cache": "/models"},
}


def test_the_warm_up_asks_for_what_the_evaluation_asks_for_and_for_network() -> None:
    spec = EvalSpec.parse(SPEC)
    both = [plan_request(each, "r", Grants(online=True), Placement()) for each in (spec, warm_up_of(spec))]
    for name in ("model", "model_args", "tasks", "families", "evaluate", "offline"):
        assert getattr(both[0], name) == getattr(both[1], name)
    assert [(each.allow_online, each.warm_up) for each in both] == [(False, False), (True, True)]
    assert [each.no_progress_s for each in both] == [1800, None]  # hours of downloading are no hang


def test_its_pod_has_no_device_and_may_write_the_cache() -> None:
    pod = {"gpu": 2, "memory": "8Gi", "cache": {"claim": "models", "path": "/models", "read_only": True}}
    label = {"lmeval.airflow/egress-hub": "true"}
    assert warm_up_pod(pod) == {"memory": "8Gi", "cache": {"claim": "models", "path": "/models"}, "labels": label}
    assert pod["cache"]["read_only"]


def test_a_network_policy_lets_its_pod_out() -> None:
    task = LMEvalWarmupOperator(task_id="warm_up", spec=SPEC, kubernetes={"labels": {"team": "a"}})
    selected = set(manifest("networkpolicy-hub")["spec"]["podSelector"]["matchLabels"].items())
    assert selected & set(task.kubernetes["labels"].items())
    assert task.kubernetes["labels"]["team"] == "a"


def test_a_mistake_in_a_constant_spec_is_found_when_the_dag_is_parsed() -> None:
    with pytest.raises(SpecError, match="arc_easi"):
        LMEvalWarmupOperator(task_id="warm_up", spec=SPEC | {"tasks": ["arc_easi"]})


def test_a_templated_spec_becomes_a_warm_up_after_rendering(scripted) -> None:
    conn_id = scripted(success(), allow_online=True)
    task = LMEvalWarmupOperator(task_id="warm_up", spec=SPEC | {"tasks": ["{{ x }}"]}, lmeval_conn_id=conn_id)
    assert "warm_up" not in task.spec
    task.spec["tasks"] = ["arc_easy"]  # rendered
    with pytest.raises(TaskDeferred):
        task.execute(context())
    assert task.spec["warm_up"] is task.spec["allow_online"] is True


def test_without_permission_to_go_online_it_fails_for_good(scripted) -> None:
    pytest.importorskip("lm_eval", reason="without lm-eval the message is another")
    task = LMEvalWarmupOperator(task_id="warm_up", spec=SPEC, backend="local", lmeval_conn_id=scripted(success()))
    with pytest.raises(AirflowFailException, match=r"\[lmeval\] allow_online"):
        task.execute(context())
