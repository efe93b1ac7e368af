"""The few calls to Kubernetes' API that a run needs: plain data in and out, refusals explained.

Asynchronous, and only that: one implementation serves the triggerer's event loop, and :mod:`.sync` runs it for everybody
else. The generated client is used for connections and credentials alone; its models would cost more time than the network.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_lmeval.backends.kubernetes.clock import ServerClock
from airflow_provider_lmeval.backends.kubernetes.refusal import explain, retry_after
from airflow_provider_lmeval.errors import ClusterError

if TYPE_CHECKING:
    from kubernetes_asyncio.client import ApiClient

CALL_TIMEOUT_S = 30.0
PATIENCE_S = 120.0
"""How long a call is repeated while the API server is overloaded, restarting or out of reach."""
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 15.0
PAGE = 250
"""Pods in one answer to a list: parsing more at once would hold up an event loop."""
PLURALS = {"ConfigMap": "configmaps", "PersistentVolumeClaim": "persistentvolumeclaims"}
PROXY = "/proxy/"
MERGE_PATCH = "application/merge-patch+json"


@dataclass(frozen=True)
class Call:
    """One request.

    :param method: HTTP method. :param path: below the server's address, without query.
    :param headers: beside those of the client. :param timeout_s: for the whole exchange.
    """

    method: str
    path: str
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = CALL_TIMEOUT_S


@dataclass(frozen=True)
class Answer:
    """What came back: ``headers`` with names in lower case, the whole ``body``."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Decode the body."""
        return json.loads(self.body)


