"""A pod without a GPU looks first: one with a GPU is asked for only if it has passed, and whoever is there goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, TaskDeferred
from airflow.sdk.execution_time import task_runner
from kubernetes.client import models as k8s

from airflow_provider_lmeval.backends.kubernetes.reap import orphans
from airflow_provider_lmeval.backends.kubernetes.view import PodView
from airflow_provider_lmeval.operators.kubernetes.pod import EvalPodOperator
from airflow_provider_lmeval.operators.lmeval import LMEvalOperator
from airflow_provider_lmeval.plan.names import preflight_id
from airflow_provider_lmeval.plan.pod import PREFLIGHT_OF, QUEUE
from airflow_provider_lmeval.wire import Cause
from airflow_provider_lmeval.wire_preflight import CHECKS, Check, Finding, Report
from tests.kube import KubeServer, Script
from tests.kube_backend import pods
from tests.kube_backend.acts import LOG, RUN, WORDS, Worker, created, gone
from tests.kube_backend.conftest import (
    IMAGE,
    NAMESPACE,
    Airflow,
    Said,
    context,
    defer,
    finish,
    fire,
    handle_of,
    real,
    spec,
)
from tests.support.context import TaskInstance
from tests.unit.triggers.conftest import Supervisor

GPU = {"gpu": 1}
LOOK = preflight_id(RUN)
RUNS, LOOKS = f"!{PREFLIGHT_OF}", PREFLIGHT_OF
"""Selectors of the pods that evaluate, and of those that look."""
PASSED = Report(checks=[Check(id=name, finding=Finding.OK, found="fine.").to_json() for name in CHECKS])


def ends(raw: bytes, code: int = 0, **words: Any) -> Script:
    """Return the script of a preflight that ends with a document."""
    return Script(runs_s=0.1, exit_code=code, log=pods.log(LOOK, raw), message=pods.last_words(LOOK, raw, **words))


def passes() -> Script:
    return ends(pods.document(LOOK, preflight=PASSED.to_json()))


def fails(cause: Cause, code: int) -> Script:
    broken = Check(id="tasks-load", finding=Finding.FAILED, found="it is broken.", cause=cause)
    report = Report(checks=[broken.to_json()])
    raw = pods.failure(LOOK, cause, report.message)
    words = {"reason": "Failed", "cause": cause, "message": report.message}
    return ends(raw, code, **words)


@pytest.fixture
def passing(server: KubeServer) -> None:
    """Preflights pass at once; evaluations go on for ever."""
    server.script(Script(), RUNS)
    server.script(passes(), LOOKS)


@pytest.fixture
def endless(server: KubeServer) -> None:
    """Preflights and evaluations go on for ever."""
    server.script(Script())


def asked(server: KubeServer) -> list[str]:
    """Return the limits of GPUs of all pods that are there, and whose preflight each of them is."""
    found = []
    for pod in server.pods(NAMESPACE):
        limits = pod["spec"]["containers"][0]["resources"].get("limits", {})
        looks = "look" if LOOKS in pod["metadata"]["labels"] else "run"
        found.append(f"{looks} {limits.get('nvidia.com/gpu', 0)}")
    return sorted(found)


def passed(airflow: Airflow, ctx: dict[str, Any], **fields: Any) -> tuple[LMEvalOperator, TaskDeferred]:
    """Go through a preflight until the task defers for the run itself."""
    task = airflow.operator(**{"kubernetes": GPU} | fields)
    deferral = defer(task, ctx)
    with pytest.raises(TaskDeferred) as again:
        finish(task, ctx, deferral, fire(deferral))
    again.value.trigger.not_before = 0.0
    return task, again.value


def test_a_gpu_is_asked_for_when_a_real_driver_has_found_nothing_wrong(
    server: KubeServer, airflow: Airflow, said: Said
) -> None:
    server.script(Script(), RUNS)
    task, ctx = airflow.operator(spec=real("tiny_mc"), kubernetes=GPU), context()
    deferral = defer(task, ctx)
    assert asked(server) == ["look 0"]
    assert "handle" not in ctx["ti"].xcoms  # which a sensor would take for the run's
    event = fire(deferral)
    assert created(server) == 1
    with pytest.raises(TaskDeferred) as again:
        finish(task, ctx, deferral, event)
    assert again.value.trigger.handle["run_id"] == handle_of(ctx).run_id == deferral.trigger.handle["where"]["precedes"]
    found = {check["id"]: check["finding"] for check in ctx["ti"].xcoms["preflight"]}
    assert list(found) == list(CHECKS)
    assert "failed" not in found.values()
    assert "datasets-load: ok: tiny_mc has 40 documents." in said
    server.wait(lambda: asked(server) == ["run 1"], 20)


def test_a_real_preflight_that_fails_ends_the_task_for_good_and_no_gpu_was_asked_for(
    server: KubeServer, airflow: Airflow
) -> None:
    wrong = real("tiny_mc") | {"apply_chat_template": True, "model": {"type": "hf", "pretrained": "/no/such/model"}}
    task, ctx = airflow.operator(spec=wrong, kubernetes=GPU), context()
    deferral = defer(task, ctx)
    with pytest.raises(
        AirflowFailException, match="no GPU was asked for: model_load: 1 of 10 checks failed: model-files"
    ):
        finish(task, ctx, deferral, fire(deferral))
    summary = ctx["ti"].xcoms["return_value"]
    assert (summary["run_id"], summary["cause"]) == (deferral.trigger.handle["where"]["precedes"], "model_load")
    assert created(server) == 1
    gone(server)


@pytest.mark.parametrize(("cause", "code", "good"), [(Cause.ENDPOINT, 6, False), (Cause.BAD_SPEC, 2, True)])
def test_only_what_may_pass_is_tried_again(
    server: KubeServer, airflow: Airflow, cause: Cause, code: int, good: bool
) -> None:
    server.script(fails(cause, code))
    task, ctx = airflow.operator(kubernetes=GPU), context()
    deferral = defer(task, ctx)
    with pytest.raises(AirflowException, match=f"{cause}: 1 of 1 checks failed: tasks-load") as caught:
        finish(task, ctx, deferral, fire(deferral))
    assert isinstance(caught.value, AirflowFailException) is good
    assert created(server) == 1


@pytest.mark.usefixtures("passing")
def test_the_run_is_collected_as_if_nothing_had_been_before_it(server: KubeServer, airflow: Airflow) -> None:
    ctx = context()
    task, deferral = passed(airflow, ctx)
    server.wait_for_phase(handle_of(ctx).where["pod"], "Running", namespace=NAMESPACE)
    server.finish(handle_of(ctx).where["pod"], NAMESPACE, log=LOG, message=WORDS)
    assert finish(task, ctx, deferral, fire(deferral))["reason"] == "Succeeded"
    assert created(server) == 2
    gone(server)


@pytest.mark.usefixtures("passing")
def test_without_deferring_it_goes_the_same_way(server: KubeServer, airflow: Airflow) -> None:
    server.script(Script(runs_s=0.1, log=LOG, message=WORDS), RUNS)
    task, ctx = airflow.operator(kubernetes=GPU, deferrable=False, poll_interval=0.05), context()
    assert task.execute(ctx)["reason"] == "Succeeded"
    assert ctx["ti"].xcoms["preflight"] == PASSED.checks
    assert created(server) == 2
    gone(server)


@pytest.mark.usefixtures("passing")
def test_a_task_that_does_not_wait_for_its_run_waits_for_the_preflight(airflow: Airflow) -> None:
    task, ctx = airflow.operator(kubernetes=GPU, wait_for_completion=False), context()
    deferral = defer(task, ctx)
    assert finish(task, ctx, deferral, fire(deferral))["run_id"] == RUN


@pytest.mark.usefixtures("passing")
def test_the_pod_operator_alone_looks_first_as_well(server: KubeServer, airflow: Airflow) -> None:
    arguments: dict[str, Any] = {"pod_settings": GPU, "image": IMAGE, "env_vars": {"MINE": "1"}}
    task = EvalPodOperator(task_id="evaluate", spec=spec(), lmeval_conn_id="eval", **arguments)
    ctx = context()
    with pytest.raises(TaskDeferred) as caught:
        task.execute(ctx)
    caught.value.trigger.not_before = 0.0
    with pytest.raises(TaskDeferred):
        task.trigger_reentry(ctx, event=fire(caught.value), **caught.value.kwargs)
    assert handle_of(ctx).run_id == RUN
    server.wait(lambda: asked(server) == ["run 1"], 20)
    (pod,) = server.pods(NAMESPACE)
    env = {each["name"]: each.get("value") for each in pod["spec"]["containers"][0]["env"]}
    assert env["MINE"] == "1"
    assert "NVIDIA_VISIBLE_DEVICES" not in env


@pytest.mark.usefixtures("endless")
@pytest.mark.parametrize("fields", [{"preflight": False}, {"preflight": "rules"}, {"kubernetes": {}}])
def test_where_it_is_not_wanted_or_no_gpu_is_the_run_begins_at_once(
    server: KubeServer, airflow: Airflow, fields: dict[str, Any]
) -> None:
    ctx = context()
    defer(airflow.operator(**{"kubernetes": GPU} | fields), ctx)
    assert handle_of(ctx).run_id == RUN
    assert [view.split()[0] for view in asked(server)] == ["run"]


@pytest.mark.usefixtures("passing")
def test_a_spec_whose_templates_say_something_else_each_time_is_told(airflow: Airflow, said: Said) -> None:
    ctx = context()
    deferral = defer(airflow.operator(kubernetes=GPU), ctx)
    with pytest.raises(TaskDeferred):
        finish(airflow.operator(kubernetes=GPU, spec=spec(limit=3)), ctx, deferral, fire(deferral))
    assert "this is not the spec that was looked at" in said


@pytest.mark.usefixtures("passing")
def test_devices_and_queues_of_ones_own_pod_are_seen_and_left_to_the_run(server: KubeServer, airflow: Airflow) -> None:
    resources = k8s.V1ResourceRequirements(limits={"nvidia.com/gpu": "1", "memory": "64Gi"})
    own = {"container_resources": resources, "labels": {QUEUE: "gpus"}, "on_finish_action": "keep_pod"}
    passed(airflow, context(), kubernetes=own)
    look, run = sorted(server.pods(NAMESPACE), key=lambda pod: LOOKS not in pod["metadata"]["labels"])
    assert look["spec"]["containers"][0]["resources"]["limits"] == {"memory": "4Gi"}
    assert run["spec"]["containers"][0]["resources"]["limits"] == {"nvidia.com/gpu": "1", "memory": "64Gi"}
    assert [pod["metadata"]["labels"].get(QUEUE) for pod in (look, run)] == [None, "gpus"]


# -- other tries


@pytest.mark.usefixtures("endless")
def test_a_try_that_finds_a_preflight_waits_for_that_one(server: KubeServer, airflow: Airflow) -> None:
    first = defer(airflow.operator(kubernetes=GPU), context())
    second = defer(airflow.operator(kubernetes=GPU), context())
    assert first.trigger.handle == second.trigger.handle
    assert created(server) == 1


@pytest.mark.usefixtures("passing")
def test_a_try_that_finds_the_runs_pod_looks_at_nothing_again(server: KubeServer, airflow: Airflow) -> None:
    _, before = passed(airflow, context())
    again = defer(airflow.operator(kubernetes=GPU), context())
    assert again.trigger.handle["where"]["uid"] == before.trigger.handle["where"]["uid"]
    assert created(server) == 2


@pytest.mark.usefixtures("passing")
def test_a_try_that_is_late_goes_on_with_the_run_that_another_has_begun(server: KubeServer, airflow: Airflow) -> None:
    """The other has removed the preflight's pod before this one's trigger has seen how it ended."""
    late, ctx = airflow.operator(kubernetes=GPU), context()
    waiting = defer(late, ctx)
    _, begun = passed(airflow, context())
    server.wait(lambda: asked(server) == ["run 1"], 20)
    event = fire(waiting)
    assert event["status"]["reason"] == "Failed"
    with pytest.raises(TaskDeferred) as again:
        finish(late, ctx, waiting, event)
    assert again.value.trigger.handle["where"]["uid"] == begun.trigger.handle["where"]["uid"]
    assert created(server) == 2


@pytest.mark.usefixtures("passing")
def test_a_pod_that_is_kept_is_marked_and_not_taken_for_another_look(server: KubeServer, airflow: Airflow) -> None:
    ctx = context()
    passed(airflow, ctx, kubernetes=GPU | {"on_finish_action": "keep_pod"})
    assert asked(server) == ["look 0", "run 1"]
    (kept,) = [PodView.of(pod) for pod in server.pods(NAMESPACE) if LOOKS in pod["metadata"]["labels"]]
    assert (kept.checked, kept.precedes, kept.run_id) == (True, RUN, LOOK)


# -- ends from outside


@pytest.mark.usefixtures("endless")
def test_a_task_killed_while_it_looks_leaves_no_pod(server: KubeServer, airflow: Airflow) -> None:
    task, ctx = airflow.operator(kubernetes=GPU, deferrable=False, poll_interval=0.05), context()
    worker = Worker(lambda: task.execute(ctx))
    server.wait(lambda: "preflight_handle" in ctx["ti"].xcoms, 20)
    task.on_kill()
    with pytest.raises(AirflowException):
        worker.join()
    assert created(server) == 1
    gone(server)


@pytest.fixture
def marked() -> Iterator[None]:
    """A person has marked the task as failed."""
    before = getattr(task_runner, "SUPERVISOR_COMMS", None)
    task_runner.SUPERVISOR_COMMS = Supervisor("failed")  # type: ignore[assignment]
    yield
    if before is None:
        del task_runner.SUPERVISOR_COMMS
    else:
        task_runner.SUPERVISOR_COMMS = before


@pytest.mark.usefixtures("endless", "marked")
def test_a_person_who_marks_the_task_ends_the_preflight(server: KubeServer, airflow: Airflow) -> None:
    trigger = defer(airflow.operator(kubernetes=GPU), context()).trigger
    trigger.task_instance = TaskInstance()
    asyncio.run(trigger.on_kill())
    gone(server)


@pytest.mark.usefixtures("endless")
def test_execution_timeout_counts_it(server: KubeServer, airflow: Airflow) -> None:
    task, ctx = airflow.operator(kubernetes=GPU, execution_timeout=timedelta(seconds=1)), context()
    deferral = defer(task, ctx)
    with pytest.raises(AirflowException, match="execution_timeout: the preflight"):
        finish(task, ctx, deferral, fire(deferral))
    assert created(server) == 1
    gone(server)


@pytest.mark.usefixtures("endless")
def test_a_trigger_that_crashes_is_replaced_for_a_preflight_too(server: KubeServer, airflow: Airflow) -> None:
    ctx = context()
    first = defer(airflow.operator(kubernetes=GPU), ctx)
    with pytest.raises(TaskDeferred) as again:
        airflow.operator(kubernetes=GPU).resume_execution("__fail__", {"error": "Trigger failure"}, ctx)
    assert again.value.trigger.handle == first.trigger.handle
    assert created(server) == 1


@pytest.mark.usefixtures("endless")
def test_a_preflight_that_is_evicted_says_nothing_about_the_run(server: KubeServer, airflow: Airflow) -> None:
    task, ctx = airflow.operator(kubernetes=GPU), context()
    deferral = defer(task, ctx)
    name = deferral.trigger.handle["where"]["pod"]
    server.wait_for_phase(name, "Running", namespace=NAMESPACE)
    server.faults.oom_kill(name, NAMESPACE)
    with pytest.raises(
        AirflowException, match=r"out_of_memory: .* Give it more memory: kubernetes\.preflight\.memory"
    ) as caught:
        finish(task, ctx, deferral, fire(deferral))
    assert not isinstance(caught.value, AirflowFailException)
    assert created(server) == 1


def test_one_that_finds_no_node_says_why_and_is_tried_again(server: KubeServer, airflow: Airflow) -> None:
    server.faults.never_schedule()
    task, ctx = airflow.operator(kubernetes=GPU | {"scheduling_timeout": 0.5}), context()
    deferral = defer(task, ctx)
    with pytest.raises(AirflowException, match="no GPU was asked for: unschedulable: ") as caught:
        finish(task, ctx, deferral, fire(deferral))
    assert not isinstance(caught.value, AirflowFailException)
    assert (created(server), server.requests.count("list", "events")) == (1, 1)
    gone(server)


def test_an_image_whose_driver_knows_no_preflight_is_told_apart(server: KubeServer, airflow: Airflow) -> None:
    server.script(ends(pods.document(LOOK)))
    task, ctx = airflow.operator(kubernetes=GPU), context()
    deferral = defer(task, ctx)
    with pytest.raises(AirflowFailException, match="the driver in the image knows no preflight"):
        finish(task, ctx, deferral, fire(deferral))


@pytest.mark.usefixtures("endless")
def test_one_whose_task_has_ended_is_reaped(server: KubeServer, airflow: Airflow) -> None:
    defer(airflow.operator(kubernetes=GPU), context())
    (pod,) = server.pods(NAMESPACE)
    view = PodView.of(pod | {"metadata": pod["metadata"] | {"creationTimestamp": "2020-01-01T00:00:00Z"}})
    owner = ("dag", "manual__1", "evaluate", "-1")
    assert [orphan.view.name for orphan in orphans([view], {owner: "failed"}, now=2e9, ttl_s=0)] == [view.name]
    assert orphans([view], {owner: "deferred"}, now=2e9, ttl_s=0) == []
