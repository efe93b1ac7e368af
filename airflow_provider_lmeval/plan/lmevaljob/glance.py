"""Tells quickly that a manifest is what the CRD asks for.

jsonschema explains what is wrong, and takes most of a translation to find nothing. Nearly every manifest is right, so the
schema is made into plain functions first; only what they do not accept is handed to jsonschema, whose word counts. They may
refuse too much, then, but never accept too much: a keyword that is not known here accepts nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

Check = Callable[[Any], bool]

_SAYS_NOTHING = frozenset({"default", "format", "x-kubernetes-int-or-string"})
"""Keywords that refuse no value in jsonschema either."""
_OF_TYPE = {"required": "object", "additionalProperties": "object", "items": "array", "maxLength": "string"}
"""Keywords that are about values of one type, which the schema has to ask for."""
_TYPES = {"array": list, "boolean": bool, "integer": int, "object": dict, "string": str}


def glance(schema: Mapping[str, Any], longest: int) -> Check:
    """Return what tells that a value certainly satisfies a schema.

    :param schema: without references. :param longest: characters up to which text is held against a pattern.
    """
    if not _known(schema):
        return lambda _: False
    checks = [make(schema, longest) for keyword, make in _MAKERS.items() if keyword in schema]
    if len(checks) == 1:
        return checks[0]

    def all_hold(value: Any) -> bool:
        return all(check(value) for check in checks)

    return all_hold


def _known(schema: Mapping[str, Any]) -> bool:
    """Whether the functions below cover everything that the schema asks for."""
    strange = schema.keys() - _MAKERS.keys() - _SAYS_NOTHING - {"properties"}
    typed = all(schema.get("type") == kind for keyword, kind in _OF_TYPE.items() if keyword in schema)
    return not strange and typed and ("properties" not in schema or "additionalProperties" in schema)


def _type(schema: Mapping[str, Any], _: int) -> Check:
    wanted = _TYPES[schema["type"]]
    return lambda value: type(value) is wanted


def _fields(schema: Mapping[str, Any], longest: int) -> Check:
    """Hold each field against its own schema, or against the one for all others."""
    known = {name: glance(child, longest) for name, child in schema.get("properties", {}).items()}
    others = schema["additionalProperties"]
    other = glance(others, longest) if isinstance(others, dict) else lambda _: bool(others)

    def check(value: Any) -> bool:
        return all(known.get(name, other)(item) for name, item in value.items())

    return check


def _required(schema: Mapping[str, Any], _: int) -> Check:
    names = frozenset(schema["required"])
    return lambda value: names <= value.keys()


def _items(schema: Mapping[str, Any], longest: int) -> Check:
    item = glance(schema["items"], longest)
    return lambda value: all(map(item, value))


def _any_of(schema: Mapping[str, Any], longest: int) -> Check:
    ways = [glance(way, longest) for way in schema["anyOf"]]
    return lambda value: any(way(value) for way in ways)


def _pattern(schema: Mapping[str, Any], longest: int) -> Check:
    search = re.compile(schema["pattern"]).search
    return lambda value: not isinstance(value, str) or (len(value) <= longest and search(value) is not None)


def _max_length(schema: Mapping[str, Any], _: int) -> Check:
    most = schema["maxLength"]
    return lambda value: len(value) <= most


def _enum(schema: Mapping[str, Any], _: int) -> Check:
    allowed = schema["enum"]
    return lambda value: value in allowed


_MAKERS: dict[str, Callable[[Mapping[str, Any], int], Check]] = {
    "type": _type,
    "required": _required,
    "additionalProperties": _fields,
    "items": _items,
    "anyOf": _any_of,
    "maxLength": _max_length,
    "enum": _enum,
    "pattern": _pattern,
}
"""How keywords become functions, the type first: those after it rely on it."""
