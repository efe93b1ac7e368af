"""What comes back from a pod that has ended: by the store, by its log, by its last words, and what is raised without any."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any, cast

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_lmeval.backends.kubernetes.backend import KubernetesBackend
from airflow_provider_lmeval.hooks.lmeval import LMEvalHook
from airflow_provider_lmeval.operators.kubernetes.pod import OUT_OF_MEMORY_KEY
from airflow_provider_lmeval.sensors.lmeval import LMEvalSensor
from airflow_provider_lmeval.store import open_result
from airflow_provider_lmeval.wire import Cause, Reason, State
from airflow_provider_lmeval.wire_pod import unpack_request
from tests.kube import KubeServer, Script
from tests.kube_backend import pods
from tests.kube_backend.acts import GOOD, RUN, gone, stored
from tests.kube_backend.conftest import NAMESPACE, Airflow, StateStore, context, defer, finish, fire, handle_of, spec


def run(
    airflow: Airflow, *, ctx: dict[str, Any] | None = None, during: Callable[[], None] | None = None, **fields: Any
) -> Any:
    """Execute, wait, resume.

    :param during: what happens between the trigger's event and the resumption.
    """
    task, given = airflow.operator(**fields), ctx or context()
    deferral = defer(task, given)
    event = fire(deferral)
    if during is not None:
        during()
    return finish(task, given, deferral, event)


def test_a_record_in_the_log_is_kept_where_the_gate_looks(server: KubeServer, airflow: Airflow, capsys: Any) -> None:
    server.script(Script(runs_s=0.1, log=pods.log(RUN, GOOD), message=pods.last_words(RUN, GOOD)))
    found = run(airflow)
    assert found["reason"] == "Succeeded"
    assert open_result(found["result_uri"]).run_id == RUN
    shown = capsys.readouterr().out
    assert "[base] lmeval: evaluating" in shown
    assert "LMEVAL-RECORD" not in shown
    gone(server)


def test_a_stored_success_counts_whatever_became_of_the_pod(server: KubeServer, airflow: Airflow) -> None:
    server.script(Script(runs_s=0.1, exit_code=143))
    assert run(airflow, during=lambda: stored(airflow, GOOD))["reason"] == "Succeeded"
    gone(server)


def test_a_stored_success_is_not_evaluated_again(server: KubeServer, airflow: Airflow) -> None:
    stored(airflow, GOOD)
    assert run(airflow)["reason"] == "Succeeded"
    assert server.pods(NAMESPACE) == []


def test_what_an_earlier_try_has_stored_is_not_this_ones_failure(server: KubeServer, airflow: Airflow) -> None:
    stored(airflow, pods.failure(RUN, Cause.BAD_SPEC, "of the first try"))
    server.script(Script(runs_s=0.1, exit_code=137))
    with pytest.raises(AirflowException, match="killed"):
        run(airflow)


def test_a_pod_that_is_gone_is_known_by_what_the_trigger_saw(server: KubeServer, airflow: Airflow) -> None:
    words = pods.last_words(RUN, metrics={"tiny_mc": {"acc,none": 0.75}}, truncated=True)
    server.script(Script(runs_s=0.3, message=words))
    ctx = context()

    def vanish() -> None:
        where = handle_of(ctx).where
        backend = cast("KubernetesBackend", LMEvalHook("eval").get_conn())
        backend.call(lambda api: api.delete_pod(NAMESPACE, where["pod"], where["uid"]))
        gone(server)

    found = run(airflow, ctx=ctx, during=vanish)
    assert (found["reason"], found["truncated"]) == ("Succeeded", True)
    assert found["results"] == {"tiny_mc": {"acc,none": 0.75}}
    assert found["result_uri"] is None


def test_a_log_whose_record_is_damaged_leaves_the_last_words(server: KubeServer, airflow: Airflow) -> None:
    log = pods.log(RUN, GOOD).replace(b"LMEVAL-RECORD/1 ", b"LMEVAL-RECORD/1 x", 1)
    words = pods.last_words(RUN, GOOD, metrics={"tiny_mc": {"acc,none": 0.75}})
    server.script(Script(runs_s=0.1, log=log, message=words))
    found = run(airflow)
    assert found["results"] == {"tiny_mc": {"acc,none": 0.75}}


def test_a_success_that_left_nothing_fails_and_may_be_tried_again(server: KubeServer, airflow: Airflow) -> None:
    server.script(Script(runs_s=0.1))
    ctx = context()
    with pytest.raises(AirflowException, match="cannot be found") as caught:
        run(airflow, ctx=ctx)
    assert not isinstance(caught.value, AirflowFailException)
    assert ctx["ti"].xcoms["return_value"]["cause"] == "storage"


@pytest.mark.parametrize(
    ("cause", "kind"), [(Cause.ENDPOINT, AirflowException), (Cause.MODEL_LOAD, AirflowFailException)]
)
def test_the_drivers_own_failure_decides_about_another_try(
    server: KubeServer, airflow: Airflow, cause: Cause, kind: type[Exception]
) -> None:
    raw = pods.failure(RUN, cause, "in its own words")
    ending = {"state": State.COMPLETE, "reason": Reason.FAILED, "cause": cause}
    words = pods.last_words(RUN, raw, **ending)
    server.script(Script(runs_s=0.1, exit_code=6, log=pods.log(RUN, raw), message=words))
    with pytest.raises(kind, match="in its own words"):
        run(airflow)
    gone(server)


def test_an_eviction_is_no_cancellation_though_the_driver_says_so(server: KubeServer, airflow: Airflow) -> None:
    raw = pods.failure(RUN, Cause.CANCELLED, "told to stop")
    server.script(Script(log=pods.log(RUN, raw)))
    task, ctx = airflow.operator(), context()
    deferral = defer(task, ctx)
    server.wait_for_phase(handle_of(ctx).where["pod"], "Running", namespace=NAMESPACE)

    def evict() -> None:
        trigger = deferral.trigger
        server.wait(lambda: trigger._seen is not None and trigger._seen.running)
        server.faults.evict(handle_of(ctx).where["pod"], NAMESPACE)

    killer = threading.Thread(target=evict)
    killer.start()
    event = fire(deferral)
    killer.join()
    with pytest.raises(AirflowException, match="evicted") as caught:
        finish(task, ctx, deferral, event)
    assert not isinstance(caught.value, AirflowFailException)
    assert ctx["ti"].xcoms["return_value"]["cause"] == "evicted"


def test_after_running_out_of_memory_the_next_try_takes_a_smaller_batch(server: KubeServer, airflow: Airflow) -> None:
    server.script(Script(runs_s=0.2, exit_code=7))
    store = StateStore()
    ctx = context() | {"task_state_store": store}
    with pytest.raises(AirflowException, match="out_of_memory"):
        run(airflow, ctx=ctx, spec=spec(batch_size=16))
    assert store[OUT_OF_MEMORY_KEY] == 1
    gone(server)
    server.script(Script())
    defer(airflow.operator(spec=spec(batch_size=16)), context() | {"task_state_store": store})
    (pod,) = server.pods(NAMESPACE)
    (packed,) = [each["value"] for each in pod["spec"]["containers"][0]["env"] if each["name"] == "LMEVAL_REQUEST"]
    assert unpack_request(packed).evaluate["batch_size"] == 8


@pytest.mark.parametrize(("action", "left"), [("keep_pod", 1), ("delete_succeeded_pod", 1), ("delete_pod", 0)])
def test_on_finish_action_decides_about_a_failed_pod(
    server: KubeServer, airflow: Airflow, action: str, left: int
) -> None:
    server.script(Script(runs_s=0.1, exit_code=6))
    with pytest.raises(AirflowException):
        run(airflow, kubernetes={"on_finish_action": action})
    server.wait(lambda: len(server.pods(NAMESPACE)) == left)
    for pod in server.pods(NAMESPACE):
        assert pod["metadata"]["labels"]["already_checked"] == "True"
    server.script(Script())
    defer(airflow.operator(kubernetes={"on_finish_action": action}), context())
    assert len([pod for pod in server.pods(NAMESPACE) if pod["status"].get("phase") != "Failed"]) == 1


def test_a_sensor_collects_and_lets_go(server: KubeServer, airflow: Airflow) -> None:
    server.script(Script(runs_s=0.3, log=pods.log(RUN, GOOD), message=pods.last_words(RUN, GOOD)))
    handle = airflow.operator(wait_for_completion=False).execute(context())
    sensor, ctx = LMEvalSensor(task_id="wait", handle=handle, lmeval_conn_id="eval"), context()
    deferral = defer(sensor, ctx)  # type: ignore[arg-type]
    assert sensor.resume(ctx, event=json.loads(json.dumps(fire(deferral))))["reason"] == "Succeeded"
    gone(server)


def test_without_deferring(server: KubeServer, airflow: Airflow) -> None:
    server.script(Script(runs_s=0.3, log=pods.log(RUN, GOOD), message=pods.last_words(RUN, GOOD)))
    assert airflow.operator(deferrable=False, poll_interval=0.1).execute(context())["reason"] == "Succeeded"
    gone(server)
