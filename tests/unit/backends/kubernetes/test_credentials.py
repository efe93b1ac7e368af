"""A Kubernetes connection leads to the same server with the same credentials here as through Airflow's own hook."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from airflow_provider_lmeval.backends.kubernetes.credentials import Credentials, credentials
from airflow_provider_lmeval.errors import ConfigError
from tests.support.certificates import self_signed

SECRET = "s3cr3t-t0k3n"


with tempfile.TemporaryDirectory() as directory:
    CERTIFICATE, KEY = (path.read_text() for path in self_signed(Path(directory)))


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


USERS: dict[str, dict[str, Any]] = {
    "token": {"token": SECRET},
    "token-file": {"tokenFile": "token"},
    "password": {"username": "me", "password": SECRET},
    "certificate": {"client-certificate-data": encoded(CERTIFICATE), "client-key-data": encoded(KEY)},
    "exec": {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": sys.executable,
            "args": ["-c", f"""
import json
print(json.dumps({{
    "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {{"token": "{SECRET}"}}
}}))"""],
            "interactiveMode": "Never",
        }
    },
    "nobody": {},
}  # fmt: skip
CLUSTERS: dict[str, dict[str, Any]] = {
    "plain": {"server": "http://plain.example:8080"},
    "authority": {"server": "https://authority.example", "certificate-authority-data": encoded(CERTIFICATE)},
    "authority-file": {"server": "https://authority.example", "certificate-authority": "ca.crt"},
    "unverified": {"server": "https://unverified.example", "insecure-skip-tls-verify": True},
    "named": {
        "server": "https://10.0.0.1:6443",
        "tls-server-name": "kubernetes.default",
        "proxy-url": "http://p.example",
    },
}
CONTEXTS = [f"{cluster}/{user}" for cluster in CLUSTERS for user in USERS]
KUBECONFIG: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": name, "cluster": cluster} for name, cluster in CLUSTERS.items()],
    "users": [{"name": name, "user": user} for name, user in USERS.items()],
    "contexts": [
        {"name": name, "context": dict(zip(("cluster", "user"), name.split("/"), strict=True))} for name in CONTEXTS
    ],
    "current-context": "authority/token",
}


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("kube") / "config"
    path.write_text(yaml.safe_dump(KUBECONFIG))
    (path.parent / "token").write_text(SECRET)
    (path.parent / "ca.crt").write_text(CERTIFICATE)
    return path


def ours(extras: dict[str, Any], **arguments: Any) -> dict[str, Any]:
    return described(asyncio.run(credentials(extras, **arguments).configuration()))


def hooks(extras: dict[str, Any], **arguments: Any) -> dict[str, Any]:
    from airflow.providers.cncf.kubernetes.hooks.kubernetes import AsyncKubernetesHook

    async def configuration() -> Any:
        async with AsyncKubernetesHook(connection_extras=extras, **arguments).get_conn() as client:
            return client.configuration

    return described(asyncio.run(configuration()))


def described(configuration: Any) -> dict[str, Any]:
    """Return what counts, files by what is in them."""
    plain = ("host", "verify_ssl", "tls_server_name", "proxy", "api_key", "username", "password")
    files = ("ssl_ca_cert", "cert_file", "key_file")
    named = {name: getattr(configuration, name) for name in files}
    return {name: getattr(configuration, name) for name in plain} | {
        name: path and Path(path).read_text() for name, path in named.items()
    }


@pytest.mark.parametrize("context", CONTEXTS)
def test_every_kind_of_cluster_and_user_in_a_kubeconfig(kubeconfig: Path, context: str) -> None:
    extras = {"kube_config_path": str(kubeconfig)}
    found = ours(extras, context=context)
    assert found == hooks(extras, cluster_context=context)
    assert found["host"] == CLUSTERS[context.partition("/")[0]]["server"]


@pytest.mark.parametrize(
    "extras",
    [
        {"kube_config": yaml.safe_dump(KUBECONFIG)},
        {"kube_config": json.dumps(KUBECONFIG)},
        {"kube_config": KUBECONFIG},
        {"extra__kubernetes__kube_config": json.dumps(KUBECONFIG)},
        {"kube_config": KUBECONFIG, "cluster_context": "plain/password"},
        {"kube_config": KUBECONFIG, "extra__kubernetes__cluster_context": "unverified/exec"},
    ],
    ids=["yaml", "json", "object", "old name", "context", "context by its old name"],
)
def test_every_form_of_a_kubeconfig_in_the_connection(extras: dict[str, Any]) -> None:
    found = ours(extras)
    assert found == hooks(extras)
    assert found["api_key"]


def test_the_operators_arguments_come_before_the_connections(kubeconfig: Path, tmp_path: Path) -> None:
    extras = {"kube_config_path": str(tmp_path / "another"), "cluster_context": "plain/token", "in_cluster": True}
    found = ours(extras, config_file=str(kubeconfig), context="named/token", in_cluster=False)
    assert found["host"] == "https://10.0.0.1:6443"


def test_a_connection_may_switch_off_the_check_of_certificates(kubeconfig: Path) -> None:
    path = str(kubeconfig)
    assert ours({"kube_config_path": path})["verify_ssl"]
    assert not ours({"kube_config_path": path, "disable_verify_ssl": True})["verify_ssl"]
    assert not ours({"kube_config_path": path, "extra__kubernetes__disable_verify_ssl": "True"})["verify_ssl"]
    assert ours({"kube_config_path": path, "disable_verify_ssl": "False"})["verify_ssl"]


def test_in_cluster_is_the_service_account() -> None:
    assert credentials({"in_cluster": True}) == Credentials(in_cluster=True)
    assert credentials({"extra__kubernetes__in_cluster": True}).in_cluster
    assert credentials({}, in_cluster=True).in_cluster
    with pytest.raises(ConfigError, match="the service account of this pod: Service host/port is not set"):
        asyncio.run(Credentials(in_cluster=True).configuration())


def test_fields_that_a_form_left_empty_do_not_count() -> None:
    empty = {"in_cluster": False, "kube_config_path": "", "kube_config": "", "cluster_context": ""}
    assert credentials(empty) == credentials({})


def test_two_clusters_in_one_connection_are_refused() -> None:
    with pytest.raises(ConfigError, match="more than one cluster"):
        credentials({"in_cluster": True, "kube_config_path": "/x"})


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"kubeconfig '.*missing': there is no such file here"):
        ours({"kube_config_path": str(tmp_path / "missing")})


def test_a_context_that_is_not_there_is_told() -> None:
    with pytest.raises(ConfigError, match=r"kube_config: .*nowhere"):
        ours({"kube_config": KUBECONFIG}, context="nowhere")


@pytest.mark.parametrize("text", [f"token: [{SECRET}", SECRET, f"users: {SECRET}"])
def test_what_is_no_kubeconfig_is_refused_and_not_quoted(text: str, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(text)
    for extras in ({"kube_config": text}, {"kube_config_path": str(tmp_path / "config")}):
        with pytest.raises(ConfigError) as caught:
            ours(extras)
        assert SECRET not in str(caught.value)


def test_following_runs_loads_neither_the_synchronous_client_nor_airflows_hook() -> None:
    code = """
import asyncio, sys
from importlib import import_module
from airflow_provider_lmeval.backends.kubernetes.credentials import credentials
from airflow_provider_lmeval.triggers.pod import EvalPodTrigger

for name in EvalPodTrigger.heavy:
    import_module(name)
kubeconfig = {
    "clusters": [{"name": "c", "cluster": {"server": "http://localhost"}}],
    "contexts": [{"name": "c", "context": {"cluster": "c"}}],
    "current-context": "c",
}
asyncio.run(credentials({"kube_config": kubeconfig}).configuration())
print([name for name in ("kubernetes", "airflow.providers.cncf.kubernetes.hooks.kubernetes") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stderr
