"""Evaluations by TrustyAI's operator: created, followed to every end, collected, gated; refusals that say what to do."""

from __future__ import annotations

import json
import re
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, TaskDeferred

from airflow_provider_lmeval.operators.gate import LMEvalGateOperator
from airflow_provider_lmeval.plan import run_id
from airflow_provider_lmeval.plan.lmevaljob import read_one
from airflow_provider_lmeval.sensors.lmeval import LMEvalSensor
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.store import open_result
from tests.kube import KubeServer, Rule
from tests.kube.custom import LMEVALJOBS
from tests.kube.trustyai import FINALIZER, JobScript, TrustyAI
from tests.kube_backend.acts import Worker
from tests.kube_backend.conftest import NAMESPACE, Airflow, context, defer, finish, fire, spec

PAGE = (Path(__file__).parents[2] / "docs" / "lmevaljob.md").read_text(encoding="utf-8")
RUN = run_id("dag", "manual__1", "evaluate", -1, 0, EvalSpec.parse(spec()).content_hash)
GROUP = "trustyai.opendatahub.io"


def results(pretrained: str = "/models/tiny", **scores: float) -> str:
    """Return what the operator finds in lm-eval's result file."""
    tasks = scores or {"arc_easy": 0.9}
    return json.dumps(
        {
            "results": {
                task: {"alias": task, "acc,none": value, "acc_stderr,none": 0.01} for task, value in tasks.items()
            },
            "configs": {task: {"task": task, "output_type": "multiple_choice"} for task in tasks},
            "versions": dict.fromkeys(tasks, 1.0),
            "n-shot": dict.fromkeys(tasks, 0),
            "n-samples": {task: {"original": 500, "effective": 500} for task in tasks},
            "higher_is_better": {task: {"acc": True} for task in tasks},
            "config": {"model": "hf", "model_args": f"pretrained={pretrained}", "batch_size": "8", "limit": None},
            "lm_eval_version": "0.4.13",
        }
    )


def role() -> list[Rule]:
    """Return the Role that the page asks for: no test here has more rights than that."""
    (text,) = re.findall(r"```yml\n(.*?)```", PAGE, re.DOTALL)
    rules = yaml.safe_load(text)["rules"]
    return [
        Rule(tuple(rule["verbs"]), tuple(rule["resources"]), namespaces=(NAMESPACE,), groups=tuple(rule["apiGroups"]))
        for rule in rules
    ]


@pytest.fixture
def trusty(server: KubeServer, airflow: Airflow) -> TrustyAI:
    server.register(LMEVALJOBS)
    server.user("airflow", role())
    airflow.connect(backend="lmevaljob", namespace=NAMESPACE)
    operator = TrustyAI(server, JobScript(results=results()))
    operator.start()
    return operator


@pytest.fixture
def unattended(server: KubeServer, airflow: Airflow) -> KubeServer:
    """A cluster that knows LMEvalJob and whose operator is not there."""
    server.register(LMEVALJOBS)
    server.user("airflow", role())
    airflow.connect(backend="lmevaljob", namespace=NAMESPACE)
    return server


def jobs(server: KubeServer) -> list[dict[str, Any]]:
    return server.all(LMEVALJOBS, NAMESPACE)


def play(airflow: Airflow, during: Any = None, **fields: Any) -> tuple[dict[str, Any], BaseException | None]:
    """Execute, wait, resume; return what is in XCom, and what the task raised."""
    task, ctx = airflow.operator(**fields), context()
    deferral = defer(task, ctx)
    worker = Worker(during or (lambda: None))
    event = json.loads(json.dumps(fire(deferral, 20)))
    worker.join()
    try:
        finish(task, ctx, deferral, event)
    except AirflowException as error:
        return ctx["ti"].xcoms["return_value"], error
    return ctx["ti"].xcoms["return_value"], None


