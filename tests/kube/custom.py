"""Custom resources: a kind made of a CRD's schema, treated as the API server treats structural schemas.

Unknown fields are pruned with a warning, or refused on request; defaults are filled in; types, required fields, enumerations
and patterns are checked, all violations at once, in the words of ``apiextensions-apiserver`` (recorded with TrustyAI's CRD).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

from tests.kube import validation
from tests.kube.errors import Cause, bad_value, required, unsupported
from tests.kube.kinds import Kind

Json = dict[str, Any]

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "boolean": (bool,), "integer": (int,), "number": (int, float),
}  # fmt: skip
_NAMES = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}
_OBJECT = ("apiVersion", "kind", "metadata")
"""Parts that every object has, whatever its schema says."""


class CustomSchema:
    """A structural schema.

    :param root: ``openAPIV3Schema``; references to ``#/definitions/`` are followed.
    """

    def __init__(self, root: Json) -> None:
        self._root = root

    def decode(self, kind: str, version: str, value: Json) -> tuple[Json, list[str]]:
        """Return the object without unknown fields, and the paths of those."""
        unknown: list[str] = []
        own = {key: part for key, part in value.items() if key not in _OBJECT}
        found = self._prune(self._root, own, "", unknown)
        return {key: part for key, part in value.items() if key in _OBJECT} | found, unknown

    def _prune(self, node: Json, value: Any, path: str, unknown: list[str]) -> Any:
        node = self._node(node)
        if isinstance(value, list) and "items" in node:
            return [self._prune(node["items"], each, f"{path}[{index}]", unknown) for index, each in enumerate(value)]
        if not isinstance(value, dict) or "properties" not in node:
            return value
        found = {}
        for key, part in value.items():
            where = f"{path}.{key}" if path else key
            if key in node["properties"]:
                found[key] = self._prune(node["properties"][key], part, where, unknown)
            else:
                unknown.append(where)
        return found

    def default(self, new: Json) -> None:
        """Fill in defaults, in place, where the part they belong to is there."""
        self._default(self._root, new)

    def _default(self, node: Json, value: Any) -> None:
        node = self._node(node)
        if isinstance(value, list) and "items" in node:
            for each in value:
                self._default(node["items"], each)
        if not isinstance(value, dict):
            return
        for key, part in node.get("properties", {}).items():
            if key not in value and "default" in self._node(part):
                value[key] = self._node(part)["default"]
            if key in value:
                self._default(part, value[key])

    def validate(self, new: Json, old: Json | None) -> list[Cause]:
        """Return every violation."""
        own = {key: part for key, part in new.items() if key not in _OBJECT}
        return [*validation.metadata(new), *self._violations(self._root, own, "")]

    def _violations(self, node: Json, value: Any, path: str) -> Iterator[Cause]:
        node = self._node(node)
        if not _fits(node, value):
            found = _NAMES[type(value)]
            detail = f'{path} in body must be of type {node["type"]}: "{found}"'
            yield Cause("FieldValueTypeInvalid", path, f'Invalid value: "{found}": {detail}')
            return
        if "enum" in node and value not in node["enum"]:
            yield unsupported(path, value, node["enum"])
        if "pattern" in node and not re.search(node["pattern"], value):
            yield bad_value(path, value, f"{path} in body should match '{node['pattern']}'")
        if isinstance(value, list) and "items" in node:
            for index, each in enumerate(value):
                yield from self._violations(node["items"], each, f"{path}[{index}]")
        if isinstance(value, dict):
            yield from self._fields(node, value, path)

    def _fields(self, node: Json, value: Json, path: str) -> Iterator[Cause]:
        for name in node.get("required", ()):
            if name not in value:
                yield required(f"{path}.{name}" if path else name)
        known, other = node.get("properties", {}), node.get("additionalProperties")
        for name, part in value.items():
            child = known.get(name) or (other if isinstance(other, dict) else None)
            if child is not None:
                yield from self._violations(child, part, f"{path}.{name}" if path else name)

    def _node(self, node: Json) -> Json:
        name = str(node.get("$ref", "")).rpartition("/")[2]
        return self._node(self._root["definitions"][name]) if name else node


def _fits(node: Json, value: Any) -> bool:
    if node.get("x-kubernetes-int-or-string"):
        return isinstance(value, int | str) and not isinstance(value, bool)
    wanted = node.get("type")
    if wanted is None:
        return True
    return isinstance(value, _TYPES[wanted]) and (wanted == "boolean" or not isinstance(value, bool))


def lmevaljobs() -> Kind:
    """Return TrustyAI's LMEvalJob: what installing its CRD makes the server serve."""
    text = files("airflow_provider_lmeval.plan.lmevaljob").joinpath("schema.json").read_text(encoding="utf-8")
    root = json.loads(text)
    head, schema = root["x-lmevaljob"], CustomSchema(root)
    return Kind(
        head["kind"],
        "lmevaljobs",
        group=head["group"],
        version=head["version"],
        schema=schema,
        default=schema.default,
        validate=schema.validate,
        has_status=True,
        built_in=False,
    )


LMEVALJOBS = lmevaljobs()
