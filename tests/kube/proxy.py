"""``pods/proxy``: hands a request to a port of a pod, and the pod's answer back.

What is traps for clients is kept: ``Authorization`` stays here, other headers pass, the pod's status codes pass, and what
cannot be reached is a 503 with a Status: refused at once while the pod's network exists, no route after seconds when not.
``https:`` before the pod's name makes it TLS, without a look at the pod's certificate and without one to show
(https://kubernetes.io/docs/tasks/access-application-cluster/access-cluster-services/#manually-constructing-apiserver-proxy-urls).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import web
from yarl import URL

from tests.kube.errors import bad_request, unavailable
from tests.kube.kinds import PODS
from tests.kube.routes import Request, Target
from tests.kube.scripted import ScriptedSandbox

if TYPE_CHECKING:
    from tests.kube.cluster import Cluster

Json = dict[str, Any]

DROPPED = frozenset(
    {"authorization", "host", "connection", "content-length", "transfer-encoding", "upgrade", "keep-alive"}
)
"""Headers that are not handed on; the impersonation headers neither."""
MISUNDERSTOOD = "error trying to reach service: EOF"
"""One side speaks TLS and the other does not, or asks for a certificate."""


async def forward(cluster: Cluster, request: Request, target: Target, body: bytes) -> web.StreamResponse:
    """Answer a request with what the pod answers.

    :raises ApiError: 404 no such pod, 400 it has no address, 503 it cannot be reached.
    """
    if target.rest is None and not request.path.endswith("/"):
        return web.Response(status=301, headers={"Location": f"{request.path}/"})
    scheme, name, port = _address(target.name)
    pod = cluster.store.get(PODS, (target.namespace, name))
    address = pod["status"].get("podIP")
    if not address:
        raise bad_request("address not allowed")
    if port is None:
        port = next((one["containerPort"] for one in _ports(pod)), 80)
    path = f"/{target.rest or ''}"
    if not cluster.settings.runs:  # whatever wrote the pod's status may also answer at the address it wrote
        return await _dial(_plain_socket, f"{scheme}://{address}:{port}{path}", request, body)
    worker = cluster.workers.get(pod["metadata"]["uid"])
    sandbox = worker.sandbox if worker is not None and worker.view.sandbox else None
    where = f"error trying to reach service: dial tcp {address}:{port}: connect:"
    if sandbox is None or worker is None or not worker.node.online.is_set():
        await asyncio.sleep(cluster.settings.unreachable_s)
        raise unavailable(f"{where} no route to host")
    if isinstance(sandbox, ScriptedSandbox):
        running = any(view.running for view in worker.view.main)
        if sandbox.script.serves is None or not running:
            raise unavailable(f"{where} connection refused")
        if sandbox.script.tls is not (scheme == "https"):
            raise unavailable(MISUNDERSTOOD)
        status, headers, content = sandbox.script.serves(request.method, path, _handed_on(request))
        return web.Response(status=status, headers=headers, body=content)
    return await _dial(sandbox.new_socket, f"{scheme}://{address}:{port}{path}", request, body)


async def _dial(new_socket: Any, url: str, request: Request, body: bytes) -> web.StreamResponse:
    try:
        return await _exchange(new_socket, url, request, body)
    except (aiohttp.ClientConnectorSSLError, ssl.SSLError):
        raise unavailable(MISUNDERSTOOD) from None
    except aiohttp.ClientConnectorError:
        where = f"error trying to reach service: dial tcp {URL(url).host}:{URL(url).port}: connect:"
        raise unavailable(f"{where} connection refused") from None
    except (aiohttp.ClientError, OSError):
        raise unavailable("error trying to reach service: EOF") from None


def _plain_socket() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM)


def _address(name: str) -> tuple[str, str, int | None]:
    """Take ``[[scheme:]name][:port]`` apart.

    :raises ApiError: 400, it is neither.
    """
    parts = name.split(":")
    scheme = parts.pop(0) if len(parts) == 3 else "http"
    pod, port = (*parts, "")[:2]
    if len(parts) > 2 or scheme not in ("", "http", "https") or not pod or not (port.isdecimal() or len(parts) == 1):
        raise bad_request(f'invalid pod request "{name}"')
    return scheme or "http", pod, int(port) if port else None


def _ports(pod: Json) -> list[Json]:
    return [port for container in pod["spec"]["containers"] for port in container.get("ports") or []]


def _handed_on(request: Request) -> dict[str, str]:
    """Return the headers that reach the pod."""
    lost = {name for name in request.headers if name.lower() in DROPPED or name.lower().startswith("impersonate-")}
    return {name: value for name, value in request.headers.items() if name not in lost}


async def _exchange(new_socket: Any, url: str, request: Request, body: bytes) -> web.StreamResponse:
    def in_pod(_: Any) -> socket.socket:
        found: socket.socket = new_socket()
        found.setblocking(False)
        return found

    connector = aiohttp.TCPConnector(socket_factory=in_pod, force_close=True)
    async with (
        aiohttp.ClientSession(connector=connector, auto_decompress=False) as session,
        session.request(
            request.method,
            URL(f"{url}?{request.raw_query}" if request.raw_query else url, encoded=True),
            headers={**_handed_on(request), "X-Forwarded-For": "127.0.0.1"},
            data=body or None,
            allow_redirects=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            ssl=False,
        ) as answer,
    ):
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in DROPPED}
        return web.Response(status=answer.status, headers=kept, body=await answer.read())
