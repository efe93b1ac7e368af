"""``LMEvalHook``: a connection of type *LM Eval* becomes a backend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook

from airflow_provider_lmeval import _compat
from airflow_provider_lmeval.errors import ConfigError, LMEvalError
from airflow_provider_lmeval.hooks.settings import Settings, resolve

if TYPE_CHECKING:
    from airflow_provider_lmeval.backends import Backend
    from airflow_provider_lmeval.backends.kubernetes.backend import KubernetesBackend
    from airflow_provider_lmeval.backends.kubernetes.cluster import Cluster
    from airflow_provider_lmeval.backends.lmevaljob.backend import LMEvalJobBackend
    from airflow_provider_lmeval.backends.local import LocalBackend

BACKENDS = ("local", "kubernetes", "lmevaljob", "memory")


class LMEvalHook(BaseHook):
    """Gives access to the place where evaluations run.

    :param lmeval_conn_id: connection of type ``lmeval`` whose extras override the ``[lmeval]`` configuration;
        None is ``lmeval_default`` if there is such a connection, and otherwise the configuration alone.
    """

    conn_name_attr = "lmeval_conn_id"
    default_conn_name = "lmeval_default"
    conn_type = "lmeval"
    hook_name = "LM Eval"

    def __init__(self, lmeval_conn_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.lmeval_conn_id = lmeval_conn_id

    @property
    def settings(self) -> Settings:
        """The settings in force, from connection and configuration.

        :raises ConfigError: a setting is wrong.
        """
        try:
            with _compat.looking_up(self._conn_id):
                connection = self.get_connection(self._conn_id)
        except _compat.not_found_exception():
            if self.lmeval_conn_id is not None:
                raise
            return resolve()
        return resolve(_known(connection.extra_dejson, connection.password), self._source)

    async def asettings(self) -> Settings:
        """Return :attr:`settings`, inside an event loop."""
        try:
            found = await _compat.connection(self._conn_id)
        except _compat.not_found_exception():
            if self.lmeval_conn_id is not None:
                raise
            return resolve()
        return resolve(_known(*found), self._source)

    @property
    def _conn_id(self) -> str:
        return self.default_conn_name if self.lmeval_conn_id is None else self.lmeval_conn_id

    @property
    def _source(self) -> str:
        return f"connection {self._conn_id!r}"

    def get_conn(self) -> Backend:
        """Return the backend that the settings name."""
        return make_backend(self.settings)

    def test_connection(self) -> tuple[bool, str]:
        """Check that evaluations can run where the settings say, and that results can be written."""
        try:
            return True, _describe(self.settings)
        except LMEvalError as error:
            return False, str(error)


def make_backend(
    settings: Settings,
    name: str | None = None,
    results_uri: str | None = None,
    *,
    pod: Mapping[str, Any] | None = None,
    cluster: Cluster | None = None,
    gpu: Any = None,
    job: Mapping[str, Any] | None = None,
) -> Backend:
    """Build a backend.

    :param settings: from :func:`~airflow_provider_lmeval.hooks.settings.resolve`.
    :param name: backend to build instead of the one the settings name.
    :param results_uri: store to use instead of the one the settings name.
    :param pod: fields of ``PodSettings`` that come before those of the settings.
    :param cluster: where pods run instead of where the settings say.
    :param gpu: devices of a local run instead of those of the settings: a number, or fields of ``spec.pod_parts.Gpu``.
    :param job: fields of ``spec.lmevaljob.LMEvalJobRun`` that come before those of the settings.
    :raises ConfigError: there is no such backend.
    """
    chosen = name or settings.backend
    uri = results_uri or settings.results_uri
    if chosen == "local":
        return _local(settings, uri, gpu)
    if chosen == "kubernetes":
        return _kubernetes(settings, uri, pod, cluster)
    if chosen == "lmevaljob":
        return _lmevaljob(settings, uri, job)
    if chosen == "memory":
        from airflow_provider_lmeval.backends.memory import MemoryBackend, Script

        return MemoryBackend(Script(**(settings.script or {"steps": []})))
    raise ConfigError(f"backend: there is no {chosen!r}; choose one of {', '.join(BACKENDS)}")


def _local(settings: Settings, results_uri: str, gpu: Any) -> LocalBackend:
    from airflow_provider_lmeval.backends.local import LocalBackend
    from airflow_provider_lmeval.spec.pod_parts import Gpu

    return LocalBackend(
        directory=settings.local_dir,
        results_uri=results_uri,
        python=settings.driver_python or None,
        max_runs=settings.max_local_runs,
        grace_s=settings.grace_period,
        report_s=settings.report_interval,
        gpu=Gpu.parse(settings.local_gpu if gpu is None else gpu),
    )


def _kubernetes(
    settings: Settings, results_uri: str, pod: Mapping[str, Any] | None, cluster: Cluster | None
) -> KubernetesBackend:
    from airflow_provider_lmeval.backends.kubernetes.backend import KubernetesBackend
    from airflow_provider_lmeval.backends.kubernetes.cluster import Cluster

    secret = settings.status_secret
    return KubernetesBackend(
        results_uri=results_uri,
        cluster=cluster or Cluster(conn_id=settings.kubernetes_conn_id),
        settings=settings.pod_settings(pod),
        secret=secret.get_secret_value() if secret else None,
        direct=settings.status_by_pod_ip,
        client_tls=settings.driver_client_tls or None,
    )


def _lmevaljob(settings: Settings, results_uri: str, job: Mapping[str, Any] | None) -> LMEvalJobBackend:
    from airflow_provider_lmeval.backends.kubernetes.cluster import Cluster
    from airflow_provider_lmeval.backends.lmevaljob.backend import LMEvalJobBackend

    return LMEvalJobBackend(
        results_uri=results_uri,
        cluster=Cluster(conn_id=settings.kubernetes_conn_id),
        settings=settings.job_settings(job),
        namespace=settings.namespace,
        batch=settings.batch,
    )


def _known(extras: Mapping[str, Any], password: str | None) -> dict[str, Any]:
    """Return what a connection says, its password under the name that settings have for it."""
    return {**extras, "status_secret": password} if password else dict(extras)


def _describe(settings: Settings) -> str:
    from airflow_provider_lmeval.backends.kubernetes.backend import KubernetesBackend
    from airflow_provider_lmeval.backends.lmevaljob.backend import LMEvalJobBackend
    from airflow_provider_lmeval.backends.local import LocalBackend

    backend = make_backend(settings)
    if isinstance(backend, LocalBackend):
        found = f"lm-eval {backend.test()} in {backend.python}"
    elif isinstance(backend, KubernetesBackend | LMEvalJobBackend):
        found = f"Kubernetes {backend.test()}"
    else:
        return f"Backend {settings.backend}: nothing to check."
    return f"{found}; results can be written to {settings.results_uri}."