class Api:
    """An open connection to a cluster.

    :param client: a client of ``kubernetes_asyncio``, open.
    :param patience_s: how long a call is repeated when an error may pass; 0: never.
    :param clock: told by every answer what time it is at the server.
    """

    def __init__(self, client: ApiClient, patience_s: float = PATIENCE_S, clock: ServerClock | None = None) -> None:
        self._client = client
        self._patience_s = patience_s
        self.clock = clock or ServerClock()

    def patient(self, seconds: float) -> Api:
        """Return the same connection with another patience."""
        return Api(self._client, seconds, self.clock)

    async def version(self) -> str:
        """Return the server's version."""
        return str((await self.send(Call("GET", "/version"))).json()["gitVersion"])

    async def get(self, path: str) -> dict[str, Any]:
        """Read an object. :raises ClusterError: 404 if it is not there."""
        return dict((await self.send(Call("GET", path))).json())

    async def get_pod(self, namespace: str, name: str) -> dict[str, Any]:
        """Read a pod. :raises ClusterError: 404 if it is not there."""
        return await self.get(f"{_pods(namespace)}/{name}")

    async def list_pods(self, namespace: str, selector: str) -> tuple[list[dict[str, Any]], str]:
        """Return all pods with the labels, and the resource version from which to watch on."""
        return await self.list_all(_pods(namespace), selector)

    async def list_all(self, path: str, selector: str = "", page_size: int = PAGE) -> tuple[list[dict[str, Any]], str]:
        """Return all objects with the labels, and the resource version from which to watch on."""
        items: list[dict[str, Any]] = []
        query: dict[str, Any] = {"labelSelector": selector} if selector else {}
        query["limit"] = page_size
        while True:
            page = (await self.send(Call("GET", path, query))).json()
            items += page["items"]
            if not (more := page["metadata"].get("continue")):
                return items, page["metadata"]["resourceVersion"]
            query["continue"] = more

    async def create_pod(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Create a pod and return it, with its UID. :raises ClusterError: 409 if the name is taken."""
        return await self.create(_pods(manifest["metadata"]["namespace"]), manifest)

    async def create(self, path: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Create an object and return it, with its UID. :raises ClusterError: 409 if the name is taken."""
        return dict((await self.send(Call("POST", path, body=manifest))).json())

    async def create_missing(self, manifest: Mapping[str, Any]) -> bool:
        """Create a ConfigMap or a claim, unless it is there. :returns: whether it was created."""
        path = f"/api/v1/namespaces/{manifest['metadata']['namespace']}/{PLURALS[manifest['kind']]}"
        try:
            await self.send(Call("POST", path, body=manifest))
        except ClusterError as error:
            if error.status != 409:
                raise
            return False
        return True

    async def list_claims(self, namespace: str, selector: str) -> list[dict[str, Any]]:
        """Return all claims with the labels."""
        query = {"labelSelector": selector}
        return list((await self.send(Call("GET", _claims(namespace), query))).json()["items"])

    async def delete_claim(self, namespace: str, name: str) -> bool:
        """Delete a claim, whose volume lasts until no pod uses it. :returns: whether it was there."""
        try:
            await self.send(Call("DELETE", f"{_claims(namespace)}/{name}"))
        except ClusterError as error:
            if error.status == 404:
                return False
            raise
        return True

    async def delete_pod(self, namespace: str, name: str, uid: str, grace_s: int | None = None) -> bool:
        """Delete this very pod, and no other of its name. :returns: whether it was there."""
        return await self.delete(f"{_pods(namespace)}/{name}", uid, grace_s)

    async def delete(self, path: str, uid: str, grace_s: int | None = None) -> bool:
        """Delete this very object, and no other of its name. :returns: whether it was there."""
        body: dict[str, Any] = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": uid}}
        body |= {} if grace_s is None else {"gracePeriodSeconds": grace_s}
        try:
            await self.send(Call("DELETE", path, body=body))
        except ClusterError as error:
            if error.status in (404, 409):
                return False
            raise
        return True

    async def patch_pod(self, namespace: str, name: str, patch: Mapping[str, Any]) -> None:
        """Change a pod by a merge patch (RFC 7386)."""
        await self.send(Call("PATCH", f"{_pods(namespace)}/{name}", body=patch, content_type=MERGE_PATCH))

    async def pod_log(self, namespace: str, name: str, container: str) -> str:
        """Return a container's log, as far as the kubelet has kept it."""
        path = f"{_pods(namespace)}/{name}/log"
        answer = await self.send(Call("GET", path, {"container": container}, timeout_s=300))
        return answer.body.decode("utf-8", "replace")

    async def warnings(self, namespace: str, uid: str) -> list[str]:
        """Return what the events about a pod warn of, oldest first."""
        query = {"fieldSelector": f"involvedObject.uid={uid},type=Warning"}
        found = (await self.send(Call("GET", f"/api/v1/namespaces/{namespace}/events", query))).json()["items"]
        return [f"{event.get('reason')}: {event.get('message')}" for event in found]

    async def send(self, call: Call) -> Answer:
        """Send a request; repeat it while the error may pass.

        :raises ClusterError: the server refused, or there was no answer.
        """
        now, pause = asyncio.get_running_loop().time, FIRST_PAUSE_S
        end = now() + self._patience_s
        while True:
            try:
                return await self._send(call)
            except ClusterError as error:
                wait = retry_after(error) or pause * random.uniform(0.5, 1.5)  # noqa: S311 - jitter
                if not error.transient or now() + wait > end:
                    raise
            await asyncio.sleep(wait)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    async def _send(self, call: Call) -> Answer:
        async with self.opened(call) as response:
            return Answer(response.status, _lower(response.headers), await response.read())

    @asynccontextmanager
    async def opened(self, call: Call, limits: Any = None) -> AsyncIterator[Any]:
        """Send a request and yield the response, its body unread.

        :param limits: aiohttp's ``ClientTimeout``, where one time for the whole exchange will not do.
        :raises ClusterError: the server refused, there was no answer, or it broke off.
        """
        import aiohttp

        try:
            response = await self._client.call_api(
                call.path,
                call.method,
                query_params=list(call.query.items()),
                header_params={"Accept": "application/json", "Content-Type": call.content_type} | dict(call.headers),
                body=call.body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _request_timeout=limits or call.timeout_s,
            )
            async with response:
                if PROXY not in call.path:  # what comes through it is dated by the pod's node
                    self.clock.note(response.headers.get("Date"))
                if response.status >= 400:
                    raise explain(call.method, call.path, response.status, await response.read(), response.headers)
                yield response
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = str(error) or type(error).__name__
            raise ClusterError(f"no answer from Kubernetes to {call.method} {call.path}: {reason}") from error


async def lines(content: Any) -> AsyncIterator[bytes]:
    """Yield the lines of a body as they come, without empty ones."""
    rest = b""
    async for chunk in content.iter_any():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if line:
                yield line


def _pods(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods"


def _claims(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/{PLURALS['PersistentVolumeClaim']}"


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
