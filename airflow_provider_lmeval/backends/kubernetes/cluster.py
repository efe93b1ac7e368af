"""Which cluster, as plain data, and how to reach it: through Airflow's own Kubernetes connection.

A trigger's arguments are stored in plain text. So a run carries names (a connection's id, a context, a path) and never the
kubeconfig or a token; whoever wants to reach the cluster looks them up where it runs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any, Self

from airflow_provider_lmeval import _compat
from airflow_provider_lmeval.backends.kubernetes.api import PATIENCE_S, Api
from airflow_provider_lmeval.backends.kubernetes.clock import ServerClock
from airflow_provider_lmeval.backends.kubernetes.credentials import SERVICE_ACCOUNT, Credentials, credentials, extra
from airflow_provider_lmeval.errors import ClusterError, ConfigError

DEFAULT_CONN_ID = "kubernetes_default"


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
    async def open(
        self,
        extras: dict[str, Any] | None = None,
        patience_s: float = PATIENCE_S,
        clock: ServerClock | None = None,
    ) -> AsyncIterator[Api]:
        """Connect.

        :param extras: of the connection, where they are known; otherwise they are looked up.
        :param patience_s: see :class:`Api`; ``clock`` likewise.
        :raises ClusterError: there is no usable configuration.
        """
        try:
            found = await self._credentials(extras)
            configuration = await found.configuration()
        except (ConfigError, _compat.airflow_exception()) as error:
            raise self._no_way(error) from error
        from kubernetes_asyncio.client import ApiClient

        async with ApiClient(configuration) as client:
            yield Api(client, patience_s, clock)

    async def _credentials(self, extras: Mapping[str, Any] | None) -> Credentials:
        if extras is None:
            extras = await self._look_up()
        return credentials(extras, in_cluster=self.in_cluster, context=self.context, config_file=self.config_file)

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
        from airflow.sdk import BaseHook

        try:
            with _compat.looking_up(self.conn_id):
                return dict(BaseHook.get_connection(self.conn_id).extra_dejson)
        except _compat.not_found_exception() as error:
            if self.conn_id == DEFAULT_CONN_ID:
                return {}
            raise self._no_way(error) from error

    def namespace(self, extras: Mapping[str, Any]) -> str:
        """Return the namespace that applies when nobody has named one."""
        own = SERVICE_ACCOUNT / "namespace"
        return extra(extras, "namespace") or (own.read_text() if own.exists() else "") or "default"

    def _no_way(self, error: Exception) -> ClusterError:
        advice = f"Set up the Airflow connection {self.conn_id!r} of type Kubernetes, or [lmeval] kubernetes_conn_id"
        return ClusterError(f"no way to a Kubernetes cluster: {error}. {advice}", 400)
