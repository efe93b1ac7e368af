"""Lists and watches: reading many objects at once, now, as they were, or as they change.

A watch resumes from a resourceVersion or is told, inside an answer of 200, that it is too old. With a selector it shows
an object that begins to match as ADDED and one that ceases to as DELETED.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.kube.errors import ApiError, bad_request, expired, invalid, unsupported
from tests.kube.kinds import Kind
from tests.kube.routes import Request, Target
from tests.kube.selectors import Predicate, by_fields, by_labels
from tests.kube.store import Event, Store, encode_event

Json = dict[str, Any]

LONGEST_S = 1800.0
"""Of a watch that does not say ``timeoutSeconds``."""
TOO_OLD = "The resourceVersion for the provided list is too old."
TOO_OLD_CONTINUE = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without the "
    "continue parameter, or use the continue token in this response to retrieve the remainder of the results."
)


@dataclass(eq=False)
class Stream:
    """A watch that goes on: what it has still to show, None to look up.

    :param ended: it was cut; ``abruptly``: without a proper end of the answer.
    """

    events: asyncio.Queue[Event | None] = field(default_factory=asyncio.Queue)
    ended: bool = False
    abruptly: bool = False

    def cut(self, *, abruptly: bool) -> None:
        """End it now, whatever it has still to show."""
        self.ended, self.abruptly = True, abruptly
        self.events.put_nowait(None)


def predicate(request: Request, kind: Kind) -> Predicate:
    """Return what a request selects."""
    labels = by_labels(request.query.get("labelSelector", ""))
    fields = by_fields(request.query.get("fieldSelector", ""), kind)
    return lambda found: labels(found) and fields(found)


def _revision(request: Request, kind: Kind) -> int:
    text = request.query.get("resourceVersion") or "0"
    if not text.isdecimal():
        cause = f'strconv.ParseUint: parsing "{text}": invalid syntax'
        raise ApiError(400, "BadRequest", f'resourceVersion: Invalid value: "{text}": {cause}')
    return int(text)


def listing(store: Store, request: Request, kind: Kind, target: Target) -> Json:
    """Return a list.

    :raises ApiError: 400, 410 or 504 for a selector or a revision that cannot be served.
    """
    matches, limit = predicate(request, kind), request.number("limit") or 0
    revision, after, objects = _snapshot(store, request, kind, target)
    found = [one for one in objects if matches(one) and _place(one) > after]
    metadata: Json = {"resourceVersion": str(revision)}
    if not kind.built_in:
        metadata["continue"] = ""  # as the API server writes it for custom resources
    if limit and len(found) > limit:
        token = {"rv": revision, "start": _place(found[limit - 1])}
        metadata["continue"] = base64.urlsafe_b64encode(json.dumps(token).encode()).decode()
        if "labelSelector" not in request.query and "fieldSelector" not in request.query:
            metadata["remainingItemCount"] = len(found) - limit
        found = found[:limit]
    if kind.built_in:
        found = [{key: value for key, value in one.items() if key not in ("kind", "apiVersion")} for one in found]
    return {"kind": f"{kind.kind}List", "apiVersion": kind.api_version, "metadata": metadata, "items": found}


def _place(found: Json) -> list[str]:
    return [found["metadata"].get("namespace", ""), found["metadata"]["name"]]


def _snapshot(store: Store, request: Request, kind: Kind, target: Target) -> tuple[int, list[str], list[Json]]:
    """Return a revision, the place to go on after, and the objects of that revision."""
    namespace = target.namespace
    if token := request.query.get("continue"):
        try:
            said = json.loads(base64.urlsafe_b64decode(token))
            return said["rv"], said["start"], store.at(kind, namespace, said["rv"])
        except LookupError:
            raise expired(TOO_OLD_CONTINUE) from None
        except ValueError:
            raise bad_request("continue key is not valid") from None
    revision, match = _revision(request, kind), request.query.get("resourceVersionMatch", "")
    if revision > store.revision:
        message = f"Timeout: Too large resource version: {revision}, current: {store.revision}"
        raise ApiError(504, "Timeout", message, {"retryAfterSeconds": 1}, {"Retry-After": "1"})
    if match == "Exact":
        try:
            return revision, [], store.at(kind, namespace, revision)
        except LookupError:
            raise expired(TOO_OLD) from None
    return store.revision, [], store.all(kind, namespace)


class Watch:
    """One watch, from its request to its end.

    :param bookmark_s: seconds between bookmarks, where the client allows them.
    """

    def __init__(self, store: Store, request: Request, kind: Kind, target: Target, bookmark_s: float) -> None:
        if request.flag("sendInitialEvents"):
            cause = unsupported("sendInitialEvents", True, ("false",))
            raise invalid(kind, target.name, [cause])
        self._store, self._kind, self._target = store, kind, target
        self._matches = predicate(request, kind)
        self._from = _revision(request, kind)
        self._bookmark_s = bookmark_s if request.flag("allowWatchBookmarks") else LONGEST_S * 10
        timeout = request.number("timeoutSeconds")
        self._until = time.monotonic() + (timeout or LONGEST_S)

    async def lines(self, stream: Stream) -> AsyncGenerator[bytes, None]:
        """Yield the events until the time is over or the stream is cut."""
        try:
            missed = self._store.since(self._from) if self._from else []
        except LookupError:
            message = f"too old resource version: {self._from} ({self._store.compacted})"
            yield encode_event("ERROR", expired(message).body)
            return
        listener: Callable[[Event], None] = stream.events.put_nowait
        self._store.listeners.append(listener)
        try:
            yield b"".join([*self._initial(), *(line for event in missed for line in self._shown(event))])
            async for line in self._live(stream):
                yield line
        finally:
            self._store.listeners.remove(listener)

    def _initial(self) -> Iterator[bytes]:
        if not self._from:
            for found in self._store.all(self._kind, self._target.namespace):
                if self._concerns(found):
                    yield encode_event("ADDED", found)

    async def _live(self, stream: Stream) -> AsyncIterator[bytes]:
        bookmark_at = time.monotonic() + self._bookmark_s
        while not stream.ended and (now := time.monotonic()) < self._until:
            event = None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(min(self._until, bookmark_at) - now, 0)):
                    event = await stream.events.get()
            if stream.ended:
                return
            if event is not None:
                yield b"".join(self._shown(event))
            elif time.monotonic() >= bookmark_at:
                bookmark_at += self._bookmark_s
                yield self._bookmark()

    def _shown(self, event: Event) -> Iterator[bytes]:
        if event.kind is not self._kind:
            return
        before = event.old is not None and self._concerns(event.old)
        if event.new is not None and self._concerns(event.new):
            yield event.line("MODIFIED" if before else "ADDED", event.new)
        elif before:
            yield event.line("DELETED", event.final)

    def _concerns(self, found: Json) -> bool:
        namespace, metadata = self._target.namespace, found["metadata"]
        here = not namespace or metadata.get("namespace", metadata["name"]) == namespace
        named = not self._target.name or metadata["name"] == self._target.name
        return here and named and self._matches(found)

    def _bookmark(self) -> bytes:
        kind = self._kind
        metadata = {"resourceVersion": str(self._store.revision)}
        found = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata, **kind.bookmark}
        return encode_event("BOOKMARK", found)
