"""The server answers as a real Kubernetes 1.36 did."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.kube import KubeServer
from tests.kube.conftest import Client
from tests.kube.conftest import shell as pod_of
from tests.kube.kinds import CONFIG_MAPS, NAMESPACES, QUOTAS
from tests.kube.recorded import DATA, compare, exchanges, replay

REC = "/api/v1/namespaces/rec/pods"
ENDLESS = "while :; do sleep 0.1; done"


def rec(name: str, script: str = "sleep 60", **spec: Any) -> dict[str, Any]:
    """Return a pod as the recordings have them."""
    container = {"imagePullPolicy": "Never", **spec.pop("container", {})}
    made = pod_of(name, script, terminationGracePeriodSeconds=5, automountServiceAccountToken=False, **spec)
    made["spec"]["containers"][0] |= container
    made["metadata"]["namespace"] = "rec"
    return made


@pytest.mark.parametrize("name", ["version", "not-found", "invalid", "forbidden", "watch-too-old"])
def test_answers_that_need_no_pod_are_the_recorded_ones(name: str, quiet: KubeServer, connect: Client) -> None:
    for exchange in exchanges(name):
        if name == "watch-too-old" and exchange["status"] == 200:
            continue  # a stream, below
        replay(connect(quiet), exchange)


def test_a_watch_that_is_too_old_is_told_so_inside_an_answer_of_200(quiet: KubeServer, connect: Client) -> None:
    recorded = exchanges("watch-too-old")[0]
    answer = connect(quiet).get(recorded["request"]["path"])
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    (line,) = answer.text.splitlines()
    event = json.loads(line)
    assert event["object"].pop("message").startswith("too old resource version: 1 (")
    del recorded["body"][0]["object"]["message"]
    assert [event] == recorded["body"]


def test_a_name_is_taken_while_its_pod_exists(server: KubeServer, admin: httpx.Client) -> None:
    server.create(rec("ok"))
    replay(admin, exchanges("conflict")[0])
    server.wait_for_phase("ok", "Running", namespace="rec")
    admin.delete(f"{REC}/ok")
    replay(admin, exchanges("conflict")[0])


def test_pod_security_and_quotas_refuse_in_the_recorded_words(server: KubeServer, admin: httpx.Client) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    server.create({"metadata": {"name": "rec-r", "labels": labels}}, NAMESPACES)
    server.create({"metadata": {"name": "rec-q"}}, NAMESPACES)
    server.create({"metadata": {"name": "q", "namespace": "rec-q"}, "spec": {"hard": {"pods": "0"}}}, QUOTAS)
    replay(admin, exchanges("pod-security-restricted")[0])
    replay(admin, exchanges("quota")[0])


def test_a_pod_from_its_creation_to_its_end_and_in_a_list(server: KubeServer, admin: httpx.Client) -> None:
    created, finished, listed = exchanges("pod-lifecycle")
    replay(admin, created)
    server.wait_for_phase("ok", "Succeeded", namespace="rec")
    replay(admin, finished)
    replay(admin, listed)
    for exchange in exchanges("patch"):
        replay(admin, exchange)


def test_a_log_before_the_start_and_after_the_end(server: KubeServer, admin: httpx.Client) -> None:
    before, *after = exchanges("log")
    late = [{"name": "late", "configMap": {"name": "late"}}]
    server.create(rec("ok", "echo hello; sleep 0.1; echo err >&2", volumes=late))
    server.wait(lambda: "containerStatuses" in (server.pod("ok", "rec") or {})["status"])
    replay(admin, before)
    server.create({"metadata": {"name": "late", "namespace": "rec"}}, CONFIG_MAPS)
    server.wait_for_phase("ok", "Succeeded", namespace="rec")
    for exchange in after:
        if "timestamps" in exchange["request"]["path"]:
            lines = admin.get(exchange["request"]["path"]).text.splitlines()
            assert [line.split()[1] for line in lines] == ["hello", "err"]
            assert [len(line.split()[0]) for line in lines] == [30, 30]
        else:
            replay(admin, exchange)


def test_a_failure_is_told_by_the_containers_exit_code(server: KubeServer, admin: httpx.Client) -> None:
    server.create(rec("fail", "echo why >&2; exit 3"))
    server.wait_for_phase("fail", "Failed", namespace="rec")
    replay(admin, exchanges("exit-code")[0])


def test_oom_is_told_of_the_container_also_when_only_a_child_was_killed(
    server: KubeServer, admin: httpx.Client
) -> None:
    limits = {"resources": {"limits": {"memory": "60Mi"}, "requests": {"memory": "60Mi"}}}
    server.create(rec("oom", "python3 -c 'import time; time.sleep(60)'; exit $?", container=limits))
    server.create(rec("oom1", "exec python3 -c 'import time; time.sleep(60)'", container=limits))
    for name in ("oom", "oom1"):
        server.wait_for_phase(name, "Running", namespace="rec")
    server.wait(lambda: _has_child(server, "oom"))
    server.faults.oom_kill("oom", "rec", child=True)
    server.faults.oom_kill("oom1", "rec")
    for exchange, name in zip(exchanges("oom"), ("oom", "oom1"), strict=True):
        server.wait_for_phase(name, "Failed", namespace="rec")
        replay(admin, exchange)


def _has_child(server: KubeServer, name: str) -> bool:
    pod = server.pod(name, "rec")
    assert pod is not None
    return len(server.cluster.workers[pod["metadata"]["uid"]].runners["base"].current.processes()) > 1


def test_a_deadline_ends_a_pod_with_its_reason(server: KubeServer, admin: httpx.Client) -> None:
    made = rec("deadline", "sleep 100")
    made["spec"]["terminationGracePeriodSeconds"] = 1
    server.create(made)
    _set_deadline(server, admin, "deadline")
    server.wait_for_phase("deadline", "Failed", namespace="rec")
    replay(admin, exchanges("deadline")[0])


def _set_deadline(server: KubeServer, admin: httpx.Client, name: str) -> None:
    """Let a pod's time be over soon, but not before it runs, however slow this machine is."""
    server.wait_for_phase(name, "Running", namespace="rec")
    content, headers = '{"spec": {"activeDeadlineSeconds": 1}}', {"Content-Type": "application/merge-patch+json"}
    assert admin.patch(f"{REC}/{name}", content=content, headers=headers).status_code == 200


