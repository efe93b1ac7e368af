"""What the CRD says about a manifest, and how a manifest is held against it.

The API server drops fields it does not know; a typo then evaluates something else than was meant, and nobody is told. So the
schema is closed here: an unknown field is an error, with the nearest known one. ``schema.json`` is the CRD's own schema
without its descriptions (``tests/support/lmevaljob_schema.py`` makes it).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from itertools import islice
from typing import Any

from airflow_provider_lmeval.plan.lmevaljob.findings import Findings, Path
from airflow_provider_lmeval.plan.lmevaljob.glance import Check, glance

API_VERSION = "trustyai.opendatahub.io/v1alpha1"
"""The only version of the CRD so far."""
KIND = "LMEvalJob"
MAX_BYTES = 1_500_000
"""Most text in a manifest: etcd, where Kubernetes keeps it, takes no more in one object."""
MAX_DEPTH = 64
"""Deepest nesting; the CRD itself needs 16."""
MAX_VALUES = 100_000
"""Most values in a manifest."""
MAX_MATCHED = 4_096
"""Longest text of a field that has a pattern: names, arguments, paths, URLs."""
MOST_TOLD = 50
"""Most problems that are told of one manifest: nobody reads more, and finding them all can take long."""
_TYPES = {bool: "boolean", int: "number", float: "number", str: "string", list: "list", dict: "mapping"}


@cache
def schema() -> dict[str, Any]:
    """Return the schema, closed, with every reference resolved; the same object every time."""
    raw = json.loads(files(__package__).joinpath("schema.json").read_text(encoding="utf-8"))
    definitions = raw.pop("definitions")
    built: dict[str, dict[str, Any]] = {}
    return _closed({key: value for key, value in raw.items() if key != "x-lmevaljob"}, definitions, built)


def _closed(node: dict[str, Any], definitions: dict[str, Any], built: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Resolve references, refuse unknown fields, and give patterns the meaning they have in Go."""
    if name := str(node.get("$ref", "")).rpartition("/")[2]:
        if name not in built:
            built[name] = _closed(definitions[name], definitions, built)
        return built[name]
    found = dict(node)
    if "properties" in node:
        found["properties"] = {key: _closed(child, definitions, built) for key, child in node["properties"].items()}
        found.setdefault("additionalProperties", False)
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            found[key] = _closed(node[key], definitions, built)
    if "pattern" in node:
        found["pattern"] = node["pattern"].removesuffix("$").replace(r"\d", "[0-9]") + r"\Z"
    return found


@cache
def _validator() -> Any:
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    return extend(Draft202012Validator, {"pattern": _match})(schema())


@cache
def fits() -> Check:
    """Return what tells at a glance that a manifest is what the CRD asks for."""
    return glance(schema(), MAX_MATCHED)


def _match(_: Any, pattern: str, found: Any, __: Any) -> Iterator[Any]:
    """Hold text against a pattern, unless it is so long that Python would take hours over what Go does in no time."""
    from jsonschema import ValidationError

    if isinstance(found, str) and len(found) > MAX_MATCHED:
        yield ValidationError("too long", validator="too long")
    elif isinstance(found, str) and not re.search(pattern, found):
        yield ValidationError("no match")


def check_plain(value: Any, findings: Findings) -> None:
    """Note what is no JSON, too large or too deep: nothing else may be asked about such a value.

    :param value: a manifest of unknown origin.
    """
    left: list[tuple[Path, Any]] = [((), value)]
    count = size = 0
    while left:
        path, item = left.pop()
        count, size = count + 1, size + (len(item) if isinstance(item, str) else 0)
        if count > MAX_VALUES or size > MAX_BYTES:
            most = f"{MAX_VALUES:,} values" if count > MAX_VALUES else f"{MAX_BYTES:,} characters of text"
            return findings.error((), f"has more than {most}, which Kubernetes would not keep; move data out of it")
        if len(path) > MAX_DEPTH:
            return findings.error(path[:8], f"is nested deeper than {MAX_DEPTH} levels")
        if isinstance(item, dict):
            for key, child in item.items():
                if not isinstance(key, str):
                    findings.error(path, f"has the key {key!r}, which is no string; put it in quotes")
                else:
                    left.append(((*path, key), child))
        elif isinstance(item, list):
            left.extend(((*path, index), child) for index, child in enumerate(item))
        elif not _is_scalar(item):
            findings.error(
                path, f"found {_shown(item)}, which JSON cannot hold; put it in quotes if it is meant as text"
            )
    return None


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value))


def check_schema(manifest: dict[str, Any], findings: Findings) -> None:
    """Note every way in which a manifest is not what the CRD asks for."""
    if fits()(manifest):
        return
    errors = islice(_validator().iter_errors(manifest), MOST_TOLD)
    for error in sorted(errors, key=lambda found: str(found.absolute_path)):
        for where, message in islice(_told(error, tuple(error.absolute_path)), MOST_TOLD):
            findings.error(where, message)


def _told(error: Any, path: Path) -> Iterator[tuple[Path, str]]:
    rule, found = error.validator, error.instance
    if rule == "required":
        for name in error.validator_value:
            if name not in found:
                yield (*path, name), "is missing"
    elif rule == "additionalProperties":
        for name in found.keys() - error.schema.get("properties", {}).keys():
            yield (*path, name), f"is no field of {KIND}{_near(name, error.schema['properties'])}"
    elif rule == "type":
        yield path, _mistyped(found, error.validator_value)
    elif rule == "enum":
        yield path, f"found {_shown(found)}; allowed are {', '.join(map(str, error.validator_value))}"
    elif rule == "pattern":
        pattern = error.validator_value.removesuffix(r"\Z") + "$"
        yield path, f"found {_shown(found)}; the CRD only takes what matches {pattern}"
    elif rule == "too long":
        yield path, f"found {len(found):,} characters; allowed are {MAX_MATCHED:,}"
    else:
        yield path, f"{error.message[:200]}; see the CRD"


def _near(name: str, known: dict[str, Any]) -> str:
    near = get_close_matches(name, known, n=1) or [k for k in known if k.lower() == name.lower()]
    return f"; did you mean {near[0]}?" if near else f"; known are {', '.join(sorted(known)[:12])}"


def _mistyped(found: Any, wanted: str) -> str:
    article = "an" if wanted[0] in "aeiou" else "a"
    message = f"must be {article} {wanted}, found {_shown(found)} ({_TYPES.get(type(found), 'nothing')})"
    quoted = wanted == "string" and isinstance(found, bool | int | float)
    return f'{message}; put it in quotes: "{found}"' if quoted else message


def _shown(value: Any, limit: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