class Shown:
    """What tasks and triggers have written to their logs so far, which tests see on standard output."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys, self._text = capsys, ""

    @property
    def text(self) -> str:
        self._text += self._capsys.readouterr().out
        return self._text


def state(server: KubeServer) -> str | None:
    found = jobs(server)
    return (found[0].get("status") or {}).get("state") if found else None


@pytest.mark.usefixtures("trusty")
def test_a_jobs_results_pass_the_gate_like_any_others(server: KubeServer, airflow: Airflow) -> None:
    found, error = play(airflow)
    assert error is None
    assert found["results"]["arc_easy"] == {"acc,none": 0.9, "acc_stderr,none": 0.01}
    assert (found["backend"], found["state"], found["reason"]) == ("lmevaljob", "Complete", "Succeeded")
    result = open_result(found["result_uri"])
    assert (result.run_id, result.fingerprint.spec_hash) == (RUN, EvalSpec.parse(spec()).content_hash)
    gate = LMEvalGateOperator(
        task_id="gate", candidate=found, rules=[{"task": "arc_easy", "metric": "acc", "floor": 0.8}]
    )
    assert gate.execute(context())["outcome"] == "PASS"
    server.wait(lambda: not jobs(server))


@pytest.mark.usefixtures("trusty")
def test_a_second_try_finds_the_stored_result_and_creates_nothing(server: KubeServer, airflow: Airflow) -> None:
    play(airflow)
    created = server.requests.count("create", "lmevaljobs")
    found, error = play(airflow)
    assert error is None
    assert found["reason"] == "Succeeded"
    assert server.requests.count("create", "lmevaljobs") == created == 1


def test_the_resource_is_the_spec_with_labels_owner_and_queue(
    server: KubeServer, airflow: Airflow, trusty: TrustyAI
) -> None:
    trusty.script = JobScript(stays="Running")
    queue = {"kueue.x-k8s.io/queue-name": "gpus"}
    job = {"name": "nightly", "labels": queue, "annotations": {"team": "llm"}}
    defer(airflow.operator(lmevaljob=job), context())
    (made,) = jobs(server)
    meta = made["metadata"]
    assert meta["name"].startswith("nightly-")
    assert meta["labels"].items() >= (queue | {"lmeval.airflow/run-id": RUN}).items()
    assert (
        meta["annotations"].items()
        >= {"team": "llm", "lmeval.airflow/dag-id": "dag", "lmeval.airflow/task-id": "evaluate"}.items()
    )
    assert read_one({key: made[key] for key in ("apiVersion", "kind", "spec")}).spec.tasks == ("arc_easy",)


def test_recipes_have_the_names_of_the_spec_again(airflow: Airflow, trusty: TrustyAI) -> None:
    trusty.script = JobScript(results=results(tr_0=0.5, tr_1=0.75))
    recipes = [{"name": "nli", "card": "cards.wnli"}, {"name": "grammar", "card": "cards.cola"}]
    found, error = play(airflow, spec={"model": spec()["model"], "unitxt": recipes})
    assert error is None
    assert {task: scores["acc,none"] for task, scores in found["results"].items()} == {"nli": 0.5, "grammar": 0.75}


def test_progress_and_the_pods_log_are_shown(
    server: KubeServer, airflow: Airflow, trusty: TrustyAI, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = Shown(capsys)
    trusty.script = JobScript(
        stays="Running", bars=("84/228",), log=b"Loading model\nRequesting API:   1%\rRequesting API:  37%\n"
    )

    def end() -> None:
        server.wait(lambda: "evaluating Requesting API, 84/228" in shown.text)
        server.wait(lambda: "Loading model" in shown.text, 20)
        trusty.end(
            jobs(server)[0]["metadata"]["name"], NAMESPACE, state="Complete", reason="Succeeded", results=results()
        )

    _, error = play(airflow, end)
    assert error is None
    assert shown.text.count("Loading model") == 1
    assert "Requesting API:  37%" in shown.text
    assert "Requesting API:   1%" not in shown.text


def test_a_failure_is_told_in_the_words_of_the_log(airflow: Airflow, trusty: TrustyAI) -> None:
    log = b"Traceback (most recent call last):\nValueError: Tasks not found: arc_eesy\n"
    trusty.script = JobScript(failure="exit status 1", log=log)
    found, error = play(airflow)
    assert (found["state"], found["reason"], found["cause"]) == ("Complete", "Failed", "unknown_task")
    assert isinstance(error, AirflowFailException)
    assert "exit status 1" in str(error)
    assert "Tasks not found: arc_eesy" in str(error)


def test_online_access_that_the_operator_denies_is_answered_with_the_steps(airflow: Airflow, trusty: TrustyAI) -> None:
    airflow.connect(backend="lmevaljob", namespace=NAMESPACE, allow_online=True)
    log = b"OfflineModeIsEnabled: Cannot reach https://huggingface.co/api: offline mode is enabled.\n"
    trusty.script = JobScript(failure="exit status 1", log=log)
    found, error = play(airflow, spec=spec(allow_online=True))
    assert found["cause"] == "online_denied"
    assert isinstance(error, AirflowFailException)
    for step in ("permitOnline", "lmes-allow-online", "trustyai-service-operator-config", "restart"):
        assert step in str(error)
        assert step in PAGE


def test_a_success_without_results_is_a_failure(airflow: Airflow, trusty: TrustyAI) -> None:
    trusty.script = JobScript(results=None)
    found, error = play(airflow)
    assert (found["reason"], found["cause"]) == ("Failed", "storage")
    assert "no result file" in str(error)


def test_results_of_another_model_are_refused(airflow: Airflow, trusty: TrustyAI) -> None:
    trusty.script = JobScript(results=results("/models/other"))
    found, error = play(airflow)
    assert found["reason"] == "Failed"
    assert "another job's: the pretrained is '/models/other'" in str(error)


@pytest.mark.parametrize("said", ["not json", "{}", '{"results": []}'])
def test_results_that_are_none_are_refused(airflow: Airflow, trusty: TrustyAI, said: str) -> None:
    trusty.script = JobScript(results=said)
    found, error = play(airflow)
    assert found["reason"] == "Failed"
    assert error is not None


def test_a_failed_job_is_tried_again_under_another_name(server: KubeServer, airflow: Airflow, trusty: TrustyAI) -> None:
    trusty.script = JobScript(failure="exit status 1")
    _, error = play(airflow)
    assert isinstance(error, AirflowException)
    assert not isinstance(error, AirflowFailException)
    trusty.script = JobScript(results=results())
    found, error = play(airflow)
    assert error is None
    assert found["reason"] == "Succeeded"
    assert server.requests.count("create", "lmevaljobs") == 2


def test_a_try_whose_worker_died_finds_its_job(server: KubeServer, airflow: Airflow, trusty: TrustyAI) -> None:
    trusty.script = JobScript(stays="Running")
    defer(airflow.operator(), context())
    defer(airflow.operator(), context())
    assert len(jobs(server)) == 1


def test_a_killed_task_deletes_its_job(server: KubeServer, airflow: Airflow, trusty: TrustyAI) -> None:
    trusty.script = JobScript(stays="Running")
    task = airflow.operator()
    defer(task, context())
    server.wait(lambda: state(server) == "Running")
    task.on_kill()
    assert jobs(server) == []
    server.wait(lambda: not server.pods(NAMESPACE))


def test_execution_timeout_deletes_the_job(server: KubeServer, airflow: Airflow, trusty: TrustyAI) -> None:
    trusty.script = JobScript(stays="Running")
    _, error = play(airflow, execution_timeout=timedelta(seconds=1))
    assert "execution_timeout" in str(error)
    assert jobs(server) == []


def test_a_job_that_a_person_deletes_is_cancelled(server: KubeServer, airflow: Airflow, trusty: TrustyAI) -> None:
    trusty.script = JobScript(stays="Running")

    def delete() -> None:
        server.wait(lambda: state(server) == "Running")
        (job,) = jobs(server)
        server.call(lambda: server.cluster.registry.delete(LMEVALJOBS, (NAMESPACE, job["metadata"]["name"])))

    found, error = play(airflow, delete)
    assert (found["state"], found["reason"], found["cause"]) == ("Cancelled", "Cancelled", "cancelled")
    assert isinstance(error, AirflowFailException)


def test_the_states_of_a_suspended_job(
    server: KubeServer, airflow: Airflow, trusty: TrustyAI, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = Shown(capsys)

    def release() -> None:
        server.wait(lambda: "Suspended: suspended: waiting for Kueue" in shown.text)
        name = jobs(server)[0]["metadata"]["name"]
        spec = {**jobs(server)[0]["spec"], "suspend": False}
        registry = server.cluster.registry
        server.call(lambda: registry.change(LMEVALJOBS, (NAMESPACE, name), lambda job: job | {"spec": spec}))

    _, error = play(airflow, release, lmevaljob={"suspend": True, "pickup_timeout": 0.5})
    assert error is None


def test_a_job_that_nobody_takes_up_is_given_up(unattended: KubeServer, airflow: Airflow) -> None:
    began = time.monotonic()
    found, error = play(airflow, lmevaljob={"pickup_timeout": 1})
    assert time.monotonic() - began < 15
    assert found["cause"] == "not_started"
    assert "no operator has taken it up" in str(error)
    assert "it has no state" in str(error)
    assert jobs(unattended) == []


def test_a_job_that_does_not_start_is_given_up(server: KubeServer, airflow: Airflow, trusty: TrustyAI) -> None:
    trusty.script = JobScript(stays="Scheduled")
    found, error = play(airflow, lmevaljob={"startup_timeout": 1})
    assert found["cause"] == "unschedulable"
    assert error is not None
    server.wait(lambda: not jobs(server))


@pytest.mark.parametrize(("limit", "cause"), [("timeout", "deadline"), ("no_progress_timeout", "hung")])
def test_the_specs_time_limits_hold(
    server: KubeServer, airflow: Airflow, trusty: TrustyAI, limit: str, cause: str
) -> None:
    trusty.script = JobScript(stays="Running", bars=("1/10",))

    def nudge() -> None:
        """Change the job after the limit, so that nobody has to wait for the trigger's next thought."""
        server.wait(lambda: (jobs(server)[0].get("status") or {}).get("progressBars"))
        until = time.monotonic() + 2.2
        server.wait(lambda: time.monotonic() > until)
        name = jobs(server)[0]["metadata"]["name"]
        trusty.server.call(lambda: trusty._status(NAMESPACE, name, message="still here"))

    found, error = play(airflow, nudge, spec=spec(**{limit: 1}))
    assert found["cause"] == cause
    assert limit in str(error)
    server.wait(lambda: not jobs(server))


