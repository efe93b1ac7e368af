"""The rules of every read and write, whoever asks: a client over HTTP or one of the server's own controllers.

The order is the API server's (``apiserver/pkg/registry/generic``): decode, admit, default, validate, admit again, store.
Deleting is a write too: a pod that runs, or anything with finalizers, is only marked, and goes when nothing holds it.
"""

from __future__ import annotations

import copy
import secrets
import time
import uuid
from collections.abc import Callable
from typing import Any

from tests.kube import admission, clock, patch
from tests.kube.errors import (
    ApiError,
    already_exists,
    bad_request,
    bad_value,
    conflict,
    field_forbidden,
    invalid,
)
from tests.kube.kinds import NAMESPACES, PODS, Kind
from tests.kube.store import Key, Store

Json = dict[str, Any]

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""Of generated names (``apimachinery/pkg/util/rand``)."""
ENDED = ("Succeeded", "Failed")
SERVER_FIELDS = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "namespace",
)
"""Metadata that only the server writes."""


class Registry:
    """Objects behind their rules.

    :param store: what it keeps them in. :param kinds: what it knows.
    """

    def __init__(self, store: Store, kinds: tuple[Kind, ...]) -> None:
        self.store = store
        self._kinds = {kind.key: kind for kind in kinds}

    def register(self, kind: Kind) -> None:
        """Serve one more kind: what creating a CustomResourceDefinition does."""
        self._kinds[kind.key] = kind

    def kind(self, api_version: str, plural: str) -> Kind | None:
        return self._kinds.get((api_version, plural))

    @property
    def kinds(self) -> list[Kind]:
        return list(self._kinds.values())

    def decode(self, kind: Kind, value: Any, namespace: str, *, strict: bool = False) -> tuple[Json, list[str]]:
        """Return what a client sent as an object of a kind, and warnings.

        :raises ApiError: 400, it is none, or ``strict`` and it has unknown fields.
        """
        if not isinstance(value, dict):
            raise bad_request(f"the object provided is unrecognized (must be of type {kind.kind}): not a JSON object")
        sent = value.get("apiVersion", kind.api_version), value.get("kind", kind.kind)
        if sent != (kind.api_version, kind.kind):
            message = (
                f"the API version in the data ({sent[0]}) does not match the expected API version ({kind.api_version})"
            )
            raise bad_request(message if sent[0] != kind.api_version else f"{sent[1]} is not a {kind.kind}")
        unknown: list[str] = []
        if kind.schema is not None:
            value, unknown = kind.schema.decode(kind.kind, kind.version, value)
        if unknown and strict:
            found = ", ".join(f'unknown field "{path}"' for path in unknown)
            what = f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}'
            raise bad_request(f"{what}: strict decoding error: {found}")
        metadata = {**(value.get("metadata") or {})}
        metadata.pop("managedFields", None)
        if kind.namespaced and metadata.setdefault("namespace", namespace) != namespace:
            raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
        new = {**value, "kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata}
        return new, [f'unknown field "{path}"' for path in unknown]

    def create(self, kind: Kind, new: Json, *, dry_run: bool = False) -> Json:
        """Store a new, decoded object.

        :raises ApiError: 403, 404, 409 or 422.
        """
        new = copy.deepcopy(new)
        metadata = new["metadata"]
        if metadata.get("resourceVersion"):
            raise ApiError(500, "InternalError", "resourceVersion should not be set on objects to be created")
        if prefix := metadata.get("generateName"):
            metadata.setdefault("name", prefix + "".join(secrets.choice(_ALPHABET) for _ in range(5)))
        for name in SERVER_FIELDS[:-1]:
            metadata.pop(name, None)
        if kind.has_status:
            new.pop("status", None)
        metadata.setdefault("name", "")
        kind.default(new)
        admission.admit(self.store, kind, new)
        if causes := kind.validate(new, None):
            raise invalid(kind, metadata["name"], causes)
        admission.admit_valid(self.store, kind, new)
        if self.store.find(kind, (metadata.get("namespace", ""), metadata["name"])):
            raise already_exists(kind, metadata["name"])
        metadata.update(uid=str(uuid.uuid4()), creationTimestamp=clock.timestamp())
        if kind.generations or not kind.built_in:
            metadata["generation"] = 1
        if kind.finalizers:
            metadata["finalizers"] = [*(metadata.get("finalizers") or []), *kind.finalizers]
        return new if dry_run else self.store.put(kind, new)

    def change(
        self, kind: Kind, key: Key, build: Callable[[Json], Json], *, status: bool = False, dry_run: bool = False
    ) -> Json:
        """Replace an object by what ``build`` makes of a copy of it.

        :param status: the status is written and nothing else; otherwise everything but the status.
        :raises ApiError: 404, 409 or 422.
        """
        old = self.store.get(kind, key)
        new = build(copy.deepcopy(old))
        self._check_identity(kind, old, new)
        if not status:
            kind.default(new)
        new = self._merge(kind, old, new, status)
        if causes := self._violations(kind, new, old):
            raise invalid(kind, key[1], causes)
        if new == old:
            return old  # no write, no event
        if _released(new):
            return new if dry_run else self._remove(kind, old)
        return new if dry_run else self.store.put(kind, new)

    def _check_identity(self, kind: Kind, old: Json, new: Json) -> None:
        before, after = old["metadata"], new["metadata"]
        name = before["name"]
        if after.get("name", name) != name:
            raise bad_request(f"the name of the object ({after['name']}) does not match the name on the URL ({name})")
        if after.get("uid", before["uid"]) != before["uid"]:
            why = f"Precondition failed: UID in precondition: {after['uid']}, UID in object meta: {before['uid']}"
            raise conflict(kind, name, why)
        if after.get("resourceVersion") not in (None, "", before["resourceVersion"]):
            raise conflict(kind, name)

    def _merge(self, kind: Kind, old: Json, new: Json, status: bool) -> Json:
        if status and kind.has_status:
            merged = {**old, "status": new.get("status") or {}}
            return {key: value for key, value in merged.items() if key != "status" or value}
        if kind.has_status:
            new = {key: value for key, value in new.items() if key != "status"}
            new |= {"status": old["status"]} if "status" in old else {}
        kept = {key: old["metadata"][key] for key in SERVER_FIELDS if key in old["metadata"]}
        sent = {key: value for key, value in new["metadata"].items() if key not in SERVER_FIELDS}
        metadata = {
            **sent,
            **kept,
            "name": old["metadata"]["name"],
            "resourceVersion": old["metadata"]["resourceVersion"],
        }
        if "generation" in kept and new.get("spec") != old.get("spec"):
            metadata["generation"] = kept["generation"] + 1
        return {**new, "kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata}

    def _violations(self, kind: Kind, new: Json, old: Json) -> list[Any]:
        causes = list(kind.validate(new, old))
        fresh = set(new["metadata"].get("finalizers") or []) - set(old["metadata"].get("finalizers") or [])
        if fresh and old["metadata"].get("deletionTimestamp"):
            listed = ", ".join(f'"{name}"' for name in sorted(fresh))
            why = f"no new finalizers can be added if the object is being deleted, found new finalizers []string{{{listed}}}"
            causes.append(field_forbidden("metadata.finalizers", why))
        return causes

    def replace(self, kind: Kind, key: Key, new: Json, *, status: bool = False, dry_run: bool = False) -> Json:
        """Write a whole object, as PUT does."""
        if not kind.built_in and not new["metadata"].get("resourceVersion"):
            raise invalid(kind, key[1], [bad_value("metadata.resourceVersion", 0, "must be specified for an update")])
        return self.change(kind, key, lambda old: new, status=status, dry_run=dry_run)

    def patch(
        self, kind: Kind, key: Key, content_type: str, change: Any, *, status: bool = False, dry_run: bool = False
    ) -> Json:
        """Write part of an object, as PATCH does."""
        if content_type == patch.STRATEGIC and not kind.built_in:
            raise patch.unsupported_media_type(patch.JSON, patch.MERGE)

        def build(old: Json) -> Json:
            return self.decode(kind, patch.apply(content_type, old, change), key[0])[0]

        return self.change(kind, key, build, status=status, dry_run=dry_run)

    def delete(self, kind: Kind, key: Key, options: Json | None = None, *, dry_run: bool = False) -> Json:
        """Delete an object, or mark it where something holds it, and return what it is now.

        :param options: ``DeleteOptions``: ``gracePeriodSeconds``, ``preconditions``.
        :raises ApiError: 404, or 409 where a precondition fails.
        """
        options, old = options or {}, self.store.get(kind, key)
        self._check_preconditions(kind, old, options.get("preconditions") or {})
        if dry_run:
            return old
        grace = self._grace(kind, old, options.get("gracePeriodSeconds"))
        if not (held := grace > 0 or bool(old["metadata"].get("finalizers"))) and kind is not NAMESPACES:
            return self._remove(kind, old, mark=kind is PODS and "deletionTimestamp" in old["metadata"])
        if held or not old["metadata"].get("deletionTimestamp"):
            return self._mark(kind, old, grace)
        return old

    def _check_preconditions(self, kind: Kind, old: Json, wanted: Json) -> None:
        name, metadata = old["metadata"]["name"], old["metadata"]
        for key, words, sequel in (
            ("uid", "UID", "The object might have been deleted and then recreated"),
            ("resourceVersion", "ResourceVersion", "The object might have been modified"),
        ):
            if wanted.get(key) not in (None, metadata[key]):
                asked, is_now = f"precondition ({wanted[key]})", f"record ({metadata[key]})"
                raise conflict(
                    kind, name, f"the {words} in the {asked} does not match the {words} in {is_now}. {sequel}"
                )

    def _grace(self, kind: Kind, old: Json, asked: int | None) -> int:
        """Return for how many seconds a kubelet may still end what runs (``podStrategy.CheckGracefulDelete``)."""
        if kind is not PODS or not old["spec"].get("nodeName") or old["status"].get("phase") in ENDED:
            return 0
        grace = old["spec"].get("terminationGracePeriodSeconds", 30) if asked is None else max(asked, 0)
        earlier = old["metadata"].get("deletionGracePeriodSeconds")
        return grace if earlier is None else min(grace, earlier)

    def _mark(self, kind: Kind, old: Json, grace: int) -> Json:
        metadata = {**old["metadata"]}
        if metadata.get("deletionGracePeriodSeconds") == grace:
            return old
        metadata |= {"deletionTimestamp": clock.timestamp(time.time() + grace), "deletionGracePeriodSeconds": grace}
        if "generation" in metadata and "deletionTimestamp" not in old["metadata"]:
            metadata["generation"] += 1
        new = {**old, "metadata": metadata}
        if kind is NAMESPACES:
            metadata.pop("deletionGracePeriodSeconds")
            new["status"] = {"phase": "Terminating"}
        return self.store.put(kind, new)

    def _remove(self, kind: Kind, old: Json, *, mark: bool = False) -> Json:
        key = old["metadata"].get("namespace", ""), old["metadata"]["name"]
        if mark and old["metadata"].get("deletionGracePeriodSeconds") != 0:
            self._mark(kind, old, 0)  # a kubelet confirms the end of a pod by deleting it with a grace of 0
        return self.store.remove(kind, key)


def _released(new: Json) -> bool:
    """Whether an object that was marked is held by nothing any more."""
    metadata = new["metadata"]
    return (
        bool(metadata.get("deletionTimestamp"))
        and not metadata.get("finalizers")
        and metadata.get("deletionGracePeriodSeconds") == 0
    )
