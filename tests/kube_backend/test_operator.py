"""What users of KubernetesPodOperator know holds: arguments, templates, labels, callbacks, secrets, the fate of pods."""

from __future__ import annotations

import time
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from airflow.providers.cncf.kubernetes.callbacks import KubernetesPodOperatorCallback
from airflow.providers.cncf.kubernetes.secret import Secret
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, TaskDeferred
from kubernetes.client import models as k8s

from airflow_provider_lmeval.backends.kubernetes.backend import KubernetesBackend
from airflow_provider_lmeval.backends.kubernetes.reap import orphans, reap
from airflow_provider_lmeval.backends.kubernetes.view import PodView
from airflow_provider_lmeval.errors import SpecError
from airflow_provider_lmeval.hooks.lmeval import LMEvalHook
from airflow_provider_lmeval.operators.kubernetes.pod import EvalPodOperator
from airflow_provider_lmeval.plan import run_id
from airflow_provider_lmeval.plan.pod import MANAGER, MAX_TRIES, SELECTOR
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.wire_pod import unpack_request
from tests.kube import KubeServer, Script
from tests.kube_backend import pods
from tests.kube_backend.acts import Worker
from tests.kube_backend.conftest import IMAGE, NAMESPACE, Airflow, context, defer, finish, fire, handle_of, spec

RUN = run_id("dag", "manual__1", "evaluate", -1, 0, EvalSpec.parse(spec()).content_hash)
GOOD = pods.document(RUN)


@pytest.fixture
def good(server: KubeServer) -> None:
    server.script(Script(runs_s=0.2, log=pods.log(RUN, GOOD), message=pods.last_words(RUN, GOOD)))


def started(
    server: KubeServer, airflow: Airflow, ctx: dict[str, Any] | None = None, **kubernetes: Any
) -> dict[str, Any]:
    """Start a run and return its pod."""
    defer(airflow.operator(kubernetes=kubernetes), ctx or context())
    (pod,) = server.pods(NAMESPACE)
    return pod


def base(pod: dict[str, Any]) -> dict[str, Any]:
    return pod["spec"]["containers"][0]


def env(pod: dict[str, Any]) -> dict[str, Any]:
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in base(pod)["env"]}


@pytest.mark.usefixtures("endless")
def test_its_labels_are_there_beside_ours(server: KubeServer, airflow: Airflow) -> None:
    meta = started(server, airflow, labels={"team": "llm"}, annotations={"note": "x"}, name="My_Eval")["metadata"]
    assert meta["labels"]["team"] == "llm"
    assert meta["labels"]["kubernetes_pod_operator"] == "True"
    assert (meta["labels"]["dag_id"], meta["labels"]["task_id"]) == ("dag", "evaluate")
    assert meta["labels"]["app.kubernetes.io/managed-by"] == MANAGER
    assert meta["annotations"]["note"] == "x"
    assert meta["annotations"][MAX_TRIES] == "0"
    assert meta["name"].startswith("my-eval-")


@pytest.mark.usefixtures("endless")
def test_its_arguments_and_ours_make_one_pod(server: KubeServer, airflow: Airflow) -> None:
    pod = started(
        server,
        airflow,
        env_vars={"MINE": "1", "HF_HOME": "/models"},
        volumes=[k8s.V1Volume(name="scratch", empty_dir=k8s.V1EmptyDirVolumeSource())],
        volume_mounts=[k8s.V1VolumeMount(name="scratch", mount_path="/tmp")],
        container_resources=k8s.V1ResourceRequirements(limits={"cpu": "2"}),
        init_containers=[k8s.V1Container(name="first", image=IMAGE, command=["true"])],
        tolerations=[k8s.V1Toleration(key="gpu", operator="Exists")],
        secrets=[Secret("env", "HF_TOKEN", "hub", "token")],
        memory="1Gi",
        driver="copy",
        driver_image=IMAGE,
    )
    assert env(pod)["MINE"] == "1"
    assert [each["name"] for each in base(pod)["env"]].count("HF_HOME") == 1
    assert env(pod)["HF_HOME"] == "/models"
    assert env(pod)["HF_TOKEN"]["secretKeyRef"]["name"] == "hub"
    assert [each["name"] for each in base(pod)["volumeMounts"] if each["mountPath"] == "/tmp"] == ["scratch"]
    assert base(pod)["resources"]["limits"] == {"cpu": "2", "memory": "1Gi"}
    assert [each["name"] for each in pod["spec"]["initContainers"]] == ["lmeval-driver", "first"]
    assert all("securityContext" in each for each in pod["spec"]["initContainers"])
    assert pod["spec"]["tolerations"][0]["key"] == "gpu"


