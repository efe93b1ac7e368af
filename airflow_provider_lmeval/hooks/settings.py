"""The administrator's settings: Airflow's ``[lmeval]`` section, overridden by a connection's extras, as one typed object.

Read when a task or trigger runs, never at import. An unknown or malformed key is an error that names it, because a typo in
``allow_online`` must not be found out by a failed night run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from airflow_provider_lmeval import _compat
from airflow_provider_lmeval.errors import ConfigError
from airflow_provider_lmeval.plan import Grants

SECTION = "lmeval"


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
    script: dict[str, Any] | None = None
    """Course of the memory backend (connection only): fields of ``backends.memory.Script``."""

    @field_validator("allowed_env", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value

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
    configured = {name: _configured(name) for name in Settings.model_fields if name != "script"}
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
