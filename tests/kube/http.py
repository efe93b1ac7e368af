"""The HTTP side: every request through the same gates, in the API server's order, to the registry and back.

Count and log it, strike it with faults, authenticate, authorize, find the resource, answer. Whatever refuses raises.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.kube import proxy, subresources
from tests.kube.auth import Users, authorize
from tests.kube.discovery import discover
from tests.kube.errors import ApiError, bad_request, details
from tests.kube.kinds import Kind
from tests.kube.patch import unsupported_media_type
from tests.kube.routes import Request, Target
from tests.kube.watch import Stream, Watch, listing, predicate

if TYPE_CHECKING:
    from tests.kube.cluster import Cluster
    from tests.kube.faults import Faults

Json = dict[str, Any]

LARGEST_BODY = 3 * 1024 * 1024
"""Bytes (``MaxRequestBodyBytes`` of the API server)."""


@dataclass
class Seen:
    """A request that came; ``user`` and ``status`` are filled in once they are known, at the end of a watch the latter."""

    time: float
    verb: str
    resource: str
    namespace: str
    name: str
    path: str
    user: str = ""
    status: int = 0


class Requests:
    """All requests so far, the newest of them in full."""

    def __init__(self) -> None:
        self.log: deque[Seen] = deque(maxlen=100_000)
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, seen: Seen) -> None:
        self.log.append(seen)
        self._counts[seen.verb, seen.resource] += 1

    def count(self, verb: str | None = None, resource: str | None = None) -> int:
        """Return how many there were.

        :param verb: ``get``, ``list``, ``watch`` … :param resource: plural with subresource: ``pods``, ``pods/log``.
        """
        return sum(
            number
            for (one_verb, one_resource), number in self._counts.items()
            if verb in (None, one_verb) and resource in (None, one_resource)
        )


class Api:
    """Answers requests for one cluster.

    :param bookmark_s: seconds between the bookmarks of a watch.
    """

    def __init__(self, cluster: Cluster, users: Users, faults: Faults, requests: Requests, bookmark_s: float) -> None:
        self._cluster, self._users, self._faults, self._requests = cluster, users, faults, requests
        self._bookmark_s = bookmark_s

    async def handle(self, raw: web.Request) -> web.StreamResponse:
        """Answer one request."""
        url = raw.rel_url
        request = Request(raw.method, url.raw_path, url.query, raw.headers, url.raw_query_string)
        seen = self._note(request)
        try:
            await self._faults.strike(request, raw)
            asking = self._users.authenticate(raw.headers.get("Authorization"), raw.headers.get("Impersonate-User"))
            seen.user = asking.name
            authorize(asking, request)
            answer = await self._answer(request, raw, asking.may)
            seen.status = answer.status
            await self._faults.strike(request, raw, after=True)
        except ApiError as refusal:
            answer = json_answer(refusal.body, refusal.code, refusal.headers)
        except web.HTTPRequestEntityTooLarge:
            message = f"Request entity too large: limit is {LARGEST_BODY}"
            answer = json_answer(ApiError(413, "RequestEntityTooLarge", message).body, 413)
        except web.HTTPTooManyRequests as refusal:
            again = {"Retry-After": refusal.headers["Retry-After"]}
            answer = web.Response(status=refusal.status, text=refusal.text, headers=again)
        seen.status = answer.status
        return answer

    def _note(self, request: Request) -> Seen:
        target = request.target or Target("", "", "")
        resource = "/".join(filter(None, (target.plural, target.subresource)))
        seen = Seen(time.time(), request.verb, resource, target.namespace, target.name, request.path)
        self._requests.add(seen)
        return seen

    async def _answer(self, request: Request, raw: web.Request, may: Callable[..., bool]) -> web.StreamResponse:
        target = request.target
        if target is None:
            return discover(self._cluster.registry, request.path)
        if target.plural == "selfsubjectaccessreviews" and request.verb == "create":
            return json_answer(subresources.access_review(await _body(raw), may), 201)
        kind = self._cluster.registry.kind(target.api_version, target.plural)
        if kind is None:
            return web.Response(status=404, text="404 page not found\n")
        if target.subresource and target.subresource != "status":
            return await self._subresource(request, raw, target)
        handlers: dict[str, Callable[..., Awaitable[web.StreamResponse]]] = {
            "get": self._get, "list": self._list, "watch": self._watch, "create": self._create, "update": self._update,
            "patch": self._patch, "delete": self._delete, "deletecollection": self._delete_all,
        }  # fmt: skip
        if request.verb not in handlers or (target.subresource == "status" and not kind.has_status):
            raise ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
        return await handlers[request.verb](request, raw, kind, target)

    async def _subresource(self, request: Request, raw: web.Request, target: Target) -> web.StreamResponse:
        what = f"{target.plural}/{target.subresource}"
        if what == "pods/log" and request.verb == "get":
            return await subresources.log(self._cluster, request, raw, target)
        if what == "pods/eviction" and request.verb == "create":
            return json_answer(subresources.evict(self._cluster, target, await _body(raw)), 201)
        if what == "pods/proxy":
            return await proxy.forward(self._cluster, request, target, await raw.read())
        raise ApiError(404, "NotFound", "the server could not find the requested resource")

    async def _get(self, request: Request, raw: web.Request, kind: Kind, target: Target) -> web.StreamResponse:
        if request.flag("watch"):
            return await self._watch(request, raw, kind, target)
        return json_answer(self._cluster.store.get(kind, _key(kind, target)))

    async def _list(self, request: Request, raw: web.Request, kind: Kind, target: Target) -> web.StreamResponse:
        return json_answer(listing(self._cluster.store, request, kind, target))

    async def _watch(self, request: Request, raw: web.Request, kind: Kind, target: Target) -> web.StreamResponse:
        watch, stream = Watch(self._cluster.store, request, kind, target, self._bookmark_s), Stream()
        answer = web.StreamResponse(headers={"Content-Type": "application/json"})
        answer.enable_chunked_encoding()
        self._faults.streams.add(stream)
        try:
            await answer.prepare(raw)
            async with contextlib.aclosing(watch.lines(stream)) as news:
                async for lines in news:
                    if lines:
                        await answer.write(lines)
        finally:
            self._faults.streams.discard(stream)
        if stream.abruptly and raw.transport is not None:
            raw.transport.abort()
            raise asyncio.CancelledError
        await answer.write_eof()
        return answer

    async def _create(self, request: Request, raw: web.Request, kind: Kind, target: Target) -> web.StreamResponse:
        new, warnings = self._decode(request, kind, target, await _body(raw))
        made = self._cluster.registry.create(kind, new, dry_run=request.dry_run)
        return json_answer(made, 201, _warning(warnings))

    def _decode(self, request: Request, kind: Kind, target: Target, body: Any) -> tuple[Json, list[str]]:
        level = request.query.get("fieldValidation", "Warn")
        new, warnings = self._cluster.registry.decode(kind, body, target.namespace, strict=level == "Strict")
        return new, [] if level == "Ignore" else warnings

    async def _update(self, request: Request, raw: web.Request, kind: Kind, target: Target) -> web.StreamResponse:
        new, warnings = self._decode(request, kind, target, await _body(raw))
        status = target.subresource == "status"
        made = self._cluster.registry.replace(kind, _key(kind, target), new, status=status, dry_run=request.dry_run)
        return json_answer(made, headers=_warning(warnings))

    async def _patch(self, request: Request, raw: web.Request, kind: Kind, target: Target) -> web.StreamResponse:
        change = await _json(raw)
        made = self._cluster.registry.patch(
            kind,
            _key(kind, target),
            raw.content_type,
            change,
            status=target.subresource == "status",
            dry_run=request.dry_run,
        )
        return json_answer(made)

    async def _delete(self, request: Request, raw: web.Request, kind: Kind, target: Target) -> web.StreamResponse:
        key = _key(kind, target)
        found = self._cluster.registry.delete(kind, key, await _delete_options(request, raw), dry_run=request.dry_run)
        if kind.returns_deleted or "deletionTimestamp" in found["metadata"]:
            return json_answer(found)
        about = details(kind, target.name, uid=found["metadata"]["uid"])
        return json_answer(
            {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": about}
        )

    async def _delete_all(self, request: Request, raw: web.Request, kind: Kind, target: Target) -> web.StreamResponse:
        options, matches = await _delete_options(request, raw), predicate(request, kind)
        before = listing(self._cluster.store, request, kind, target)
        for found in self._cluster.store.all(kind, target.namespace):
            if matches(found):
                self._cluster.registry.delete(kind, self._cluster.key(found), options, dry_run=request.dry_run)
        return json_answer(before)


def _key(kind: Kind, target: Target) -> tuple[str, str]:
    return (target.namespace if kind.namespaced else ""), target.name


def _warning(warnings: list[str]) -> dict[str, str]:
    quoted = [text.replace('"', '\\"') for text in warnings]
    return {"Warning": ", ".join(f'299 - "{text}"' for text in quoted)} if warnings else {}


async def _json(raw: web.Request) -> Any:
    try:
        return json.loads(await raw.read())
    except ValueError as error:
        raise bad_request(
            f"the object provided is unrecognized: couldn't get version/kind; json parse error: {error}"
        ) from None


async def _body(raw: web.Request) -> Any:
    if raw.content_type not in ("application/json", "application/octet-stream"):
        raise unsupported_media_type("application/json")
    return await _json(raw)


async def _delete_options(request: Request, raw: web.Request) -> Json:
    """Return how to delete; where a body is sent, the query's parameters do not count."""
    if await raw.read():
        found: Json = await _json(raw)
        return found
    grace = request.number("gracePeriodSeconds")
    return {} if grace is None else {"gracePeriodSeconds": grace}


def json_answer(found: Json, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Return an object or a Status as an answer."""
    body = json.dumps(found, separators=(",", ":")).encode()
    common = {"Content-Type": "application/json", "Cache-Control": "no-cache, private"}
    return web.Response(status=status, body=body, headers={**common, **(headers or {})})
