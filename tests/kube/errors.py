"""The API's refusals: one exception that knows its ``Status`` body, and the sentences of a real API server.

Clients match on these sentences ("exceeded quota", "already exists"), so each is the recorded or documented wording of
Kubernetes 1.36 (``apimachinery/pkg/api/errors`` and ``util/validation/field``).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from tests.kube.kinds import Kind


class ApiError(Exception):
    """A request that is answered with a ``Status``.

    :param code: HTTP status. :param reason: machine-readable, CamelCase. :param headers: of the answer.
    """

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code, self.reason, self.message, self.details = code, reason, message, details
        self.headers = headers or {}

    @property
    def body(self) -> dict[str, Any]:
        status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": self.message}
        details = {"details": self.details} if self.details else {}
        return {**status, "reason": self.reason, **details, "code": self.code}


@dataclass(frozen=True)
class Cause:
    """One violation, as ``field.Error``; ``reason`` is a ``CauseType`` such as ``FieldValueInvalid``."""

    reason: str
    field: str
    message: str


def required(field: str, detail: str = "") -> Cause:
    return Cause("FieldValueRequired", field, f"Required value: {detail}" if detail else "Required value")


def bad_value(field: str, value: Any, detail: str) -> Cause:
    return Cause("FieldValueInvalid", field, f"Invalid value: {json.dumps(value)}: {detail}")


def duplicate(field: str, value: Any) -> Cause:
    return Cause("FieldValueDuplicate", field, f"Duplicate value: {json.dumps(value)}")


def missing(field: str, value: Any) -> Cause:
    return Cause("FieldValueNotFound", field, f"Not found: {json.dumps(value)}")


def unsupported(field: str, value: Any, allowed: Sequence[str]) -> Cause:
    names = ", ".join(f'"{name}"' for name in allowed)
    return Cause("FieldValueNotSupported", field, f"Unsupported value: {json.dumps(value)}: supported values: {names}")


def too_long(field: str, limit: int) -> Cause:
    return Cause("FieldValueTooLong", field, f"Too long: may not be more than {limit} bytes")


def field_forbidden(field: str, detail: str) -> Cause:
    return Cause("FieldValueForbidden", field, f"Forbidden: {detail}")


class Resource(Protocol):
    """What a refusal says about the kind of an object, known or not."""

    @property
    def group(self) -> str: ...

    @property
    def plural(self) -> str: ...

    @property
    def resource(self) -> str: ...


def details(kind: Resource, name: str | None = None, **more: Any) -> dict[str, Any]:
    """Return a Status's details for a resource (its plural), the group only where there is one."""
    named = {"name": name} if name else {}
    group = {"group": kind.group} if kind.group else {}
    return {**named, **group, "kind": kind.plural, **more}


def not_found(kind: Kind, name: str) -> ApiError:
    return ApiError(404, "NotFound", f'{kind.resource} "{name}" not found', details(kind, name))


def already_exists(kind: Kind, name: str) -> ApiError:
    return ApiError(409, "AlreadyExists", f'{kind.resource} "{name}" already exists', details(kind, name))


def conflict(kind: Kind, name: str, why: str = "") -> ApiError:
    why = why or "the object has been modified; please apply your changes to the latest version and try again"
    message = f'Operation cannot be fulfilled on {kind.resource} "{name}": {why}'
    return ApiError(409, "Conflict", message, details(kind, name))


def forbidden(kind: Resource, name: str | None, why: str) -> ApiError:
    subject = f'{kind.resource} "{name}"' if name else kind.resource
    return ApiError(403, "Forbidden", f"{subject} is forbidden: {why}", details(kind, name))


def invalid(kind: Kind, name: str, causes: Sequence[Cause]) -> ApiError:
    """Return the 422 for all violations at once."""
    words = [f"{cause.field}: {cause.message}" for cause in causes]
    text = words[0] if len(words) == 1 else f"[{', '.join(words)}]"
    subject = f"{kind.kind}.{kind.group}" if kind.group else kind.kind
    found = [{"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in causes]
    about = details(kind, name, causes=found) | {"kind": kind.kind}
    return ApiError(422, "Invalid", f'{subject} "{name}" is invalid: {text}', about)


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


def expired(message: str) -> ApiError:
    return ApiError(410, "Expired", message)


def unauthorized() -> ApiError:
    return ApiError(401, "Unauthorized", "Unauthorized")


def internal(message: str) -> ApiError:
    about = {"causes": [{"message": message}]}
    return ApiError(500, "InternalError", f"Internal error occurred: {message}", about)


def unavailable(message: str = "the server is currently unable to handle the request") -> ApiError:
    return ApiError(503, "ServiceUnavailable", message)
