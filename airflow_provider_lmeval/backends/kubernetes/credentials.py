"""What Airflow's Kubernetes connection says becomes a client of the cluster, without Airflow's Kubernetes hook.

A triggerer keeps what it has imported for as long as it lives, and that hook brings the synchronous client along: 49 MB and
half a second beside what a run needs. So the connection's few fields are read here, with the meaning that KubernetesHook
gives them; the kubeconfig itself (certificates, token files, exec plugins, OIDC) stays ``kubernetes_asyncio``'s business.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from airflow_provider_lmeval.errors import ConfigError

if TYPE_CHECKING:
    from kubernetes_asyncio.client import Configuration

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
EXCLUSIVE = ("in_cluster", "kube_config_path", "kube_config")
"""Fields of a connection of which one names the cluster."""


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """Where a cluster's address and the credentials for it are; without any of the three, in the default kubeconfig.

    :param in_cluster: the service account of the pod that this code runs in.
    :param path: kubeconfig file. :param content: a kubeconfig, parsed.
    :param context: of the kubeconfig; None: its current one. :param verify: check the server's certificate.
    """

    in_cluster: bool = False
    path: str | None = None
    content: dict[str, Any] | None = None
    context: str | None = None
    verify: bool = True

    async def configuration(self) -> Configuration:
        """Return the client's configuration. Exec plugins are asked anew each time, as their tokens live for minutes.

        :raises ConfigError: the configuration cannot be read or is not one.
        """
        from kubernetes_asyncio.client import Configuration
        from kubernetes_asyncio.config import ConfigException

        found = Configuration()
        try:
            await self._load(found)
        except yaml.YAMLError as error:  # its text would quote the file, tokens included
            raise ConfigError(f"{self.source} is not YAML") from error
        except (ConfigException, OSError) as error:
            raise ConfigError(f"{self.source}: {error}") from error
        except (LookupError, TypeError, ValueError, AttributeError, AssertionError) as error:
            raise ConfigError(f"{self.source} is no usable kubeconfig ({type(error).__name__})") from error
        if not self.verify:
            found.verify_ssl = False
        return found

    async def _load(self, into: Configuration) -> None:
        from kubernetes_asyncio import config

        if self.in_cluster:
            config.load_incluster_config(client_configuration=into)  # type: ignore[no-untyped-call]
        elif self.content is not None:
            await config.load_kube_config_from_dict(self.content, context=self.context, client_configuration=into)
        elif self.path is not None:
            _require(self.path)
            await config.load_kube_config(config_file=self.path, context=self.context, client_configuration=into)
        else:
            await config.load_kube_config(context=self.context, client_configuration=into)

    @property
    def source(self) -> str:
        """Where they come from, for messages."""
        if self.in_cluster:
            return "the service account of this pod"
        if self.content is not None:
            return "the connection's kube_config"
        return f"kubeconfig {self.path!r}" if self.path is not None else "the default kubeconfig"


def credentials(
    extras: Mapping[str, Any],
    *,
    in_cluster: bool | None = None,
    context: str | None = None,
    config_file: str | None = None,
) -> Credentials:
    """Read a connection's extras; the other arguments are KubernetesPodOperator's and come first.

    :raises ConfigError: more than one field names a cluster, or ``kube_config`` is not a kubeconfig.
    """
    here = in_cluster if in_cluster is not None else bool(extra(extras, "in_cluster"))
    path, content = config_file or extra(extras, "kube_config_path"), extra(extras, "kube_config")
    if bool(here) + bool(path) + bool(content) > 1:
        raise ConfigError(f"the connection names more than one cluster; {', '.join(EXCLUSIVE)} exclude each other")
    if in_cluster is None and not path and not content:
        here = here or (SERVICE_ACCOUNT / "token").exists()  # as KubernetesHook does it
    return Credentials(
        in_cluster=here,
        path=path,
        content=_parsed(content) if content else None,
        context=context or extra(extras, "cluster_context"),
        verify=not _is_true(extra(extras, "disable_verify_ssl")),
    )


def extra(extras: Mapping[str, Any], name: str) -> Any:
    """Return a field of the connection, under its own name or the one it had before Airflow 2.3; None if it is empty."""
    found = extras[name] if name in extras else extras.get(f"extra__kubernetes__{name}")
    return found or None


def _require(path: str) -> None:
    """Fail where the client would only log that there is no such file; like ``KUBECONFIG``, a path may be several."""
    if not any(Path(each).expanduser().exists() for each in path.split(os.pathsep)):
        raise FileNotFoundError("there is no such file here")


def _parsed(content: Any) -> dict[str, Any]:
    try:
        found = yaml.safe_load(content) if isinstance(content, str) else content
    except yaml.YAMLError:
        found = None
    if not isinstance(found, dict):
        raise ConfigError("the connection's kube_config is not a kubeconfig in YAML or JSON")
    return found


def _is_true(value: Any) -> bool:
    return value is True or (isinstance(value, str) and value.strip().lower() == "true")