def test_images_that_are_missing(server: KubeServer, admin: httpx.Client) -> None:
    never, pull = exchanges("image")
    absent = {"image": "localhost/absent:1"}
    server.create(rec("noimage", container=absent))
    server.create(rec("pull", container={**absent, "imagePullPolicy": "Always"}))
    for exchange, name, reason in ((never, "noimage", "ErrImageNeverPull"), (pull, "pull", "ErrImagePull")):
        server.wait(lambda name=name, reason=reason: _waits(server, name) == reason)
        found = admin.get(f"{REC}/{name}").json()
        for body in (exchange["body"], found):  # why a registry fails differs
            waiting = body["status"]["containerStatuses"][0]["state"]["waiting"]
            waiting["message"] = waiting["message"].partition(": failed to do request")[0].partition(": localhost/")[0]
        compare(exchange["body"], found)
    server.wait(lambda: _waits(server, "pull") == "ImagePullBackOff")


def _waits(server: KubeServer, name: str) -> str | None:
    statuses = (server.pod(name, "rec") or {"status": {}})["status"].get("containerStatuses") or [{"state": {}}]
    reason: str | None = statuses[0]["state"].get("waiting", {}).get("reason")
    return reason


def test_a_pod_that_no_node_takes(server: KubeServer, admin: httpx.Client) -> None:
    resources = {"resources": {"limits": {"nvidia.com/gpu": "1"}}}
    server.create(rec("unsched", container=resources))
    server.wait(lambda: "conditions" in (server.pod("unsched", "rec") or {})["status"])
    (exchange,) = exchanges("unschedulable")
    message = exchange["body"]["status"]["conditions"][0]
    message["message"] = message["message"].replace("0/2", "0/1").replace("2 Pre", "1 Pre")  # this cluster has one node
    message["message"] = message["message"].replace(", 1 node(s) were unschedulable", "")
    replay(admin, exchange)


def test_eviction_and_deletion_go_through_their_grace(server: KubeServer, admin: httpx.Client) -> None:
    server.create(rec("http", ENDLESS))
    server.create(rec("del", f"trap 'sleep 0.3; exit 0' TERM; echo ready; {ENDLESS}"))
    for name in ("http", "del"):
        server.wait_for_phase(name, "Running", namespace="rec")
    server.wait(lambda: admin.get(f"{REC}/del/log").text == "ready\n")
    evicted, terminating, evicted_gone = exchanges("eviction")
    deleted, still, gone, again = exchanges("delete")
    replay(admin, evicted)
    replay(admin, terminating)
    replay(admin, deleted)
    replay(admin, still)
    server.wait_until_gone("del", "rec")
    replay(admin, gone)
    replay(admin, again)
    admin.delete(f"{REC}/http", params={"gracePeriodSeconds": 0})
    replay(admin, evicted_gone)