def test_a_missing_crd_is_explained(airflow: Airflow) -> None:
    airflow.connect(backend="lmevaljob", namespace=NAMESPACE)
    airflow.server.user("airflow", role())
    with pytest.raises(AirflowFailException, match="does not know LMEvalJob: its CRD") as caught:
        airflow.operator().execute(context())
    assert "managementState: Managed" in str(caught.value)


@pytest.mark.parametrize("verb", ["create", "list"])
def test_a_missing_right_is_named_with_its_role(server: KubeServer, airflow: Airflow, verb: str) -> None:
    server.register(LMEVALJOBS)
    rules = [Rule(tuple(set(rule.verbs) - {verb}), rule.resources, rule.namespaces, rule.groups) for rule in role()]
    server.user("airflow", rules)
    airflow.connect(backend="lmevaljob", namespace=NAMESPACE)
    with pytest.raises(AirflowFailException, match=f"Grant the verb '{verb}' on 'lmevaljobs' of API group '{GROUP}'"):
        airflow.operator().execute(context())


def test_what_a_job_cannot_say_is_refused_before_anything_is_created(unattended: KubeServer, airflow: Airflow) -> None:
    with pytest.raises(AirflowFailException, match="samples"):
        airflow.operator(spec=spec(samples={"arc_easy": [1]})).execute(context())
    assert unattended.requests.count("create", "lmevaljobs") == 0


