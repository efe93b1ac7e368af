"""Both official clients work with the server by a kubeconfig, and the server runs as a program."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.kube import Image, KubeServer, Script
from tests.kube.conftest import IMAGE, pod

ROOT = Path(__file__).resolve().parents[2]


def test_the_synchronous_client(tmp_path: Path) -> None:
    from kubernetes import client, config, watch

    with KubeServer({IMAGE: Image()}) as server:
        server.script(Script(runs_s=0.3, log=b"hello\n"))
        path = server.kubeconfig(tmp_path / "kubeconfig")
        with config.new_client_from_config(str(path)) as api:
            core = client.CoreV1Api(api)
            created = core.create_namespaced_pod("default", pod("x"))
            assert created.metadata.uid
            shown = watch.Watch().stream(
                core.list_namespaced_pod, "default", label_selector="app=rec", timeout_seconds=5, resource_version="0"
            )
            assert next(one for one in shown if one["object"].status.phase == "Succeeded")["type"] == "MODIFIED"
            core.patch_namespaced_pod("x", "default", {"metadata": {"annotations": {"a": "b"}}})
            assert core.read_namespaced_pod("x", "default").metadata.annotations == {"a": "b"}
            log = core.read_namespaced_pod_log("x", "default", _preload_content=False)  # 36.0.3 returns str(bytes) else
            assert log.data == b"hello\n"
            core.delete_namespaced_pod("x", "default", body={"preconditions": {"uid": created.metadata.uid}})
            assert core.list_namespaced_pod("default").items == []
            assert client.VersionApi(api).get_code().git_version == "v1.36.2"


def test_the_asynchronous_client(tmp_path: Path) -> None:
    with KubeServer({IMAGE: Image()}) as server:
        server.script(Script(serves=lambda method, path, headers: (200, {}, b'{"state": "Running"}')))
        path = server.kubeconfig(tmp_path / "kubeconfig")
        server.create(pod("x"))
        server.wait_for_phase("x", "Running")
        kinds, status = asyncio.run(_look(path))
    assert kinds == ["ADDED"]
    assert status == {"state": "Running"}


async def _look(path: Path) -> tuple[list[str], Any]:
    """Return what a raw watch shows first, and what the pod answers through the proxy."""
    from kubernetes_asyncio import client, config

    async with await config.new_client_from_config(str(path)) as api:
        core = client.CoreV1Api(api)
        answer = await core.list_namespaced_pod(
            "default", watch=True, timeout_seconds=1, resource_version="0", _preload_content=False
        )
        lines = (await answer.read()).splitlines()
        proxied = await core.connect_get_namespaced_pod_proxy_with_path(
            "x:8080", "default", "v1/status", _preload_content=False
        )
        return [json.loads(line)["type"] for line in lines], json.loads(await proxied.read())


def test_it_runs_as_a_program_until_it_is_told_to_stop(tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    command = [sys.executable, "-m", "tests.kube", "--kubeconfig", str(file), "--image", IMAGE, "--namespace", "eval"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        told = json.loads(program.stdout.readline())
        assert told["kubeconfig"] == str(file)
        found = asyncio.run(_run_a_pod(file))
        program.send_signal(signal.SIGTERM)
        assert program.wait(timeout=20) == 0
    assert found == "Succeeded"


async def _run_a_pod(path: Path) -> str:
    from kubernetes_asyncio import client, config, watch

    async with await config.new_client_from_config(str(path)) as api:
        core = client.CoreV1Api(api)
        await core.create_namespaced_pod("eval", pod("x", "python", "-c", "print('ran')"))
        async with watch.Watch() as stream:
            async for one in stream.stream(core.list_namespaced_pod, "eval", timeout_seconds=20):
                if one["object"].status.phase in ("Succeeded", "Failed"):
                    phase: str = one["object"].status.phase
                    return phase
    return "never"
