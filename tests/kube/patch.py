"""The three ways to change an object in part: merge patch, strategic merge patch, JSON patch.

Each returns a new object and leaves its arguments alone. Strategic merging needs to know which lists are merged by which
key; the table holds those of the kinds served here, as ``patchMergeKey`` in ``k8s.io/api/core/v1`` gives them (lists that
are absent, such as ``tolerations`` and ``containerStatuses``, are replaced).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from tests.kube.errors import ApiError, bad_request

Json = dict[str, Any]

MERGE_KEYS = {
    "containers": "name", "initContainers": "name", "ephemeralContainers": "name", "volumes": "name", "env": "name",
    "imagePullSecrets": "name", "resourceClaims": "name", "secrets": "name", "volumeMounts": "mountPath",
    "volumeDevices": "devicePath", "ports": "containerPort", "conditions": "type", "addresses": "type",
    "ownerReferences": "uid", "hostAliases": "ip", "podIPs": "ip", "hostIPs": "ip",
    "topologySpreadConstraints": "topologyKey",
}  # fmt: skip
PRIMITIVE_SETS = frozenset({"finalizers"})

MERGE, STRATEGIC, JSON = (
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/json-patch+json",
)


def apply(content_type: str, target: Json, change: Any) -> Json:
    """Return ``target`` changed.

    :param content_type: one of the three media types.
    :raises ApiError: 415 another media type, 400 or 422 a patch that cannot be applied.
    """
    if content_type == JSON:
        return _json_patch(target, change)
    if not isinstance(change, dict):
        raise bad_request("json: cannot unmarshal array into Go value of type map[string]interface {}")
    if content_type == MERGE:
        return merge(target, change)
    if content_type == STRATEGIC:
        return strategic(target, change)
    raise unsupported_media_type(MERGE, STRATEGIC, JSON)


def unsupported_media_type(*accepted: str) -> ApiError:
    message = "the body of the request was in an unknown format - accepted media types include: "
    return ApiError(415, "UnsupportedMediaType", message + ", ".join(sorted(accepted)))


def merge(target: Any, change: Any) -> Any:
    """Apply a JSON merge patch (RFC 7386)."""
    if not isinstance(change, dict):
        return copy.deepcopy(change)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def strategic(target: Any, change: Any) -> Any:
    """Apply a strategic merge patch to an object."""
    if not isinstance(change, dict):
        return copy.deepcopy(change)
    if change.get("$patch") == "replace":
        return {key: copy.deepcopy(value) for key, value in change.items() if key != "$patch"}
    result = dict(target) if isinstance(target, dict) else {}
    if change.get("$patch") == "delete":
        return {}
    for key, value in change.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            name = key.partition("/")[2]
            result[name] = [one for one in result.get(name, []) if one not in value]
        elif key.startswith("$"):
            continue  # element order and retained keys: of no consequence for what is stored here
        elif value is None:
            result.pop(key, None)
        else:
            result[key] = _strategic_value(key, result.get(key), value)
    return result


def _strategic_value(key: str, old: Any, value: Any) -> Any:
    if isinstance(value, list) and key in MERGE_KEYS:
        return _merge_list(old or [], value, MERGE_KEYS[key])
    if isinstance(value, list) and key in PRIMITIVE_SETS:
        return [*(old or []), *(one for one in value if one not in (old or []))]
    return strategic(old, value)


def _merge_list(old: list[Json], changes: list[Json], key: str) -> list[Json]:
    if any(change.get("$patch") == "replace" and key not in change for change in changes):
        return [copy.deepcopy(change) for change in changes if "$patch" not in change]
    result = {item.get(key): item for item in old}
    for change in changes:
        if key not in change:
            raise bad_request(f"map: {change} does not contain declared merge key: {key}")
        if change.get("$patch") == "delete":
            result.pop(change[key], None)
        else:
            result[change[key]] = strategic(result.get(change[key]), change)
    return list(result.values())


def _json_patch(target: Json, operations: Any) -> Json:
    """Apply a JSON patch (RFC 6902)."""
    if not isinstance(operations, list):
        raise bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    result = copy.deepcopy(target)
    for operation in operations:
        try:
            result = _OPERATIONS[operation["op"]](result, operation)
        except (KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
            path = operation.get("path") if isinstance(operation, dict) else operation
            message = f"the server rejected our request due to an error in our request: {path}: {error!r}"
            raise ApiError(422, "Invalid", message) from None
    return result


def _pointer(path: str) -> list[str]:
    if path and not path.startswith("/"):
        raise ValueError("a JSON pointer starts with /")
    return [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:]]


def _step(holder: Any, part: str) -> Any:
    return holder[int(part)] if isinstance(holder, list) else holder[part]


def _find(document: Any, parts: list[str]) -> Any:
    for part in parts:
        document = _step(document, part)
    return document


def _add(document: Any, operation: Json) -> Any:
    parts = _pointer(operation["path"])
    if not parts:
        return copy.deepcopy(operation["value"])
    holder, last = _find(document, parts[:-1]), parts[-1]
    if isinstance(holder, list):
        holder.insert(len(holder) if last == "-" else int(last), operation["value"])
    else:
        holder[last] = operation["value"]
    return document


def _remove(document: Any, operation: Json) -> Any:
    *parents, last = _pointer(operation["path"])
    holder = _find(document, parents)
    del holder[int(last) if isinstance(holder, list) else last]
    return document


def _replace(document: Any, operation: Json) -> Any:
    _find(document, _pointer(operation["path"]))
    *parents, last = _pointer(operation["path"])
    holder = _find(document, parents)
    holder[int(last) if isinstance(holder, list) else last] = operation["value"]
    return document


def _test(document: Any, operation: Json) -> Any:
    if _find(document, _pointer(operation["path"])) != operation["value"]:
        raise ValueError("test failed")
    return document


def _copy(document: Any, operation: Json) -> Any:
    value = copy.deepcopy(_find(document, _pointer(operation["from"])))
    return _add(document, {"path": operation["path"], "value": value})


def _move(document: Any, operation: Json) -> Any:
    value = _find(document, _pointer(operation["from"]))
    return _add(_remove(document, {"path": operation["from"]}), {"path": operation["path"], "value": value})


_OPERATIONS: dict[str, Callable[[Any, Json], Any]] = {
    "add": _add, "remove": _remove, "replace": _replace, "test": _test, "copy": _copy, "move": _move,
}  # fmt: skip