@pytest.mark.usefixtures("endless")
def test_a_template_and_a_full_spec_are_completed(server: KubeServer, airflow: Airflow) -> None:
    template = {
        "metadata": {"labels": {"from": "template"}},
        "spec": {
            "containers": [{"name": "base", "image": IMAGE}, {"name": "sidecar", "image": IMAGE}],
            "hostname": "host",
        },
    }
    full = k8s.V1Pod(metadata=k8s.V1ObjectMeta(labels={"and": "spec"}), spec=k8s.V1PodSpec(containers=[]))
    pod = started(server, airflow, pod_template_dict=template, full_pod_spec=full)
    assert pod["metadata"]["labels"]["from"] == "template"
    assert pod["metadata"]["labels"]["and"] == "spec"
    assert pod["spec"]["hostname"] == "host"
    assert [each["name"] for each in pod["spec"]["containers"]] == ["base", "sidecar"]
    assert "LMEVAL_REQUEST" in env(pod)


@pytest.mark.usefixtures("endless")
def test_templates_are_rendered_once(server: KubeServer, airflow: Airflow) -> None:
    task = airflow.operator(
        kubernetes={"env_vars": {"RUN": "{{ run_id }}"}, "claims": [{"claim": "{{ run_id }}", "path": "/x"}]},
        spec=spec(env={"TEXT": "{{ '{{' }} run_id }}"}),
    )
    ctx = context(run_id="r-1")
    task.render_template_fields(ctx)
    defer(task, ctx)
    (pod,) = server.pods(NAMESPACE)
    assert env(pod)["RUN"] == "r-1"
    assert [each["persistentVolumeClaim"] for each in pod["spec"]["volumes"] if "persistentVolumeClaim" in each] == [
        {"claimName": "r-1"}
    ]
    assert unpack_request(env(pod)["LMEVAL_REQUEST"]).env == {"TEXT": "{{ run_id }}"}


@pytest.mark.usefixtures("endless")
def test_defaults_of_the_dag_reach_the_pod(server: KubeServer, airflow: Airflow) -> None:
    ctx = context()
    ctx["dag"] = SimpleNamespace(dag_id="dag", parent_dag=None, default_args={"labels": {"from": "dag"}, "retries": 3})
    assert started(server, airflow, ctx)["metadata"]["labels"]["from"] == "dag"


def test_an_argument_that_nobody_knows_is_named(airflow: Airflow) -> None:
    with pytest.raises(AirflowFailException, match="memroy"):
        airflow.operator(kubernetes={"memroy": "1Gi"}).execute(context())


@pytest.mark.parametrize("name", ["cmds", "do_xcom_push", "deferrable"])
def test_an_argument_without_a_use_is_refused_when_the_file_is_parsed(airflow: Airflow, name: str) -> None:
    with pytest.raises(SpecError, match=f"kubernetes.{name}"):
        airflow.operator(kubernetes={name: True})


def test_a_wrong_pod_setting_is_refused_when_the_file_is_parsed(airflow: Airflow) -> None:
    with pytest.raises(SpecError, match=r"kubernetes\.gpu"):
        airflow.operator(kubernetes={"gpu": -1})


CALLED: list[str] = []


class Callbacks(KubernetesPodOperatorCallback):
    """Writes down what is called."""

    @staticmethod
    def on_pod_manifest_created(*, pod_request: Any, **kwargs: Any) -> None:
        CALLED.append(f"manifest {pod_request.metadata.labels['task_id']}")

    @staticmethod
    def on_pod_creation(*, pod: Any, **kwargs: Any) -> None:
        CALLED.append(f"creation {pod.metadata.uid is not None}")

    @staticmethod
    def on_pod_completion(*, pod: Any, **kwargs: Any) -> None:
        CALLED.append(f"completion {pod.status.container_statuses[0].state.terminated.exit_code}")

    @staticmethod
    def on_pod_teardown(*, pod: Any, **kwargs: Any) -> None:
        CALLED.append("teardown")

    @staticmethod
    def on_pod_cleanup(*, pod: Any, **kwargs: Any) -> None:
        CALLED.append("cleanup")


@pytest.mark.usefixtures("good")
def test_callbacks_are_called_in_their_order(airflow: Airflow) -> None:
    CALLED.clear()
    task, ctx = airflow.operator(kubernetes={"callbacks": Callbacks}), context()
    deferral = defer(task, ctx)
    finish(task, ctx, deferral, fire(deferral))
    assert CALLED == ["manifest evaluate", "creation True", "completion 0", "teardown", "cleanup"]


