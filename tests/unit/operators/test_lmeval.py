"""The operator, executed with scripted runs: what reaches XCom, what is raised, what is stopped."""

from __future__ import annotations

from datetime import timedelta
from importlib.util import find_spec

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, TaskDeferred

from airflow_provider_lmeval.errors import SpecError, UnknownTaskError
from airflow_provider_lmeval.operators.lmeval import LMEvalOperator
from airflow_provider_lmeval.operators.running import REDEFERS
from airflow_provider_lmeval.sensors.lmeval import LMEvalSensor
from airflow_provider_lmeval.store import Store
from airflow_provider_lmeval.triggers.lmeval import LMEvalTrigger
from tests.support.context import context
from tests.support.evidence import document, metric, task, write_run
from tests.support.scripts import endless, failure, success

SPEC = {"model": {"type": "hf", "pretrained": "/models/candidate"}, "tasks": ["arc_easy"]}


def operator(conn_id: str | None = None, **fields: object) -> LMEvalOperator:
    return LMEvalOperator(**{"task_id": "evaluate", "spec": SPEC, "lmeval_conn_id": conn_id} | fields)


def deferred(task: LMEvalOperator, ctx: dict) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as caught:
        task.execute(ctx)
    return caught.value


async def event_of(deferral: TaskDeferred) -> dict:
    async for event in deferral.trigger.run():
        return event.payload
    raise AssertionError("the trigger ended without an event")


def test_what_an_lmevaljob_cannot_say_is_told_when_the_dag_is_parsed() -> None:
    spec = SPEC | {"samples": {"arc_easy": [1]}}
    with pytest.raises(SpecError, match=r"samples: LMEvalJob has no field for it; use limit"):
        operator(spec=spec, backend="lmevaljob")
    operator(spec=spec, backend="local", lmevaljob={"keep": True})
    operator(spec="{{ params.spec }}", backend="lmevaljob")


def test_what_is_constant_of_a_jobs_settings_is_checked_though_the_rest_is_a_template() -> None:
    with pytest.raises(SpecError, match=r"lmevaljob\.pickup_timeout"):
        operator(backend="lmevaljob", lmevaljob={"name": "{{ ds }}", "pickup_timeout": 0})
    with pytest.raises(SpecError, match=r"lmevaljob\.pod: spec\.pod\.volumes\[0\]"):
        operator(backend="lmevaljob", lmevaljob={"name": "{{ ds }}", "pod": {"volumes": [{"emptyDir": {}}]}})


def test_a_constant_spec_is_checked_when_the_dag_is_parsed() -> None:
    with pytest.raises(SpecError, match="limit"):
        operator(spec=SPEC | {"limit": 0})
    with pytest.raises(UnknownTaskError, match="hellaswag"):
        operator(spec=SPEC | {"tasks": ["helaswag"]})


@pytest.mark.parametrize("value", ["{{ params.model }}", "{% if x %}a{% endif %}"])
def test_a_templated_spec_is_left_until_it_is_rendered(value: str) -> None:
    assert operator(spec=SPEC | {"tasks": [value]}).spec["tasks"] == [value]


def test_permissions_are_not_asked_for_while_parsing() -> None:
    operator(spec=SPEC | {"tasks": ["humaneval"], "allow_code_execution": True, "allow_online": True})


@pytest.mark.skipif(find_spec("lm_eval") is None, reason="needs lm-eval (the driver extra)")
def test_a_denied_permission_fails_for_good_before_anything_starts(scripted) -> None:
    ctx = context()
    with pytest.raises(AirflowFailException, match=r"\[lmeval\] allow_online"):
        operator(scripted(success()), spec=SPEC | {"allow_online": True}, backend="local").execute(ctx)
    assert ctx["ti"].xcoms == {}


async def test_a_run_through_deferral_gives_its_scores(scripted) -> None:
    task, ctx = operator(scripted(success())), context()
    deferral = deferred(task, ctx)
    assert isinstance(deferral.trigger, LMEvalTrigger)
    found = task.resume(ctx, event=await event_of(deferral), **deferral.kwargs)
    assert found["reason"] == "Succeeded"
    assert found["run_id"] == ctx["ti"].xcoms["handle"]["run_id"]
    assert found["results"]
    assert ctx["ti"].xcoms["return_value"] == found


def test_without_deferral_the_worker_waits(scripted) -> None:
    ctx = context()
    assert operator(scripted(success(0.1)), deferrable=False).execute(ctx)["reason"] == "Succeeded"


