"""The administrator's settings: Airflow's ``[lmeval]`` section, overridden by a connection's extras, as one typed object.

Read when a task or trigger runs, never at import. An unknown or malformed key is an error that names it, because a typo in
``allow_online`` must not be found out by a failed night run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from airflow_provider_lmeval import _compat
from airflow_provider_lmeval.errors import ConfigError, SpecError
from airflow_provider_lmeval.plan import Grants
from airflow_provider_lmeval.plan.batch import BatchRules
from airflow_provider_lmeval.wire import GIT_MAX_BYTES

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from airflow_provider_lmeval.spec.lmevaljob import LMEvalJobRun
    from airflow_provider_lmeval.spec.pod import PodSettings

SECTION = "lmeval"
CONNECTION_ONLY = frozenset({"script", "status_secret"})
"""Settings that are no option of the configuration section."""
BY_FIELD = ("pod", "lmevaljob")
"""Settings that are defaults of a task's arguments, as mappings: whoever is nearer to the task overrides single fields."""
_NAMES = frozenset({"name", "generate_name"})


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
    allowed_git_hosts: tuple[str, ...] = ()
    max_git_bytes: int = Field(default=GIT_MAX_BYTES, ge=1024)
    allowed_data_roots: tuple[str, ...] = ()
    kubernetes_conn_id: str = "kubernetes_default"
    namespace: str = ""
    image: str = ""
    driver_image: str = ""
    image_pull_policy: Literal["", "Always", "IfNotPresent", "Never"] = ""
    default_batch_size: int | None = Field(default=None, ge=1)
    max_batch_size: int | None = Field(default=None, ge=1)
    batch_size_policy: Literal["cap", "error"] = "cap"
    detect_device: bool = True
    report_interval: float = Field(default=10.0, gt=0)
    driver_port: int = Field(default=18080, ge=1024, le=65535)
    driver_tls_secret: str = ""
    driver_client_tls: str = ""
    status_by_pod_ip: bool = False
    pod_ttl: float = Field(default=86400.0, ge=0)
    pod: dict[str, Any] | None = None
    """Defaults for pods: fields of ``spec.pod.PodSettings``."""
    lmevaljob: dict[str, Any] | None = None
    """Defaults for LMEvalJobs: fields of ``spec.lmevaljob.LMEvalJobRun``."""
    local_gpu: dict[str, Any] | None = None
    """Devices of local runs: ``count`` and ``strategy`` of ``spec.pod_parts.Gpu``."""
    status_secret: SecretStr | None = None
    """From which status tokens are made: the connection's password."""
    script: dict[str, Any] | None = None
    """Course of the memory backend (connection only): fields of ``backends.memory.Script``."""

    @field_validator("allowed_env", "allowed_git_hosts", "allowed_data_roots", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value

    @field_validator("allowed_git_hosts")
    @classmethod
    def _hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        valid = re.compile(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?")
        if wrong := [str(at) for at, host in enumerate(hosts, 1) if not valid.fullmatch(host)]:
            # An address may hold a password, so that it is not repeated.
            raise ValueError(
                f"entry {', '.join(wrong)}: give names of hosts, such as git.example.com or git.example.com:8443"
            )
        return tuple(host.lower() for host in hosts)

    @field_validator("allowed_data_roots")
    @classmethod
    def _roots(cls, roots: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := [root for root in roots if not root.startswith("/") or ".." in root.split("/") or root == "/"]:
            raise ValueError(f"{', '.join(wrong)}: give absolute directories below the root, without '..'")
        return roots

    @field_validator("pod", "lmevaljob", "local_gpu", mode="before")
    @classmethod
    def _decode(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except ValueError as error:
            raise ValueError(f"is not JSON: {error}") from None

    def pod_settings(self, own: Mapping[str, Any] | None = None) -> PodSettings:
        """Return what pods get: what a DAG says, else the connection, else the configuration.

        :param own: fields of ``PodSettings``.
        :raises SpecError: a field is wrong.
        """
        from airflow_provider_lmeval.spec.pod import PodSettings

        names = ("namespace", "image", "driver_image", "image_pull_policy", "report_interval")
        configured = {name: getattr(self, name) for name in names if getattr(self, name)}
        configured |= {"status_port": self.driver_port, "status_tls_secret": self.driver_tls_secret or None}
        return PodSettings.parse(
            configured | (self.pod or {}) | {k: v for k, v in (own or {}).items() if v is not None}
        )

    def job_settings(self, own: Mapping[str, Any] | None = None) -> LMEvalJobRun:
        """Return what LMEvalJobs get: what a DAG says, else the connection, else the configuration.

        :param own: fields of ``LMEvalJobRun``.
        :raises ConfigError: a default is wrong. :raises SpecError: a field of the DAG's is.
        """
        from airflow_provider_lmeval.spec.lmevaljob import LMEvalJobRun

        defaults, chosen = self.lmevaljob or {}, {k: v for k, v in (own or {}).items() if v is not None}
        try:
            LMEvalJobRun.parse(defaults)
        except SpecError as error:
            raise ConfigError(f"[lmeval] settings, defaults for LMEvalJobs: {error}") from None
        if chosen.keys() & _NAMES:  # either is the beginning of the name: a task's own takes the place of both
            defaults = {name: value for name, value in defaults.items() if name not in _NAMES}
        return LMEvalJobRun.parse(defaults | chosen)

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.default_batch_size and self.max_batch_size and self.default_batch_size > self.max_batch_size:
            raise ValueError(
                f"default_batch_size {self.default_batch_size} is above max_batch_size {self.max_batch_size}"
            )
        if self.driver_client_tls and not (self.driver_tls_secret and self.status_by_pod_ip):
            raise ValueError(
                "driver_client_tls needs driver_tls_secret and status_by_pod_ip: no proxy has our certificate"
            )
        if self.driver_tls_secret and self.status_by_pod_ip and not self.driver_client_tls:
            raise ValueError(
                "driver_tls_secret with status_by_pod_ip needs driver_client_tls, to know a driver from others"
            )
        return self

    @property
    def batch(self) -> BatchRules:
        """The batch sizes a run may have."""
        return BatchRules(self.default_batch_size, self.max_batch_size, self.batch_size_policy)

    @property
    def grants(self) -> Grants:
        """The administrator's permissions."""
        return Grants(
            online=self.allow_online,
            code_execution=self.allow_code_execution,
            env=frozenset(self.allowed_env),
            git_hosts=frozenset(self.allowed_git_hosts),
            git_max_bytes=self.max_git_bytes,
            data_roots=self.allowed_data_roots,
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
    known = {name: value for name, value in configured.items() if value not in (None, "")}
    try:
        found = Settings.model_validate(known | own)
        return found.model_copy(update=dict(_added(found, known, own))).with_defaults()
    except ValidationError as error:
        lines = "; ".join(_told(each) for each in error.errors(include_url=False))
        raise ConfigError(f"[lmeval] settings from {source}: {lines}") from None


def _added(found: Settings, known: Mapping[str, Any], own: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield what is merged field by field: a connection adds to what holds for everybody."""
    for name in BY_FIELD:
        if name in known and name in own:
            everybody = getattr(Settings.model_validate({name: known[name]}), name)
            yield name, (everybody or {}) | (getattr(found, name) or {})


def _told(error: ErrorDetails) -> str:
    """Return a line about one problem. It ends in task logs, so it repeats no value that may be a secret."""
    from airflow_provider_lmeval.results.wording import (
        shorten,
        suggest,
    )  # seldom needed, and this module has to load quickly

    path, message = ".".join(map(str, error["loc"])), error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        return f"{path}: there is no such setting; {suggest(path, Settings.model_fields, shown=len(Settings.model_fields))}"
    shown = f" (found {shorten(error['input'])})" if path in _HARMLESS else ""
    return f"{path}: {message}{shown}" if path else message


def _is_harmless(annotation: Any) -> bool:
    """Whether a setting can only be a number, a yes or no, or one of some words: nobody means to keep a secret in it."""
    parts = get_args(annotation)
    if get_origin(annotation) is not Literal and parts:
        return all(map(_is_harmless, parts))
    return bool(parts) or annotation in (int, float, bool, type(None))


_HARMLESS = frozenset(name for name, field in Settings.model_fields.items() if _is_harmless(field.annotation))


def _configured(name: str) -> str | None:
    value = _compat.conf().get(SECTION, name, fallback=None)
    return None if value is None else str(value)
