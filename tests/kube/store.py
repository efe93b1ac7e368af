"""What etcd and the watch cache are to a real API server: objects, one counter of revisions, and a history to resume from.

Every write is one revision, whatever its kind. Stored objects are never changed in place, so a reader may keep what it
got, and each event knows the object before, by which a watch with a selector tells who entered and who left.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from tests.kube.errors import not_found
from tests.kube.kinds import Kind

Json = dict[str, Any]
Key = tuple[str, str]
"""Namespace (empty for what has none) and name."""


@dataclass(frozen=True)
class Event:
    """One write.

    :param revision: its resourceVersion. :param new: the object, None where it went. :param old: what it was before.
    """

    revision: int
    kind: Kind
    key: Key
    new: Json | None
    old: Json | None

    @cached_property
    def final(self) -> Json:
        """What went, as watchers see it last: at the revision of its deletion."""
        assert self.old is not None
        return {**self.old, "metadata": {**self.old["metadata"], "resourceVersion": str(self.revision)}}

    def line(self, change: Literal["ADDED", "MODIFIED", "DELETED"], found: Json) -> bytes:
        """Return the line of a watch; encoded once, however many watch."""
        lines: dict[tuple[str, int], bytes] = self.__dict__.setdefault("_lines", {})
        if (change, id(found)) not in lines:
            lines[change, id(found)] = encode_event(change, found)
        return lines[change, id(found)]


def encode_event(change: str, found: Json) -> bytes:
    """Return one line of a watch."""
    return json.dumps({"type": change, "object": found}, separators=(",", ":")).encode() + b"\n"


class Store:
    """All objects of a cluster.

    :param revision: to start from; a fresh server's first resourceVersions are "too old", as on a cluster with a past.
    :param history: writes kept to resume watches and lists from.
    """

    def __init__(self, revision: int = 1000, history: int = 20_000) -> None:
        self.revision = self.compacted = revision
        self.listeners: list[Callable[[Event], None]] = []
        self._limit = history
        self._events: deque[Event] = deque()
        self._objects: dict[Kind, dict[Key, Json]] = {}

    def find(self, kind: Kind, key: Key) -> Json | None:
        return self._objects.get(kind, {}).get(key)

    def get(self, kind: Kind, key: Key) -> Json:
        """Return an object, not to be changed.

        :raises ApiError: 404.
        """
        if (found := self.find(kind, key)) is None:
            raise not_found(kind, key[1])
        return found

    def all(self, kind: Kind, namespace: str = "") -> list[Json]:
        """Return the objects of a kind, of one namespace or of all, in the order of their keys."""
        found = self._objects.get(kind, {})
        return [found[key] for key in sorted(found) if not namespace or key[0] == namespace]

    def put(self, kind: Kind, new: Json) -> Json:
        """Write an object and return it with its resourceVersion."""
        key = new["metadata"].get("namespace", ""), new["metadata"]["name"]
        objects = self._objects.setdefault(kind, {})
        old = objects.get(key)
        self.revision += 1
        objects[key] = {**new, "metadata": {**new["metadata"], "resourceVersion": str(self.revision)}}
        self._record(Event(self.revision, kind, key, objects[key], old))
        return objects[key]

    def remove(self, kind: Kind, key: Key) -> Json:
        """Take an object away and return what it was, at the revision of its end."""
        old = self._objects[kind].pop(key)
        self.revision += 1
        event = Event(self.revision, kind, key, None, old)
        self._record(event)
        return event.final

    def since(self, revision: int) -> list[Event]:
        """Return all writes after a revision.

        :raises LookupError: they are not all known any more.
        """
        if revision < self.compacted:
            raise LookupError(revision)
        missed = []
        for event in reversed(self._events):
            if event.revision <= revision:
                break
            missed.append(event)
        return missed[::-1]

    def at(self, kind: Kind, namespace: str, revision: int) -> list[Json]:
        """Return the objects of a kind as they were at a revision.

        :raises LookupError: that is no longer known.
        """
        found = dict(self._objects.get(kind, {}))
        for event in reversed(self.since(revision)):
            if event.kind is not kind:
                continue
            found.pop(event.key, None)
            if event.old is not None:
                found[event.key] = event.old
        return [found[key] for key in sorted(found) if not namespace or key[0] == namespace]

    def compact(self) -> None:
        """Forget the past, as etcd does every five minutes."""
        self._events.clear()
        self.revision += 1  # the compacted revision itself can still be read, so the present one must lie behind it
        self.compacted = self.revision

    def _record(self, event: Event) -> None:
        self._events.append(event)
        if len(self._events) > self._limit:
            self.compacted = self._events.popleft().revision
        for listener in list(self.listeners):
            listener(event)
