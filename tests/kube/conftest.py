"""A server for each test, and a plain HTTP client that is its administrator."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.kube import Image, KubeServer

IMAGE = "localhost/lmeval-baseline:1"
Client = Callable[..., httpx.Client]


@pytest.fixture
def server() -> Iterator[KubeServer]:
    image = Image(path=(Path(sys.executable).parent,))
    with KubeServer(
        {IMAGE: image}, namespaces=("default", "rec"), kubelet_delay_s=0.05, pull_backoff_s=0.2, unreachable_s=0.2
    ) as server:
        yield server


@pytest.fixture
def quiet() -> Iterator[KubeServer]:
    """A server that runs nothing: statuses are what tests write."""
    with KubeServer(runs=False, namespaces=("default", "rec")) as server:
        yield server


@pytest.fixture
def connect() -> Iterator[Client]:
    """Return clients of a server, for a user."""
    made: list[httpx.Client] = []

    def client(server: KubeServer, user: str | None = "admin") -> httpx.Client:
        headers = {} if user is None else {"Authorization": f"Bearer {server.users[user].token}"}
        made.append(
            httpx.Client(base_url=server.url, headers=headers, timeout=20, verify=False)
        )  # certificates load slowly
        return made[-1]

    yield client
    for one in made:
        one.close()


@pytest.fixture
def admin(server: KubeServer, connect: Client) -> httpx.Client:
    return connect(server)


def pod(name: str, *command: str, **spec: Any) -> dict[str, Any]:
    """Return a pod of one container ``base``; keywords are fields of its spec, ``container`` those of the container."""
    container = {
        "name": "base",
        "image": IMAGE,
        "command": list(command or ("sleep", "60")),
        **spec.pop("container", {}),
    }
    fields = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, **spec, "containers": [container]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": "rec"}}, "spec": fields}


def shell(name: str, script: str, **spec: Any) -> dict[str, Any]:
    """Return a pod that runs a shell script."""
    return pod(name, "sh", "-c", script, **spec)


PODS = "/api/v1/namespaces/default/pods"