def test_without_waiting_the_handle_is_returned(scripted) -> None:
    ctx = context()
    handle = operator(scripted(endless()), wait_for_completion=False).execute(ctx)
    assert handle["backend"] == "memory"
    assert ctx["ti"].xcoms == {"handle": handle}


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        ("endpoint", AirflowException),
        ("out_of_memory", AirflowException),
        ("bad_spec", AirflowFailException),
        ("model_load", AirflowFailException),
    ],
)
def test_the_cause_decides_whether_airflow_tries_again(scripted, cause: str, kind: type[Exception]) -> None:
    ctx = context()
    with pytest.raises(AirflowException, match=f"{cause}: it said so") as caught:
        operator(scripted(failure(cause, "it said so")), deferrable=False).execute(ctx)
    assert type(caught.value) is kind
    pushed = ctx["ti"].xcoms["return_value"]
    assert (pushed["reason"], pushed["cause"], pushed["results"]) == ("Failed", cause, {})


def test_a_failed_and_a_successful_summary_have_the_same_keys(scripted) -> None:
    good, bad = context(), context()
    operator(scripted(success()), deferrable=False).execute(good)
    with pytest.raises(AirflowException):
        operator(scripted(failure("hung", "x")), deferrable=False).execute(bad)
    assert set(good["ti"].xcoms["return_value"]) == set(bad["ti"].xcoms["return_value"])


def test_killing_the_task_stops_the_run(scripted) -> None:
    task, ctx = operator(scripted(endless())), context(dag_id="killed")
    deferral = deferred(task, ctx)
    task.on_kill()
    handle = task._handle
    assert handle is not None
    assert task._backend().status(handle).state == "Cancelled"
    assert deferral.kwargs["handle"] == handle.to_json()


def test_a_task_killed_while_it_starts_leaves_nothing_running(scripted) -> None:
    task, ctx = operator(scripted(endless())), context(dag_id="killed-early")
    task.on_kill()
    with pytest.raises(AirflowException, match="killed"):
        task.execute(ctx)
    assert "handle" not in ctx["ti"].xcoms


def test_execution_timeout_reaches_the_trigger(scripted) -> None:
    ctx = context()
    deferral = deferred(operator(scripted(endless()), execution_timeout=timedelta(minutes=5)), ctx)
    start = ctx["ti"].start_date.timestamp()
    assert deferral.trigger.deadline == pytest.approx(start + 300)
    assert deferral.timeout > timedelta(minutes=5)


async def test_a_run_stopped_by_execution_timeout_says_so(scripted) -> None:
    task, ctx = operator(scripted(endless()), execution_timeout=timedelta(seconds=0.05)), context(dag_id="timed-out")
    deferral = deferred(task, ctx)
    event = await event_of(deferral)
    with pytest.raises(AirflowException, match="execution_timeout"):
        task.resume(ctx, event=event, **deferral.kwargs)
    assert task._backend().status(task._handle).state == "Cancelled"
    assert ctx["ti"].xcoms["return_value"]["reason"] == "Cancelled"


def test_a_crashed_trigger_is_replaced_twice_then_the_run_is_stopped(scripted) -> None:
    task, ctx = operator(scripted(endless())), context(dag_id="crashing")
    deferred(task, ctx)
    for _ in range(REDEFERS):
        with pytest.raises(TaskDeferred):
            task.resume_execution("__fail__", {"error": "Trigger failure", "traceback": ["boom"]}, ctx)
    with pytest.raises(Exception, match="Trigger failure"):
        task.resume_execution("__fail__", {"error": "Trigger failure", "traceback": ["boom"]}, ctx)
    assert task._backend().status(task._handle).state == "Cancelled"


def test_a_deferral_that_airflow_timed_out_stops_the_run(scripted) -> None:
    task, ctx = operator(scripted(endless())), context(dag_id="defer-timeout")
    deferred(task, ctx)
    with pytest.raises(Exception, match="timeout"):
        task.resume_execution("__fail__", {"error": "Trigger timeout"}, ctx)
    assert task._backend().status(task._handle).state == "Cancelled"


def test_a_run_that_cannot_be_followed_is_stopped(scripted) -> None:
    task, ctx = operator(scripted(endless())), context(dag_id="unreachable")
    deferral = deferred(task, ctx)
    with pytest.raises(AirflowException, match="no status"):
        task.resume(ctx, event={"error": "no status", "status": None, "timed_out": False}, **deferral.kwargs)
    assert task._backend().status(task._handle).state == "Cancelled"


async def test_an_event_about_another_run_does_not_end_this_one(scripted) -> None:
    task, ctx = operator(scripted(endless())), context(dag_id="foreign-event")
    deferral = deferred(task, ctx)
    event = {"run_id": "cleared-before", "status": None, "error": "run cleared-before: gone", "timed_out": False}
    with pytest.raises(TaskDeferred) as again:
        task.resume(ctx, event=event, **deferral.kwargs)
    assert again.value.trigger.handle == deferral.trigger.handle
    assert task._backend().status(task._handle).state == "Running"


