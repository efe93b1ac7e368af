"""What fields an object may have and of which type, read off the generated models of the ``kubernetes`` client.

A real API server drops fields it does not know, with a warning or a 400 on request, and refuses wrong types before
anything else; an environment variable given as a number is the classic. The client's models are generated from the API
server's own OpenAPI document, so there is nothing to keep in step here. Custom resources bring another ``Schema``.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Protocol

from tests.kube.errors import bad_request

Json = dict[str, Any]

_CONTAINER = re.compile(r"(list|dict)[\[(](?:str, ?)?(.+)[\])]")
_SCALARS: dict[str, Any] = {"str": str, "int": int, "bool": bool, "float": (int, float), "datetime": str}
_GO_NAMES = {"str": "string", "int": "int32", "bool": "bool", "float": "float64", "datetime": "string"}
_NULLABLE = frozenset({"lastProbeTime"})
"""The one field that the API server itself writes as null."""


class Schema(Protocol):
    """Reads an object as the API server decodes it."""

    def decode(self, kind: str, version: str, value: Json) -> tuple[Json, list[str]]:
        """Return the object without unknown fields, and the paths of those.

        :raises ApiError: 400 or 422, a value has the wrong type.
        """


class ModelSchema:
    """The schema of a built-in kind.

    :param model: name of the client's class, such as ``V1Pod``.
    """

    def __init__(self, model: str) -> None:
        self._model = model

    def decode(self, kind: str, version: str, value: Json) -> tuple[Json, list[str]]:
        unknown: list[str] = []
        try:
            return _Decoder(unknown).read(self._model, value, "", ""), unknown
        except TypeError as error:
            raise bad_request(f'{kind} in version "{version}" cannot be handled as a {kind}: {error}') from None


def preload() -> None:
    """Import the client now and not at the first request, which would wait a second for it."""
    _fields("V1Pod")


@cache
def _fields(model: str) -> dict[str, str]:
    from kubernetes.client import models

    described = getattr(models, model)
    return {name: described.openapi_types[attribute] for attribute, name in described.attribute_map.items()}


class _Decoder:
    def __init__(self, unknown: list[str]) -> None:
        self._unknown = unknown

    def read(self, model: str, value: Any, path: str, owner: str) -> Any:
        """Return ``value`` as ``model`` knows it; ``owner`` is the Go struct field, for the message."""
        if container := _CONTAINER.fullmatch(model):
            return self._many(container[1], container[2], value, path, owner)
        if model in _SCALARS:
            return _scalar(model, value, owner)
        if model == "object":
            return value
        if not isinstance(value, dict):
            raise _mismatch(value, owner, model.removeprefix("V1"))
        return self._object(model, value, path, owner)

    def _many(self, container: str, item: str, value: Any, path: str, owner: str) -> Any:
        if container == "list":
            if not isinstance(value, list):
                raise _mismatch(value, owner, f"[]{item.removeprefix('V1')}")
            return [self.read(item, one, f"{path}[{index}]", owner) for index, one in enumerate(value)]
        if not isinstance(value, dict):
            raise _mismatch(value, owner, "map[string]string")
        return {key: self.read(item, one, f"{path}.{key}", owner) for key, one in value.items() if one is not None}

    def _object(self, model: str, value: Json, path: str, owner: str) -> Json:
        fields, found = _fields(model), {}
        prefix = f"{path}." if path else ""
        trail = owner.partition(".")[2]
        for name, one in value.items():
            if name not in fields:
                self._unknown.append(f"{prefix}{name}")
            elif one is not None or name in _NULLABLE:
                inner = ".".join(filter(None, (model.removeprefix("V1"), trail, name)))
                found[name] = None if one is None else self.read(fields[name], one, f"{prefix}{name}", inner)
        return found


def _scalar(model: str, value: Any, owner: str) -> Any:
    if not isinstance(value, _SCALARS[model]) or (isinstance(value, bool) and model != "bool"):
        if owner.startswith("ResourceRequirements.") and isinstance(value, int | float):
            return str(value)  # a quantity may be written as a number
        raise _mismatch(value, owner, _GO_NAMES[model])
    return value


def _mismatch(value: Any, owner: str, wanted: str) -> TypeError:
    names = {bool: "bool", int: "number", float: "number", str: "string", list: "array", dict: "object"}
    return TypeError(
        f"json: cannot unmarshal {names.get(type(value), 'null')} into Go struct field {owner} of type {wanted}"
    )
