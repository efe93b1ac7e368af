"""Asks the driver in a pod how far it is.

Through the API server's pod proxy, which works from anywhere, or by the pod's own address inside the cluster. The token
that opens it is made anew by everybody who holds the secret, from the run's name and a number used once; the pod knows its
digest.
Neither way forwards ``Authorization``, and both have answers of their own: only those with the driver's mark are its.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_provider_lmeval.backends.kubernetes.api import Answer, Api, Call
from airflow_provider_lmeval.backends.kubernetes.refusal import token_refused
from airflow_provider_lmeval.backends.kubernetes.view import PodView
from airflow_provider_lmeval.errors import ClusterError, ProtocolError
from airflow_provider_lmeval.plan.pod_container import STATUS_TLS
from airflow_provider_lmeval.spec.pod import PodSettings
from airflow_provider_lmeval.wire import DRIVER_HEADER, TOKEN_HEADER, Status

TIMEOUT_S = 5.0
"""A finished pod's address can take three seconds to refuse."""
STATUS_PATH = "/v1/status"


def status_token(secret: str, run_id: str, nonce: str) -> str:
    """Return the token of one pod of a run.

    :param secret: what the connection holds; ``nonce``: from the pod's annotation.
    """
    return hmac.new(secret.encode(), f"lmeval-status\0{run_id}\0{nonce}".encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Entrance:
    """How a driver in a pod is reached.

    :param port: of the driver.
    :param tls: it speaks HTTPS.
    :param client_tls: directory with ``tls.crt``, ``tls.key`` and ``ca.crt``, by which Airflow shows who it is and checks
        the driver; only at the pod's own address, since the API server's proxy has no certificate of ours.
    """

    port: int = PodSettings.model_fields["status_port"].default
    tls: bool = False
    client_tls: str | None = None

    @classmethod
    def of(cls, settings: PodSettings, client_tls: str | None = None) -> Entrance:
        """Return the entrance to pods with these settings."""
        return cls(port=settings.status_port, tls=settings.status_tls_secret is not None, client_tls=client_tls)

    def server(self, token_sha256: str) -> dict[str, Any]:
        """Return ``Request.status_server``."""
        found: dict[str, Any] = {"host": "*", "port": self.port, "token_sha256": token_sha256}
        if self.tls:
            files = {"certificate": f"{STATUS_TLS}/tls.crt", "key": f"{STATUS_TLS}/tls.key"}
            found["tls"] = files | ({"client_ca": f"{STATUS_TLS}/ca.crt"} if self.client_tls else {})
        return found

    def context(self) -> ssl.SSLContext:
        """Return what checks the driver's certificate: its authority, not its name, for a pod has none.

        :raises ClusterError: a file is missing or wrong.
        """
        place = Path(self.client_tls or "")
        try:
            context = ssl.create_default_context(cafile=place / "ca.crt")
            context.load_cert_chain(place / "tls.crt", place / "tls.key")
        except (OSError, ssl.SSLError) as error:
            raise ClusterError(f"driver_client_tls {self.client_tls!r}: {error}", 401) from None
        context.check_hostname = False
        return context


def status_server(
    secret: str | None, run_id: str, nonce: str, entrance: Entrance | None = None
) -> dict[str, Any] | None:
    """Return ``Request.status_server``, or None without a secret: then there is no progress, and nothing else is lost."""
    if not secret:
        return None
    digest = hashlib.sha256(status_token(secret, run_id, nonce).encode()).hexdigest()
    return (entrance or Entrance()).server(digest)


@dataclass(frozen=True)
class DriverProbe:
    """Reads the status of drivers.

    :param secret: from which tokens are made; None asks nobody.
    :param direct: use the pod's address instead of the API server's proxy.
    :param entrance: port and TLS of the drivers.
    """

    secret: str | None
    direct: bool = False
    entrance: Entrance = field(default_factory=Entrance)
    lack = "no progress is shown"

    def can_ask(self, view: PodView) -> bool:
        """Whether a driver may be there. An address outlives its pod, so nothing is sent to one that was seen to end."""
        alive = view.running and not view.ended and view.deletion is None
        return bool(self.secret and view.nonce and view.ip and alive)

    async def status(self, api: Api, view: PodView) -> Status | None:
        """Return what the driver says; None if it does not answer yet.

        :raises ClusterError: the way to it is closed: no right to use the proxy, or a token it does not accept.
        """
        if not self.can_ask(view):
            return None
        token = {TOKEN_HEADER: status_token(str(self.secret), view.run_id, view.nonce)}
        try:
            answer = await (self._directly(view, token) if self.direct else self._by_proxy(api, view, token))
        except ClusterError as error:
            if error.transient or error.status == 404 or (error.status == 400 and not self.direct):
                return None
            raise
        return _read(answer)

    async def _by_proxy(self, api: Api, view: PodView, headers: dict[str, str]) -> Answer:
        scheme = "https:" if self.entrance.tls else ""
        pod = f"{scheme}{view.name}:{self.entrance.port}"
        path = f"/api/v1/namespaces/{view.namespace}/pods/{pod}/proxy{STATUS_PATH}"
        return await api.patient(0).send(Call("GET", path, headers=headers, timeout_s=TIMEOUT_S))

    async def _directly(self, view: PodView, headers: dict[str, str]) -> Answer:
        # Not by aiohttp: it returns while TLS is still shutting down, and a poll should leave nothing behind.
        import httpx

        host = f"[{view.ip}]" if ":" in str(view.ip) else view.ip
        url = f"{'https' if self.entrance.tls else 'http'}://{host}:{self.entrance.port}{STATUS_PATH}"
        trust = self.entrance.context() if self.entrance.tls else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            async with (
                asyncio.timeout(TIMEOUT_S),
                httpx.AsyncClient(verify=trust, trust_env=False, timeout=TIMEOUT_S) as client,
            ):
                response = await client.get(url, headers=headers)
        except (httpx.HTTPError, TimeoutError, OSError) as error:
            raise ClusterError(f"no answer from {host}: {error}") from error
        if response.status_code == 401 and DRIVER_HEADER in response.headers:
            raise token_refused()
        return Answer(response.status_code, dict(response.headers), response.content)


def _read(answer: Answer) -> Status | None:
    if DRIVER_HEADER.lower() not in answer.headers or answer.status != 200:
        return None
    try:
        return Status.from_json(json.loads(answer.body))
    except (ValueError, ProtocolError):
        return None
