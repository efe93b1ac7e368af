"""The administrator's settings: Airflow's ``[lmeval]`` section, overridden by a connection's extras, as one typed object.

Read when a task or trigger runs, never at import. An unknown or malformed key is an error that names it, because a typo in
``allow_online`` must not be found out by a failed night run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from airflow_provider_lmeval import _compat
from airflow_provider_lmeval.errors import ConfigError
from airflow_provider_lmeval.plan import Grants

if TYPE_CHECKING:
    from airflow_provider_lmeval.spec.pod import PodSettings

SECTION = "lmeval"
CONNECTION_ONLY = frozenset({"pod", "script", "status_secret"})
"""Settings that are no option of the configuration section."""


class Settings(BaseModel):
    """What an administrator can set; the fields are the options of ``[lmeval]`` and the extras of a connection."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backend: str = "local"
    results_uri: str = ""
    local_dir: str = ""
    driver_python: str = ""
    max_local_runs: int = Field(default=4, ge=1)
    poll_interval: float = Field(default=5.0, gt=0)
    grace_period: float = Field(default=10.0, ge=0)
    allow_online: bool = False
    allow_code_execution: bool = False
    allowed_env: tuple[str, ...] = ()
    kubernetes_conn_id: str = "kubernetes_default"
    namespace: str = ""
    image: str = ""
    driver_image: str = ""
    status_by_pod_ip: bool = False
    pod_ttl: float = Field(default=86400.0, ge=0)
    pod: dict[str, Any] | None = None
    """Defaults for pods (connection only): fields of ``spec.pod.PodSettings``."""
    status_secret: SecretStr | None = None
    """From which status tokens are made: the connection's password."""
    script: dict[str, Any] | None = None
    """Course of the memory backend (connection only): fields of ``backends.memory.Script``."""

    @field_validator("allowed_env", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value

    def pod_settings(self, own: Mapping[str, Any] | None = None) -> PodSettings:
        """Return what pods get: what a DAG says, else the connection, else the configuration.

        :param own: fields of ``PodSettings``.
        :raises SpecError: a field is wrong.
        """
        from airflow_provider_lmeval.spec.pod import PodSettings

        names = ("namespace", "image", "driver_image")
        configured = {name: getattr(self, name) for name in names if getattr(self, name)}
        return PodSettings.parse(
            configured | (self.pod or {}) | {k: v for k, v in (own or {}).items() if v is not None}
        )

    @property
    def grants(self) -> Grants:
        """The administrator's permissions."""
        return Grants(
            online=self.allow_online, code_execution=self.allow_code_execution, env=frozenset(self.allowed_env)
        )

    def with_defaults(self) -> Settings:
        """Return the settings with the paths that depend on Airflow's home filled in."""
        home = _compat.airflow_home() / "lmeval"
        return self.model_copy(
            update={
                "results_uri": self.results_uri or str(home / "results"),
                "local_dir": self.local_dir or str(home / "runs"),
            }
        )


def resolve(extras: Mapping[str, Any] | None = None, source: str = "configuration") -> Settings:
    """Merge configuration and connection.

    :param extras: the connection's extras; empty values leave the configuration's.
    :param source: name of the connection, for messages.
    :raises ConfigError: a key that does not exist, or a value that does not fit, named.
    """
    configured = {name: _configured(name) for name in Settings.model_fields if name not in CONNECTION_ONLY}
    own = {name: value for name, value in (extras or {}).items() if value is not None and value != ""}
    try:
        return Settings.model_validate(
            {k: v for k, v in configured.items() if v not in (None, "")} | own
        ).with_defaults()
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']} (found {e['input']!r})" for e in error.errors()]
        raise ConfigError(
            f"[lmeval] settings from {source}: {'; '.join(lines)}. Known keys: {', '.join(sorted(Settings.model_fields))}"
        ) from None


def _configured(name: str) -> str | None:
    value = _compat.conf().get(SECTION, name, fallback=None)
    return None if value is None else str(value)