def foreign(server: KubeServer) -> dict[str, Any]:
    job = {
        "model": "hf",
        "modelArgs": [{"name": "pretrained", "value": "/models/tiny"}],
        "taskList": {"taskNames": ["arc_easy"]},
    }
    meta = {"name": "theirs", "namespace": NAMESPACE}
    return server.create(
        {"apiVersion": f"{GROUP}/v1alpha1", "kind": "LMEvalJob", "metadata": meta, "spec": job}, LMEVALJOBS
    )


@pytest.mark.parametrize("deferrable", [True, False])
@pytest.mark.usefixtures("trusty")
def test_a_sensor_waits_for_somebody_elses_job_and_leaves_it(server: KubeServer, deferrable: bool) -> None:
    foreign(server)
    sensor = LMEvalSensor(
        task_id="wait", lmevaljob=f"{NAMESPACE}/theirs", lmeval_conn_id="eval", deferrable=deferrable, poke_interval=0.1
    )
    ctx = context()
    if deferrable:
        with pytest.raises(TaskDeferred) as caught:
            sensor.execute(ctx)
        caught.value.trigger.not_before = 0.0
        found = sensor.resume(ctx, event=fire(caught.value), **caught.value.kwargs)
    else:
        found = sensor.execute(ctx)
    assert found["results"]["arc_easy"]["acc,none"] == 0.9
    assert open_result(found["result_uri"]).succeeded
    (job,) = jobs(server)
    assert job["metadata"]["finalizers"] == [FINALIZER]


@pytest.mark.usefixtures("trusty")
def test_a_sensor_for_a_job_that_is_not_there_says_so() -> None:
    sensor = LMEvalSensor(task_id="wait", lmevaljob="nobodys", lmeval_conn_id="eval")
    with pytest.raises(AirflowException, match=f"there is no LMEvalJob {NAMESPACE}/nobodys"):
        sensor.execute(context())


def test_many_runs_share_one_watch(server: KubeServer, airflow: Airflow, trusty: TrustyAI) -> None:
    import asyncio

    trusty.script = JobScript(results=results())
    tries = [(airflow.operator(task_id=f"evaluate_{n}"), context(task_id=f"evaluate_{n}")) for n in range(5)]
    triggers = [defer(task, ctx).trigger for task, ctx in tries]

    async def all_of_them() -> list[Any]:
        async def first(trigger: Any) -> Any:
            async for event in trigger.run():
                return event.payload["status"]["reason"]

        return await asyncio.gather(*map(first, triggers))

    assert asyncio.run(all_of_them()) == ["Succeeded"] * 5
    assert server.requests.count("watch", "lmevaljobs") == 1
