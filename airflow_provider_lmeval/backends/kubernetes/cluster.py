"""Which cluster, as plain data, and how to reach it: through Airflow's own Kubernetes connection.

A trigger's arguments are stored in plain text. So a run carries names (a connection's id, a context, a path) and never the
kubeconfig or a token; whoever wants to reach the cluster looks them up where it runs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import yaml

from airflow_provider_lmeval import _compat
from airflow_provider_lmeval.backends.kubernetes.api import PATIENCE_S, Api
from airflow_provider_lmeval.errors import ClusterError, ConfigError

if TYPE_CHECKING:
    from airflow.providers.cncf.kubernetes.hooks.kubernetes import AsyncKubernetesHook

DEFAULT_CONN_ID = "kubernetes_default"
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True)
class Cluster:
    """The arguments of KubernetesPodOperator that name a cluster.

    :param conn_id: connection of type *Kubernetes*; None: the configuration where the code runs.
    :param in_cluster: use the service account of the pod that the code runs in.
    :param context: context of the kubeconfig. :param config_file: path of a kubeconfig, the same on worker and triggerer.
    """

    conn_id: str | None = DEFAULT_CONN_ID
    in_cluster: bool | None = None
    context: str | None = None
    config_file: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain data without secrets."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild it."""
        return cls(**data)

    @asynccontextmanager
    async def open(self, extras: dict[str, Any] | None = None, patience_s: float = PATIENCE_S) -> AsyncIterator[Api]:
        """Connect.

        :param extras: of the connection, where they are known; otherwise they are looked up.
        :param patience_s: see :class:`Api`.
        :raises ClusterError: there is no usable configuration.
        """
        from kubernetes_asyncio.config import ConfigException

        wrong = (ConfigException, _compat.airflow_exception())
        try:
            async with (await self._hook(extras)).get_conn() as client:
                yield Api(client, patience_s)
        except wrong as error:
            raise ClusterError(f"no way to a Kubernetes cluster: {error}. {self._advice()}", 400) from error

    async def _hook(self, extras: dict[str, Any] | None) -> AsyncKubernetesHook:
        from airflow.providers.cncf.kubernetes.hooks.kubernetes import AsyncKubernetesHook

        if extras is None:
            extras = await self._look_up()
        in_cluster = self.in_cluster
        if in_cluster is None and not self.config_file and not _names_a_cluster(extras):
            in_cluster = (SERVICE_ACCOUNT / "token").exists() or None  # as the synchronous hook does it
        return AsyncKubernetesHook(
            conn_id=self.conn_id,
            kubernetes_conn_id=None,
            connection_extras=extras,
            in_cluster=in_cluster,
            cluster_context=self.context,
            config_dict=_read(self.config_file) if self.config_file else None,
        )

    async def _look_up(self) -> dict[str, Any]:
        """Return the connection's extras, inside an event loop. Without the default connection the configuration counts."""
        if self.conn_id is None:
            return {}
        try:
            extras, _ = await _compat.connection(self.conn_id)
        except _compat.not_found_exception():
            if self.conn_id == DEFAULT_CONN_ID:
                return {}
            raise
        return extras

    def extras(self) -> dict[str, Any]:
        """Return the connection's extras, outside of any event loop.

        :raises ClusterError: there is no such connection.
        """
        if self.conn_id is None:
            return {}
        from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook

        try:
            return dict(KubernetesHook.get_connection(self.conn_id).extra_dejson)
        except _compat.not_found_exception() as error:
            raise ClusterError(f"no way to a Kubernetes cluster: {error}. {self._advice()}", 400) from error

    def namespace(self, extras: Mapping[str, Any]) -> str:
        """Return the namespace that applies when nobody has named one."""
        own = SERVICE_ACCOUNT / "namespace"
        return _extra(extras, "namespace") or (own.read_text() if own.exists() else "") or "default"

    def _advice(self) -> str:
        return f"Set up the Airflow connection {self.conn_id!r} of type Kubernetes, or [lmeval] kubernetes_conn_id"


def _extra(extras: Mapping[str, Any], name: str) -> Any:
    return extras.get(name) or extras.get(f"extra__kubernetes__{name}")


def _names_a_cluster(extras: Mapping[str, Any]) -> bool:
    return any(_extra(extras, name) for name in ("in_cluster", "kube_config_path", "kube_config"))


def _read(path: str) -> dict[str, Any]:
    try:
        return dict(yaml.safe_load(Path(path).expanduser().read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
        raise ConfigError(f"config_file: {path!r} is no kubeconfig that can be read here: {error}") from error
