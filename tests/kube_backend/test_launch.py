"""Starting a pod once: races, retries, clears, reattachment, large requests, refusals."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_lmeval.backends.kubernetes.backend import KubernetesBackend
from airflow_provider_lmeval.hooks.lmeval import LMEvalHook
from airflow_provider_lmeval.plan import Grants, run_id
from airflow_provider_lmeval.spec import EvalSpec
from tests.kube import KubeServer, Script
from tests.kube.kinds import CONFIG_MAPS
from tests.kube_backend.conftest import NAMESPACE, Airflow, context, defer, handle_of, spec

SPEC = EvalSpec.parse(spec())
RUN = run_id("dag", "manual__1", "evaluate", -1, 0, SPEC.content_hash)

LARGE = [{"task": f"t{n}", "doc_to_text": hashlib.sha512(str(n).encode()).hexdigest()} for n in range(600)]
"""Tasks that do not compress."""


def backend() -> KubernetesBackend:
    found = LMEvalHook("eval").get_conn()
    assert isinstance(found, KubernetesBackend)
    return found


def alive(server: KubeServer) -> list[dict[str, Any]]:
    return [pod for pod in server.pods(NAMESPACE) if "deletionTimestamp" not in pod["metadata"]]


@pytest.mark.usefixtures("airflow", "endless")
def test_submitting_again_finds_the_run(server: KubeServer) -> None:
    first = backend().submit(SPEC, RUN, Grants())
    assert backend().submit(SPEC, RUN, Grants()) == first
    assert backend().find(RUN) == first
    assert len(alive(server)) == 1


@pytest.mark.usefixtures("airflow", "endless")
def test_two_tries_that_race_share_one_pod(server: KubeServer) -> None:
    slow = server.faults.slow(0.3, verb="create", resource="pods")
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(backend().submit(SPEC, RUN, Grants()))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    server.faults.lift(slow)
    assert len(alive(server)) == 1
    assert {handle.where["uid"] for handle in found} == {alive(server)[0]["metadata"]["uid"]}


@pytest.mark.usefixtures("airflow")
def test_a_terminating_pod_is_replaced_and_not_adopted(server: KubeServer) -> None:
    server.script(Script(stops=False))
    first = backend().submit(SPEC, RUN, Grants())
    server.wait_for_phase(first.where["pod"], "Running", namespace=NAMESPACE)
    backend().call(lambda api: api.delete_pod(NAMESPACE, first.where["pod"], first.where["uid"]))
    second = backend().submit(SPEC, RUN, Grants())
    assert second.where["pod"] != first.where["pod"]
    assert [pod["metadata"]["uid"] for pod in alive(server)] == [second.where["uid"]]


@pytest.mark.usefixtures("airflow")
def test_a_finished_pod_is_collected_and_a_failed_one_is_not_taken_for_the_run(server: KubeServer) -> None:
    server.script(Script(runs_s=0.05, exit_code=0))
    first = backend().submit(SPEC, RUN, Grants())
    server.wait_for_phase(first.where["pod"], "Succeeded", namespace=NAMESPACE)
    assert backend().submit(SPEC, RUN, Grants()) == first
    backend().release(first)
    server.wait_until_gone(first.where["pod"], namespace=NAMESPACE)
    server.script(Script(runs_s=0.05, exit_code=6))
    failed = backend().submit(SPEC, RUN, Grants())
    server.wait_for_phase(failed.where["pod"], "Failed", namespace=NAMESPACE)
    server.script(Script())
    third = backend().submit(SPEC, RUN, Grants())
    assert third.where["uid"] != failed.where["uid"]
    assert [pod["metadata"]["uid"] for pod in alive(server)] == [third.where["uid"]]


@pytest.mark.usefixtures("endless")
def test_a_cleared_task_replaces_the_run_it_has_left_behind(server: KubeServer, airflow: Airflow) -> None:
    task, first = airflow.operator(), context()
    defer(task, first)
    second = context(max_tries=1)
    defer(airflow.operator(), second)
    server.wait_until_gone(handle_of(first).where["pod"], namespace=NAMESPACE)
    assert [pod["metadata"]["uid"] for pod in alive(server)] == [handle_of(second).where["uid"]]


@pytest.mark.usefixtures("endless")
def test_a_retry_goes_on_with_the_pod_of_the_try_before(server: KubeServer, airflow: Airflow) -> None:
    first, second = context(), context()
    defer(airflow.operator(), first)
    defer(airflow.operator(), second)
    assert handle_of(first) == handle_of(second)
    assert len(alive(server)) == 1


@pytest.mark.usefixtures("endless")
def test_a_large_request_comes_by_a_config_map_and_goes_with_the_pod(server: KubeServer, airflow: Airflow) -> None:
    handle = backend().submit(EvalSpec.parse(spec(tasks=LARGE)), RUN, Grants())
    (found,) = [each for each in server.all(CONFIG_MAPS, NAMESPACE) if each["metadata"]["name"] == handle.where["pod"]]
    assert found["metadata"]["ownerReferences"][0]["uid"] == handle.where["uid"]
    backend().cancel(handle)
    server.wait(
        lambda: not [each for each in server.all(CONFIG_MAPS, NAMESPACE) if each["metadata"].get("ownerReferences")]
    )


def test_an_image_is_asked_for(airflow: Airflow) -> None:
    airflow.connect(image="")
    with pytest.raises(AirflowException, match=r"set `image`"):
        airflow.operator().execute(context())


def test_the_trigger_row_holds_no_secret(airflow: Airflow, server: KubeServer, tmp_path: Path) -> None:
    server.script(Script())
    deferral = defer(airflow.operator(), context())
    text = str(deferral.trigger.serialize()) + str(deferral.kwargs)
    token = next(user.token for user in server.users if user.name == "airflow")
    assert token not in text
    assert "status-secret" not in text
    pod = str(server.pods(NAMESPACE))
    assert "status-secret" not in pod
    assert token not in pod
