"""Asks the driver in a pod how far it is.

Through the API server's pod proxy, which works from anywhere, or by the pod's own address inside the cluster. The token
that opens it is made anew by everybody who holds the secret, from the run's name and a number used once; the pod knows its
digest.
Neither way forwards ``Authorization``, and both have answers of their own: only those with the driver's mark are its.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Any

from airflow_provider_lmeval.backends.kubernetes.api import Answer, Api, Call
from airflow_provider_lmeval.backends.kubernetes.refusal import token_refused
from airflow_provider_lmeval.backends.kubernetes.view import PodView
from airflow_provider_lmeval.errors import ClusterError, ProtocolError
from airflow_provider_lmeval.plan.pod import STATUS_PORT
from airflow_provider_lmeval.wire import DRIVER_HEADER, TOKEN_HEADER, Status

TIMEOUT_S = 5.0
"""A finished pod's address can take three seconds to refuse."""
STATUS_PATH = "/v1/status"


def status_token(secret: str, run_id: str, nonce: str) -> str:
    """Return the token of one pod of a run.

    :param secret: what the connection holds; ``nonce``: from the pod's annotation.
    """
    return hmac.new(secret.encode(), f"lmeval-status\0{run_id}\0{nonce}".encode(), hashlib.sha256).hexdigest()


def status_server(secret: str | None, run_id: str, nonce: str) -> dict[str, Any] | None:
    """Return ``Request.status_server``, or None without a secret: then there is no progress, and nothing else is lost."""
    if not secret:
        return None
    digest = hashlib.sha256(status_token(secret, run_id, nonce).encode()).hexdigest()
    return {"host": "*", "port": STATUS_PORT, "token_sha256": digest}


@dataclass(frozen=True)
class DriverProbe:
    """Reads the status of drivers.

    :param secret: from which tokens are made; None asks nobody.
    :param direct: use the pod's address instead of the API server's proxy.
    """

    secret: str | None
    direct: bool = False

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
            answer = await (_directly(view, token) if self.direct else _by_proxy(api, view, token))
        except ClusterError as error:
            if error.transient or error.status == 404 or (error.status == 400 and not self.direct):
                return None
            raise
        return _read(answer)


async def _by_proxy(api: Api, view: PodView, headers: dict[str, str]) -> Answer:
    path = f"/api/v1/namespaces/{view.namespace}/pods/{view.name}:{STATUS_PORT}/proxy{STATUS_PATH}"
    return await api.patient(0).send(Call("GET", path, headers=headers, timeout_s=TIMEOUT_S))


async def _directly(view: PodView, headers: dict[str, str]) -> Answer:
    import aiohttp

    host = f"[{view.ip}]" if ":" in str(view.ip) else view.ip
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"http://{host}:{STATUS_PORT}{STATUS_PATH}", headers=headers) as response,
        ):
            found = {name.lower(): value for name, value in response.headers.items()}
            if response.status == 401 and DRIVER_HEADER.lower() in found:
                raise token_refused()
            return Answer(response.status, found, await response.read())
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise ClusterError(f"no answer from {host}: {error}") from error


def _read(answer: Answer) -> Status | None:
    if DRIVER_HEADER.lower() not in answer.headers or answer.status != 200:
        return None
    try:
        return Status.from_json(json.loads(answer.body))
    except (ValueError, ProtocolError):
        return None
