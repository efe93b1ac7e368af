"""``LMEvalHook``: a connection of type *LM Eval* becomes a backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook

from airflow_provider_lmeval import _compat
from airflow_provider_lmeval.errors import ConfigError, LMEvalError
from airflow_provider_lmeval.hooks.settings import Settings, resolve

if TYPE_CHECKING:
    from airflow_provider_lmeval.backends import Backend

BACKENDS = ("local", "memory")


class LMEvalHook(BaseHook):
    """Gives access to the place where evaluations run.

    :param lmeval_conn_id: connection of type ``lmeval`` whose extras override the ``[lmeval]`` configuration;
        None uses the configuration alone.
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
        if self.lmeval_conn_id is None:
            return resolve()
        return resolve(self.get_connection(self.lmeval_conn_id).extra_dejson, self._source)

    async def asettings(self) -> Settings:
        """Return :attr:`settings`, inside an event loop."""
        if self.lmeval_conn_id is None:
            return resolve()
        return resolve(await _compat.connection_extras(self.lmeval_conn_id), self._source)

    @property
    def _source(self) -> str:
        return f"connection {self.lmeval_conn_id!r}"

    def get_conn(self) -> Backend:
        """Return the backend that the settings name."""
        return make_backend(self.settings)

    def test_connection(self) -> tuple[bool, str]:
        """Check that the driver's Python has lm-eval and that results can be written."""
        try:
            return True, _describe(self.settings)
        except LMEvalError as error:
            return False, str(error)


def make_backend(settings: Settings, name: str | None = None, results_uri: str | None = None) -> Backend:
    """Build a backend.

    :param settings: from :func:`~airflow_provider_lmeval.hooks.settings.resolve`.
    :param name: backend to build instead of the one the settings name.
    :param results_uri: store to use instead of the one the settings name.
    :raises ConfigError: there is no such backend.
    """
    chosen = name or settings.backend
    if chosen == "local":
        from airflow_provider_lmeval.backends.local import LocalBackend

        return LocalBackend(
            directory=settings.local_dir,
            results_uri=results_uri or settings.results_uri,
            python=settings.driver_python or None,
            max_runs=settings.max_local_runs,
            grace_s=settings.grace_period,
        )
    if chosen == "memory":
        from airflow_provider_lmeval.backends.memory import MemoryBackend, Script

        return MemoryBackend(Script(**(settings.script or {"steps": []})))
    raise ConfigError(f"backend: there is no {chosen!r}; choose one of {', '.join(BACKENDS)}")


def _describe(settings: Settings) -> str:
    from airflow_provider_lmeval.backends.local import LocalBackend

    backend = make_backend(settings)
    if not isinstance(backend, LocalBackend):
        return f"Backend {settings.backend}: nothing to check."
    found = backend.test()
    return f"lm-eval {found} in {backend.python}; results can be written to {settings.results_uri}."
