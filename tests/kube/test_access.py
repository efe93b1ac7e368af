"""Who may do what: tokens, rules, admission by namespace."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.kube import KubeServer, Rule
from tests.kube.conftest import PODS, Client, pod
from tests.kube.kinds import NAMESPACES, QUOTAS

DRIVER_ROLE = (
    Rule(("get", "list", "watch", "create", "patch", "delete"), ("pods",), ("default",)),
    Rule(("get",), ("pods/log", "pods/proxy"), ("default",)),
)


def test_a_wrong_token_is_unauthorized_and_none_is_anonymous(quiet: KubeServer, connect: Client) -> None:
    client = connect(quiet, None)
    wrong = client.get(PODS, headers={"Authorization": "Bearer nobody"})
    assert (wrong.status_code, wrong.json()["message"]) == (401, "Unauthorized")
    none = client.get(PODS)
    assert (none.status_code, 'User "system:anonymous" cannot list' in none.json()["message"]) == (403, True)
    assert client.get("/version").json()["minor"] == "36"
    assert client.get("/readyz").text == "ok"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", PODS, True),
        ("GET", f"{PODS}?watch=1&resourceVersion=1", True),
        ("GET", f"{PODS}/x/log", True),
        ("GET", f"{PODS}/x:80/proxy/v1", True),
        ("HEAD", f"{PODS}/x:80/proxy/v1", True),
        ("POST", f"{PODS}/x:80/proxy/v1", False),
        ("PUT", f"{PODS}/x:80/proxy/v1", False),
        ("DELETE", f"{PODS}/x:80/proxy/v1", False),
        ("PATCH", f"{PODS}/x/status", False),
        ("POST", f"{PODS}/x/eviction", False),
        ("DELETE", PODS, False),
        ("GET", "/api/v1/pods", False),
        ("GET", "/api/v1/namespaces/rec/pods", False),
        ("GET", "/api/v1/nodes/node1", False),
        ("GET", "/api/v1/namespaces/default/secrets/s", False),
    ],
)
def test_rules_decide_by_verb_subresource_and_namespace(
    method: str, path: str, allowed: bool, quiet: KubeServer, connect: Client
) -> None:
    quiet.user("airflow", DRIVER_ROLE)
    answer = connect(quiet, "airflow").request(method, path)
    assert (answer.status_code != 403) is allowed
    if not allowed:
        assert 'User "airflow" cannot ' in answer.json()["message"]


def test_rights_can_be_taken_from_a_user_who_keeps_the_token(quiet: KubeServer, connect: Client) -> None:
    quiet.user("airflow", DRIVER_ROLE)
    client = connect(quiet, "airflow")
    assert client.get(PODS).status_code == 200
    quiet.user("airflow")
    assert client.get(PODS).status_code == 403


def test_one_can_ask_what_one_may_do(quiet: KubeServer, connect: Client) -> None:
    quiet.user("airflow", DRIVER_ROLE)
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    quiet.user("airflow", [*DRIVER_ROLE, Rule(("create",), ("selfsubjectaccessreviews",))])

    def ask(verb: str, resource: str, **more: str) -> bool:
        attributes = {"verb": verb, "resource": resource, "namespace": "default", **more}
        answer = connect(quiet, "airflow").post(path, json={"spec": {"resourceAttributes": attributes}})
        assert answer.status_code == 201
        allowed: bool = answer.json()["status"]["allowed"]
        return allowed

    assert ask("create", "pods")
    assert ask("get", "pods", subresource="proxy")
    assert not ask("create", "pods", subresource="exec")
    assert not ask("get", "pods", namespace="rec")


def secured() -> dict[str, Any]:
    context = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    profile = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    return pod("x", container={"securityContext": context}, securityContext=profile)


def test_a_restricted_namespace_takes_what_is_restricted(quiet: KubeServer, connect: Client) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    quiet.create({"metadata": {"name": "safe", "labels": labels}}, NAMESPACES)
    client = connect(quiet)
    path = "/api/v1/namespaces/safe/pods"
    assert client.post(path, json=secured()).status_code == 201
    init = secured()
    init["metadata"]["name"] = "y"
    init["spec"]["initContainers"] = [{"name": "init", "image": "x:1"}]
    assert 'container "init" must set' in refusal(client.post(path, json=init))
    host = secured()
    host["spec"]["volumes"] = [{"name": "data", "hostPath": {"path": "/data"}}]
    message = refusal(client.post(path, json=host))
    assert 'restricted volume types (volume "data" uses restricted volume type "hostPath")' in message


def refusal(answer: httpx.Response) -> str:
    assert answer.status_code == 403
    message: str = answer.json()["message"]
    return message


def test_a_quota_counts_what_runs(quiet: KubeServer, connect: Client) -> None:
    quiet.create({"metadata": {"name": "gpus"}, "spec": {"hard": {"requests.nvidia.com/gpu": "2"}}}, QUOTAS)
    client = connect(quiet)

    def post(name: str) -> httpx.Response:
        return client.post(PODS, json=pod(name, container={"resources": {"limits": {"nvidia.com/gpu": "1"}}}))

    assert [post(name).status_code for name in ("a", "b")] == [201, 201]
    words = "exceeded quota: gpus, requested: requests.nvidia.com/gpu=1, used: requests.nvidia.com/gpu=2"
    assert words in refusal(post("c"))
    client.delete(f"{PODS}/a")
    assert post("c").status_code == 201


def test_a_quota_on_cpu_wants_every_container_to_say(quiet: KubeServer, connect: Client) -> None:
    quiet.create({"metadata": {"name": "cpu"}, "spec": {"hard": {"limits.cpu": "4"}}}, QUOTAS)
    message = refusal(connect(quiet).post(PODS, json=pod("x")))
    assert message.endswith("failed quota: cpu: must specify limits.cpu for: base")
