"""Who asks, and whether they may: bearer tokens, impersonation, and rules as RBAC has them.

A rule of a Role bound in some namespaces and one of a ClusterRole bound everywhere differ only in ``namespaces``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.kube.errors import ApiError, forbidden, unauthorized

if TYPE_CHECKING:
    from tests.kube.routes import Request

ANONYMOUS = "system:anonymous"
PUBLIC = frozenset({"/version", "/healthz", "/livez", "/readyz"})
"""What everybody may read (``system:public-info-viewer``)."""


@dataclass(frozen=True)
class Rule:
    """Permits something.

    :param verbs: ``get``, ``list``, ``watch``, ``create``, ``update``, ``patch``, ``delete`` …; ``*`` all.
    :param resources: plurals, subresources as ``pods/log``; ``*`` all, ``pods/*`` all of pods.
    :param namespaces: where; None everywhere, cluster-wide objects included.
    :param groups: API groups; the core group is the empty string.
    :param names: of single objects; None all.
    """

    verbs: tuple[str, ...]
    resources: tuple[str, ...]
    namespaces: tuple[str, ...] | None = None
    groups: tuple[str, ...] = ("*",)
    names: tuple[str, ...] | None = None

    def permits(self, verb: str, group: str, resource: str, namespace: str, name: str) -> bool:
        return (
            not {verb, "*"}.isdisjoint(self.verbs)
            and not {group, "*"}.isdisjoint(self.groups)
            and not {resource, "*", f"{resource.partition('/')[0]}/*"}.isdisjoint(self.resources)
            and (self.namespaces is None or namespace in self.namespaces)
            and (self.names is None or name in self.names)
        )


EVERYTHING = Rule(("*",), ("*",))


@dataclass
class User:
    """Somebody with a token.

    :param rules: what they may; nothing without any.
    """

    name: str
    token: str
    rules: list[Rule] = field(default_factory=list)

    def may(self, verb: str, group: str, resource: str, namespace: str, name: str = "") -> bool:
        return any(rule.permits(verb, group, resource, namespace, name) for rule in self.rules)


class Users:
    """Everybody the server knows."""

    def __init__(self) -> None:
        self._users: dict[str, User] = {}

    def add(self, user: User) -> User:
        self._users[user.name] = user
        return user

    def __getitem__(self, name: str) -> User:
        return self._users[name]

    def __iter__(self):
        return iter(self._users.values())

    def authenticate(self, authorization: str | None, impersonated: str | None) -> User:
        """Return who asks.

        :param authorization: the header; without one it is the anonymous user.
        :param impersonated: the header ``Impersonate-User``.
        :raises ApiError: 401 for an unknown token, 403 for impersonating without being allowed to.
        """
        user = self._by_header(authorization)
        if not impersonated:
            return user
        if not user.may("impersonate", "", "users", "", impersonated):
            why = f'User "{user.name}" cannot impersonate resource "users" in API group "" at the cluster scope'
            raise ApiError(403, "Forbidden", f'users "{impersonated}" is forbidden: {why}')
        return self._users.get(impersonated) or User(impersonated, "")

    def _by_header(self, authorization: str | None) -> User:
        if authorization is None:
            return User(ANONYMOUS, "")
        scheme, _, token = authorization.partition(" ")
        for user in self._users.values():
            if scheme.lower() == "bearer" and user.token == token.strip():
                return user
        raise unauthorized()


def authorize(user: User, request: Request) -> None:
    """Let a request pass.

    :raises ApiError: 403 with the verb, the resource with its subresource, and the namespace.
    """
    target = request.target
    if target is None:
        if request.path in PUBLIC or user.rules:
            return
        why = f'User "{user.name}" cannot {request.verb} path "{request.path}"'
        raise ApiError(403, "Forbidden", f"forbidden: {why}", {})
    resource = f"{target.plural}/{target.subresource}" if target.subresource else target.plural
    if user.may(request.verb, target.group, resource, target.namespace, target.name):
        return
    scope = f'in the namespace "{target.namespace}"' if target.namespace else "at the cluster scope"
    why = f'User "{user.name}" cannot {request.verb} resource "{resource}" in API group "{target.group}" {scope}'
    raise forbidden(target, target.name, why)