def test_the_proxy_passes_answers_and_tells_what_it_cannot_reach(server: KubeServer, admin: httpx.Client) -> None:
    files = 'mkdir v1; echo -n \'{"state": "Running"}\' > v1/status; exec python3 -m http.server 8080'
    server.create(rec("http", f"cd $(mktemp -d); {files}", container={"imagePullPolicy": "Never"}))
    server.create(rec("ok", "true"))
    server.wait_for_phase("ok", "Succeeded", namespace="rec")
    server.wait(lambda: admin.get(f"{REC}/http:8080/proxy/").status_code == 200)
    for exchange in exchanges("proxy"):
        replay(admin, exchange)


def test_the_comparison_notices_what_differs() -> None:
    (recorded,) = exchanges("exit-code")
    different = json.loads(json.dumps(recorded["body"]))
    compare(recorded["body"], different)
    different["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] = 4
    with pytest.raises(AssertionError, match="exitCode"):
        compare(recorded["body"], different)
    with pytest.raises(AssertionError, match="uid"):
        compare(recorded["body"], {**recorded["body"], "metadata": {**recorded["body"]["metadata"], "uid": "x"}})


GRACE = 1
SCRIPTS = {
    "ok": "echo hello; sleep 0.3; printf done > /dev/termination-log",
    "fail": "exit 3",
    "deadline": ENDLESS,
    "http": ENDLESS,
    "del": f"trap 'exit 0' TERM; echo ready; {ENDLESS}",
}


def test_a_watch_shows_the_recorded_events_in_their_order(server: KubeServer, admin: httpx.Client) -> None:
    recording = json.loads((DATA / "watch.json").read_text())
    start = admin.get(REC).json()["metadata"]["resourceVersion"]
    for name, script in SCRIPTS.items():
        made = rec(name, script)
        made["spec"]["terminationGracePeriodSeconds"] = GRACE
        server.create(made)
    server.create(rec("noimage", container={"image": "localhost/absent:1"}))
    _set_deadline(server, admin, "deadline")
    server.wait_for_phase("http", "Running", namespace="rec")
    server.wait(lambda: admin.get(f"{REC}/del/log").text == "ready\n")
    admin.post(
        f"{REC}/http/eviction", json={"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "http"}}
    )
    admin.delete(f"{REC}/del")
    for name, end in (("ok", "Succeeded"), ("fail", "Failed"), ("deadline", "Failed")):
        server.wait_for_phase(name, end, namespace="rec")
    server.wait_until_gone("http", "rec", timeout=15)
    query = {"watch": "true", "resourceVersion": start, "timeoutSeconds": 1}
    seen: dict[str, list[Any]] = {}
    for line in admin.get(REC, params=query).text.splitlines():
        event = json.loads(line)
        events = seen.setdefault(event["object"]["metadata"]["name"], [])
        if not events or events[-1] != _essence(event):
            events.append(_essence(event))
    for name, events in seen.items():
        assert events == [_hurried(event) for event in recording["pods"][name]], name
    assert {*SCRIPTS, "noimage"} == set(seen)


def _hurried(event: dict[str, Any]) -> dict[str, Any]:
    """Return a recorded event as if the pod had had as little grace as here."""
    return event | ({"terminating": GRACE} if event.get("terminating") else {})


def _essence(event: dict[str, Any]) -> dict[str, Any]:
    """Return of an event what the fixture keeps of the recorded ones."""
    found = event["object"]
    status, metadata = found["status"], found["metadata"]
    states = (status.get("containerStatuses") or [{"state": {}}])[0]["state"]
    state = ""
    for name, about in states.items():
        words = [about.get("reason"), about.get("exitCode")]
        state = name if name == "running" else " ".join([name, *(str(word) for word in words if word is not None)])
    conditions = {
        one["type"]: f"{one['status']} {one['reason']}" if "reason" in one else one["status"]
        for one in status.get("conditions", [])
    }
    essence = {"type": event["type"], "phase": status["phase"], "state": state, "conditions": conditions}
    essence |= {"reason": status["reason"]} if "reason" in status else {}
    essence |= {"terminating": metadata["deletionGracePeriodSeconds"]} if "deletionTimestamp" in metadata else {}
    return essence | ({"address": True} if "podIP" in status else {})
