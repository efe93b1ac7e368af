"""What a request asks for: verb, resource, namespace, name, subresource. Pure (``apiserver/pkg/endpoints/request``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import unquote

from tests.kube.errors import bad_request

_VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
TRUE = ("true", "1", "True")


@dataclass(frozen=True)
class Target:
    """The resource that a path names; ``rest`` is what follows the subresource, still encoded."""

    group: str
    version: str
    plural: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    rest: str | None = None

    @property
    def resource(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


@dataclass(frozen=True)
class Request:
    """A request's line and headers.

    :param path: without the query, encoded. :param query: one value per name; ``raw_query`` as it came.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    raw_query: str = ""

    @cached_property
    def target(self) -> Target | None:
        """The resource, or None for anything else, such as ``/version``."""
        return parse(self.path)

    @cached_property
    def verb(self) -> str:
        """What is asked for, as a rule of RBAC names it."""
        target = self.target
        if target is None:
            return self.method.lower()
        verb = _VERBS.get(self.method, self.method.lower())
        if target.name or target.subresource:
            return verb
        if verb == "get":
            return "watch" if self.flag("watch") else "list"
        return "deletecollection" if verb == "delete" else verb

    def flag(self, name: str) -> bool:
        return self.query.get(name, "") in TRUE

    def number(self, name: str) -> int | None:
        """Return a numeric parameter.

        :raises ApiError: 400, it is none.
        """
        text = self.query.get(name)
        if text is None or text == "":
            return None
        try:
            return int(text)
        except ValueError:
            raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None

    @property
    def dry_run(self) -> bool:
        return self.query.get("dryRun") == "All"


def parse(path: str) -> Target | None:
    """Return the resource that a path names, or None."""
    parts = path.split("/")[1:]
    if parts[0] == "api" and len(parts) > 2:
        group, version, parts = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, version, parts = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 1:
        namespace = unquote(parts[1])
        if len(parts) > 2 and parts[2] not in ("status", "finalize"):
            parts = parts[2:]
    plural, name, subresource = ([unquote(part) for part in parts[:3]] + ["", ""])[:3]
    rest = "/".join(parts[3:]) if len(parts) > 3 else None
    return Target(group, version, plural, namespace, name, subresource, rest)
