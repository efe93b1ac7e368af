"""The server misbehaves when told to, for as long as it was told, and recovers."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import httpx
import pytest

from tests.kube import KubeServer
from tests.kube.conftest import IMAGE, PODS, Client, pod, shell
from tests.kube.kinds import CLAIMS
from tests.kube.kinds import PODS as POD
from tests.kube.processes import Image


@pytest.fixture
def admin(quiet: KubeServer, connect: Client) -> httpx.Client:
    return connect(quiet)


@pytest.mark.parametrize(("code", "reason"), [(500, "InternalError"), (503, "ServiceUnavailable"), (504, "Timeout")])
def test_errors_are_answered_as_often_as_wished(code: int, reason: str, quiet: KubeServer, admin: httpx.Client) -> None:
    fault = quiet.faults.fail(code, verb="list", resource="pods", times=2)
    answers = [admin.get(PODS) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [code, code, 200]
    assert answers[0].json()["reason"] == reason
    assert fault.hits == 2


def test_too_many_requests_says_when_to_come_back(quiet: KubeServer, admin: httpx.Client) -> None:
    quiet.faults.fail(429, retry_after=7, times=1)
    answer = admin.get(PODS)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
    assert answer.text == "Too many requests, please try again later."


def test_only_what_is_meant_is_struck(quiet: KubeServer, admin: httpx.Client) -> None:
    quiet.create(pod("x"))
    quiet.create(pod("y"))
    quiet.faults.fail(500, resource="pods", verb="get", path="/x$")
    assert [admin.get(f"{PODS}/{name}").status_code for name in ("x", "y")] == [500, 200]
    assert admin.get(PODS).status_code == 200
    quiet.faults.lift()
    assert admin.get(f"{PODS}/x").status_code == 200


def test_a_fault_can_last_for_a_time(quiet: KubeServer, admin: httpx.Client) -> None:
    quiet.faults.fail(503, seconds=0.3)
    assert admin.get(PODS).status_code == 503
    quiet.wait(lambda: admin.get(PODS).status_code == 200)


def test_a_faults_time_can_begin_with_the_first_request(quiet: KubeServer, admin: httpx.Client) -> None:
    fault = quiet.faults.fail(503, lasts=0.3)
    assert fault.until is None
    assert admin.get(PODS).status_code == 503
    quiet.wait(lambda: admin.get(PODS).status_code == 200)


def test_a_hanging_server_answers_once_the_fault_is_lifted(quiet: KubeServer, admin: httpx.Client) -> None:
    fault = quiet.faults.hang(resource="pods")
    with pytest.raises(httpx.ReadTimeout):
        admin.get(PODS, timeout=0.2)
    answers: list[int] = []
    waiting = threading.Thread(target=lambda: answers.append(admin.get(PODS).status_code))
    waiting.start()
    quiet.wait(lambda: fault.hits == 2)
    assert answers == []
    quiet.faults.lift(fault)
    waiting.join()
    assert answers == [200]


def test_a_server_can_hang_for_a_time(quiet: KubeServer, admin: httpx.Client) -> None:
    quiet.faults.hang(seconds=0.3)
    started = time.monotonic()
    assert admin.get(PODS).status_code == 200
    assert 0.25 < time.monotonic() - started < 5


def test_a_server_that_hangs_can_be_left(connect: Client) -> None:
    with KubeServer(runs=False) as server:
        server.faults.hang()
        with pytest.raises(httpx.ReadTimeout):
            connect(server).get(PODS, timeout=0.2)


def test_connections_break_and_answers_come_late(quiet: KubeServer, admin: httpx.Client) -> None:
    quiet.faults.reset(times=1)
    with pytest.raises(httpx.TransportError):
        admin.get(PODS)
    quiet.faults.slow(0.3, times=1)
    started = time.monotonic()
    assert admin.get(PODS).status_code == 200
    assert time.monotonic() - started >= 0.3


def test_an_answer_can_be_lost_after_the_deed(quiet: KubeServer, admin: httpx.Client) -> None:
    quiet.faults.lose_answers(verb="create", resource="pods", times=1)
    with pytest.raises(httpx.TransportError):
        admin.post(PODS, json=pod("x"))
    assert admin.get(f"{PODS}/x").status_code == 200


def test_requests_are_counted_with_who_what_and_how_it_went(quiet: KubeServer, admin: httpx.Client) -> None:
    admin.get(PODS)
    admin.get(f"{PODS}/none/log")
    admin.post(PODS, json={})
    assert quiet.requests.count("list", "pods") == quiet.requests.count("get", "pods/log") == 1
    assert quiet.requests.count() == 3
    seen = quiet.requests.log[1]
    assert (seen.user, seen.namespace, seen.name, seen.status) == ("admin", "default", "none", 404)


# -- pods and nodes


@pytest.fixture
def running(server: KubeServer, connect: Client) -> KubeServer:
    """A server with a pod ``x`` that runs and ends quickly when asked."""
    server.create(shell("x", "trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done"))
    client = connect(server)
    server.wait(lambda: client.get(f"{PODS}/x/log").text == "ready\n")
    return server


def events(server: KubeServer, connect: Client, since: str) -> list[dict[str, Any]]:
    query = {"watch": 1, "resourceVersion": since, "timeoutSeconds": 1}
    return [json.loads(line) for line in connect(server).get(PODS, params=query).text.splitlines()]


@pytest.mark.parametrize(("how", "reason"), [("preempt", "PreemptionByScheduler"), ("evict", "EvictionByEvictionAPI")])
def test_a_disrupted_pod_says_why_before_it_goes(how: str, reason: str, running: KubeServer, connect: Client) -> None:
    since = running.pods()[0]["metadata"]["resourceVersion"]
    getattr(running.faults, how)("x")
    running.wait_until_gone("x")
    last = events(running, connect, since)[-1]
    conditions = {one["type"]: one.get("reason") for one in last["object"]["status"]["conditions"]}
    assert (last["type"], conditions["DisruptionTarget"]) == ("DELETED", reason)
    assert last["object"]["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 0


def test_a_finalizer_keeps_a_disrupted_pods_status(running: KubeServer, connect: Client) -> None:
    client = connect(running)
    headers = {"Content-Type": "application/merge-patch+json"}
    hold = '{"metadata": {"finalizers": ["test/keep"]}}'
    client.patch(f"{PODS}/x", content=hold, headers=headers)
    running.faults.evict("x")
    found = running.wait_for_phase("x", "Succeeded", "Failed")
    running.wait(lambda: (running.pod("x") or {"metadata": {}})["metadata"].get("deletionGracePeriodSeconds") == 0)
    assert found["status"]["conditions"][-1]["type"] == "DisruptionTarget"
    client.patch(f"{PODS}/x", content='{"metadata": {"finalizers": null}}', headers=headers)
    assert running.pod("x") is None


def test_a_lost_nodes_pods_stay_running_and_their_deletion_hangs(running: KubeServer, connect: Client) -> None:
    client = connect(running)
    running.faults.lose_node()
    assert client.get(f"{PODS}/x/log").status_code == 500
    node = client.get("/api/v1/nodes/node1").json()
    assert [one["status"] for one in node["status"]["conditions"] if one["type"] == "Ready"] == ["Unknown"]
    client.delete(f"{PODS}/x")
    time_given = time.monotonic() + 1.5  # longer than the pod's grace
    running.wait(lambda: time.monotonic() > time_given)
    found = running.pod("x")
    assert found is not None
    assert (found["status"]["phase"], "deletionTimestamp" in found["metadata"]) == ("Running", True)
    running.create(pod("y"))
    running.wait(lambda: "conditions" in (running.pod("y") or {"status": {}})["status"])
    assert running.phase("y") == "Pending"
    running.faults.restore_node()
    running.wait_until_gone("x")
    running.wait_for_phase("y", "Running")


def test_a_pod_that_does_not_tolerate_a_lost_node_is_deleted_by_taint(server: KubeServer) -> None:
    patience = {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"}
    server.create(pod("x", tolerations=[{**patience, "tolerationSeconds": 0}]))
    server.wait_for_phase("x", "Running")
    server.faults.lose_node()
    server.wait(lambda: "deletionTimestamp" in (server.pod("x") or {"metadata": {}})["metadata"])
    conditions = {one["type"]: one.get("reason") for one in server.pods()[0]["status"]["conditions"]}
    assert conditions["DisruptionTarget"] == "DeletionByTaintManager"


def test_pods_wait_until_they_are_scheduled(server: KubeServer) -> None:
    server.faults.never_schedule()
    server.create(pod("x"))
    server.wait(lambda: "conditions" in (server.pod("x") or {"status": {}})["status"])
    assert server.pods()[0]["status"]["conditions"][0]["message"].startswith(
        "0/1 nodes are available: 1 Insufficient nvidia.com/gpu. "
    )
    server.faults.never_schedule(None)
    server.wait_for_phase("x", "Running")


def test_gpus_are_handed_out_one_pod_at_a_time() -> None:
    with KubeServer({IMAGE: Image()}, capacity={"nvidia.com/gpu": "1"}) as server:
        for name in ("one", "two"):
            server.create(shell(name, "sleep 1", container={"resources": {"limits": {"nvidia.com/gpu": "1"}}}))
        server.wait_for_phase("one", "Running")
        assert server.phase("two") == "Pending"
        server.wait_for_phase("two", "Succeeded")


def test_a_pull_fails_until_the_image_is_there_again(server: KubeServer) -> None:
    image = server.images[IMAGE]
    server.faults.lose_image(IMAGE)
    server.create(pod("x", "true"))
    server.wait(lambda: "ImagePullBackOff" in str(server.pod("x")))
    server.images[IMAGE] = image
    server.wait_for_phase("x", "Succeeded")


def test_a_pod_waits_for_a_claim_that_is_pending(server: KubeServer) -> None:
    server.faults.no_storage_class()
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    server.create({"metadata": {"name": "results"}, "spec": wanted}, CLAIMS)
    server.create(pod("x", volumes=[{"name": "r", "persistentVolumeClaim": {"claimName": "results"}}]))
    server.wait(lambda: "pod has unbound immediate PersistentVolumeClaims" in str(server.pod("x")))
    assert server.phase("x") == "Pending"


def test_a_deleted_namespace_ends_its_pods(server: KubeServer) -> None:
    made = pod("x", "sleep", "4323")
    server.create({**made, "metadata": {"name": "x", "namespace": "rec"}})
    server.wait_for_phase("x", "Running", namespace="rec")
    server.faults.delete_namespace("rec")
    server.wait(lambda: not server.all(POD, "rec"))
