"""What an Airflow connection says about a place, without Airflow: address, login, secrets."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_lmeval.errors import OutputError


@dataclass(frozen=True)
class Credentials:
    """Address and login of one place. Secrets are not in its ``repr``.

    :param name: the connection's id, for messages.
    :param host: host, or a URL. :param port: of the host; a URL has its own.
    :param login: user name. :param password: password, token or key.
    :param extra: further settings of the connection.
    """

    name: str = ""
    host: str = ""
    port: int | None = None
    login: str = ""
    password: str = field(default="", repr=False)
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def url(self, scheme: str = "https") -> str:
        """Return the address as a URL without a slash at its end; nothing if there is none.

        :param scheme: of an address that names none.
        """
        if not self.host:
            return ""
        if "://" in self.host:
            return self.host.rstrip("/")
        return f"{scheme}://{self.host.rstrip('/')}" + (f":{self.port}" if self.port else "")

    def docker_login(self, registry: str) -> tuple[str, str] | None:
        """Return user name and password for a registry: the connection's own, or from a Docker configuration.

        :param registry: host and port.
        :raises OutputError: ``docker_config_json`` is not one, or knows nothing of the registry.
        """
        if self.login or self.password:
            return self.login, self.password
        config = self.extra.get("docker_config_json")
        return _docker_login(config, registry, self.name) if config else None

    def secrets(self) -> Iterator[str]:
        """Yield what must not appear in a message."""
        if self.password:
            yield self.password
            yield base64.b64encode(f"{self.login}:{self.password}".encode()).decode()
        for entry in _auths(self.extra.get("docker_config_json")).values():
            login = _login(entry)
            yield from filter(None, (str(entry.get("auth") or ""), login[1] if login else ""))


def _docker_login(config: Any, registry: str, conn_id: str) -> tuple[str, str]:
    auths = _auths(config)
    if not auths:
        raise OutputError(f"connection {conn_id!r}: docker_config_json is not a Docker configuration with 'auths'")
    for key in (registry, f"https://{registry}", f"https://{registry}/v1/", f"https://{registry}/v2/"):
        if login := _login(auths.get(key, {})):
            return login
    raise OutputError(
        f"connection {conn_id!r}: docker_config_json has no login for {registry}, only for {', '.join(auths)}"
    )


def _auths(config: Any) -> dict[str, Mapping[str, Any]]:
    """Return the entries of a Docker configuration, data or JSON text; nothing if it is none."""
    try:
        data = json.loads(config) if isinstance(config, str) else config
        return {str(host): dict(entry) for host, entry in data["auths"].items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}


def _login(entry: Mapping[str, Any]) -> tuple[str, str] | None:
    if entry.get("username") and entry.get("password"):
        return str(entry["username"]), str(entry["password"])
    try:
        user, colon, password = base64.b64decode(str(entry.get("auth") or ""), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (user, password) if colon else None