async def test_nor_does_a_sensor_take_it_for_its_own(scripted) -> None:
    ctx, conn_id = context(dag_id="foreign-event-sensor"), scripted(endless())
    handle = operator(conn_id, wait_for_completion=False).execute(ctx)
    sensor = LMEvalSensor(task_id="wait", handle=handle, lmeval_conn_id=conn_id)
    event = {"run_id": "cleared-before", "status": None, "error": "run cleared-before: gone", "timed_out": False}
    with pytest.raises(TaskDeferred) as again:
        sensor.resume(context(), event=event, handle=handle)
    assert again.value.trigger.handle == handle


@pytest.fixture
def logged(caplog, capsys):
    """Return what was logged: newer releases of Airflow write it to the output, older ones use Python's logging."""
    caplog.set_level("WARNING")
    return lambda: capsys.readouterr().out + caplog.text


@pytest.mark.parametrize("baseline", [True, False])
def test_a_gate_that_will_not_be_able_to_decide_is_told_before_anything_runs(
    tmp_path, scripted, logged, baseline
) -> None:
    store = Store(tmp_path / "store")
    store.put_run(write_run(tmp_path / "run", document({"arc_easy": task({"acc,none": metric(0.5, n=500)}, n=500)})))
    known = {"gate_baseline": store.uri("candidate-1")} if baseline else {"spec": SPEC | {"limit": 500}}

    deferred(operator(scripted(endless()), gate_rules="no_regression", **known), context())

    assert "500 documents, on which a model without damage is proved less than 0.01 worse" in logged()


def test_a_preflight_that_knows_nothing_stops_nothing(scripted, logged) -> None:
    deferred(operator(scripted(endless()), gate_rules="no_regression", gate_baseline="/no/such/run"), context())

    assert "nobody knows yet" in logged()


def test_a_batch_above_the_administrators_maximum_is_capped_and_the_log_says_so(scripted, capfd, caplog) -> None:
    spec = SPEC | {"batch_size": 32}
    deferred(operator(scripted(success(), max_batch_size=24), spec=spec), context())
    told = capfd.readouterr().out + caplog.text  # Airflow logs to standard output, older ones through logging
    assert "batch_size: 32 is above [lmeval] max_batch_size 24; capped to 24" in told


def test_a_batch_above_the_maximum_fails_for_good_if_the_policy_says_so(scripted) -> None:
    conn_id = scripted(success(), max_batch_size=24, batch_size_policy="error")
    ctx = context()
    with pytest.raises(AirflowFailException, match="batch_size_policy is error"):
        operator(conn_id, spec=SPEC | {"batch_size": 32}).execute(ctx)
    assert ctx["ti"].xcoms == {}


LOCAL = pytest.param("local", marks=pytest.mark.skipif(find_spec("lm_eval") is None, reason="needs the driver extra"))


@pytest.mark.parametrize("backend", ["memory", LOCAL])
@pytest.mark.parametrize(("preflight", "told"), [(True, True), ("rules", True), (False, False)])
def test_what_the_rules_doubt_is_logged_before_the_run_starts_unless_nobody_wants_to_know(
    tmp_path, scripted, logged, backend, preflight, told
) -> None:
    (tmp_path / "model").mkdir()
    spec = {"model": {"type": "hf", "pretrained": str(tmp_path / "model")}, "tasks": ["arc_easy"], "limit": 5}
    places = {"local_dir": str(tmp_path / "runs"), "results_uri": str(tmp_path / "results")}
    conn_id = scripted(success(), **places)
    task = operator(conn_id, spec=spec, backend=backend, preflight=preflight, wait_for_completion=False)
    task.execute(context())
    task.on_kill()
    assert ("for trying out only" in logged()) is told


@pytest.mark.parametrize("preflight", [True, "rules", False])
def test_what_the_rules_refuse_stops_it_whatever_was_asked_for(scripted, preflight) -> None:
    ctx = context()
    with pytest.raises(AirflowFailException, match=r"\[online-denied\]"):
        operator(scripted(success()), spec=SPEC | {"allow_online": True}, preflight=preflight).execute(ctx)
    assert ctx["ti"].xcoms == {}


@pytest.mark.parametrize("value", ["static", 1, None])
def test_no_other_way_of_looking_is_taken(value) -> None:
    with pytest.raises(SpecError, match="preflight: found"):
        operator(preflight=value)