@pytest.mark.usefixtures("good")
def test_it_can_stand_in_a_dag_itself(server: KubeServer, airflow: Airflow) -> None:
    task = EvalPodOperator(
        task_id="evaluate", spec=spec(), lmeval_conn_id="eval", pod_settings={"memory": "1Gi"}, image=IMAGE
    )
    ctx = context()
    with pytest.raises(TaskDeferred) as caught:
        task.execute(ctx)
    caught.value.trigger.not_before = 0.0
    assert caught.value.method_name == "trigger_reentry"
    assert base(server.pods(NAMESPACE)[0])["resources"]["limits"]["memory"] == "1Gi"
    found = task.trigger_reentry(ctx, event=fire(caught.value), **caught.value.kwargs)
    assert found["reason"] == "Succeeded"
    assert ctx["ti"].xcoms["pod_namespace"] == NAMESPACE


@pytest.mark.usefixtures("endless")
def test_a_task_killed_while_it_waits_deletes_its_pod(server: KubeServer, airflow: Airflow) -> None:
    task, ctx = airflow.operator(deferrable=False, poll_interval=0.1), context()
    worker = Worker(lambda: task.execute(ctx))
    server.wait(lambda: "handle" in ctx["ti"].xcoms)
    task.on_kill()
    with pytest.raises(AirflowException):
        worker.join()
    server.wait(lambda: not server.pods(NAMESPACE))


@pytest.mark.usefixtures("endless")
def test_on_kill_action_keeps_the_pod(server: KubeServer, airflow: Airflow) -> None:
    task, ctx = airflow.operator(kubernetes={"on_kill_action": "keep_pod"}), context()
    deferral = defer(task, ctx)
    task.on_kill()
    server.wait_for_phase(handle_of(ctx).where["pod"], "Running", namespace=NAMESPACE)
    assert deferral.trigger.handle["where"]["keep_on_kill"] is True


@pytest.mark.usefixtures("endless")
def test_execution_timeout_keeps_the_pods_object_if_asked(server: KubeServer, airflow: Airflow) -> None:
    task = airflow.operator(execution_timeout=timedelta(seconds=1.5), kubernetes={"on_finish_action": "keep_pod"})
    ctx = context()
    deferral = defer(task, ctx)
    event = fire(deferral)
    assert event["timed_out"]
    with pytest.raises(AirflowException, match="execution_timeout"):
        finish(task, ctx, deferral, event)
    server.wait(lambda: [pod["status"].get("phase") for pod in server.pods(NAMESPACE)] == ["Failed"])


@pytest.mark.usefixtures("endless")
def test_a_trigger_that_crashes_is_replaced_twice_then_the_pod_goes(server: KubeServer, airflow: Airflow) -> None:
    task, ctx = airflow.operator(), context()
    defer(task, ctx)
    for _ in range(2):
        with pytest.raises(TaskDeferred):
            airflow.operator().resume_execution("__fail__", {"error": "Trigger failure"}, ctx)
    assert len(server.pods(NAMESPACE)) == 1
    with pytest.raises(Exception, match="Trigger failure"):
        airflow.operator().resume_execution("__fail__", {"error": "Trigger failure"}, ctx)
    server.wait(lambda: not server.pods(NAMESPACE))


@pytest.mark.usefixtures("endless")
def test_a_pod_whose_task_has_ended_is_reaped(server: KubeServer, airflow: Airflow) -> None:
    ctx = context()
    defer(airflow.operator(), ctx)
    owner = ("dag", "manual__1", "evaluate", "-1")
    backend = cast("KubernetesBackend", LMEvalHook("eval").get_conn())
    (view,) = backend.call(lambda api: api.list_pods(NAMESPACE, SELECTOR))[0]
    old = PodView.of(view | {"metadata": view["metadata"] | {"creationTimestamp": "2020-01-01T00:00:00Z"}})
    assert old.owner == owner
    assert reap(backend, lambda owners: dict.fromkeys(owners, "failed"), ttl_s=0) == []  # too young
    assert orphans([old], {owner: "failed"}, now=time.time(), ttl_s=0)[0].view.uid == handle_of(ctx).where["uid"]


@pytest.mark.usefixtures("endless")
def test_a_run_that_outlives_its_task_has_no_owner(server: KubeServer, airflow: Airflow) -> None:
    airflow.operator(wait_for_completion=False).execute(context())
    (pod,) = server.pods(NAMESPACE)
    assert PodView.of(pod).owner == ()


@pytest.mark.usefixtures("endless")
def test_its_own_time_limits_are_ours(server: KubeServer, airflow: Airflow) -> None:
    ctx = context()
    limits = {"startup_timeout_seconds": 77, "schedule_timeout_seconds": 88, "termination_grace_period": 5}
    pod = started(server, airflow, ctx, **limits)
    assert handle_of(ctx).where["limits"][:2] == [88.0, 77.0]
    assert (pod["spec"]["terminationGracePeriodSeconds"], env(pod)["LMEVAL_GRACE_S"]) == (5, "5")
