"""Reduces the CRD of ``LMEvalJob`` to what a manifest can be held against: ``python -m tests.support.lmevaljob_schema CRD``.

The CRD itself is 380 kB, nearly all of it descriptions, and two thirds of the rest says the same thing twice. What is left
(types, required fields, patterns, enumerations, defaults), each repeated part once under ``definitions``, ships with the
package. Run it when TrustyAI publishes a new CRD; the differences are then easy to read.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

SHIPPED = Path(__file__).resolve().parents[2] / "airflow_provider_lmeval" / "plan" / "lmevaljob" / "schema.json"
_KEPT = ("type", "required", "enum", "pattern", "maxLength", "format", "default", "anyOf", "x-kubernetes-int-or-string")
_WORTH = 60
"""Characters from which a part that occurs more than once gets a definition."""

Json = dict[str, Any]


def reduced(crd: Json) -> Json:
    """Return the schema of the CRD's only version without descriptions, repeated parts written once."""
    (version,) = crd["spec"]["versions"]
    schema = _bare(version["schema"]["openAPIV3Schema"])
    seen: Counter[str] = Counter()
    _count(schema, seen)
    often = {text for text, times in seen.items() if times > 1 and len(text) > _WORTH}
    definitions: Json = {}
    names = {text: f"d{number}" for number, text in enumerate(sorted(often, key=lambda text: (len(text), text)), 1)}
    for text, name in names.items():
        definitions[name] = _refer(json.loads(text), names, top=True)
    head = {"group": crd["spec"]["group"], "version": version["name"], "kind": crd["spec"]["names"]["kind"]}
    return {"x-lmevaljob": head, "definitions": definitions} | _refer(schema, names, top=True)


def _bare(node: Json) -> Json:
    kept = {key: node[key] for key in _KEPT if key in node}
    if "properties" in node:
        kept["properties"] = {name: _bare(child) for name, child in sorted(node["properties"].items())}
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            kept[key] = _bare(node[key])
    return kept


def _children(node: Json) -> list[Json]:
    single = [node[key] for key in ("items", "additionalProperties") if isinstance(node.get(key), dict)]
    return [*node.get("properties", {}).values(), *single]


def _count(node: Json, seen: Counter[str]) -> None:
    seen[json.dumps(node, sort_keys=True)] += 1
    for child in _children(node):
        _count(child, seen)


def _refer(node: Json, names: dict[str, str], *, top: bool = False) -> Json:
    if not top and (name := names.get(json.dumps(node, sort_keys=True))):
        return {"$ref": f"#/definitions/{name}"}
    found = dict(node)
    if "properties" in node:
        found["properties"] = {name: _refer(child, names) for name, child in node["properties"].items()}
    for key in ("items", "additionalProperties"):
        if key in node:
            found[key] = _refer(node[key], names)
    return found


def text(crd: Json) -> str:
    """Return the file that ships."""
    return json.dumps(reduced(crd), separators=(",", ":"), sort_keys=True).replace('},"', '},\n"') + "\n"


if __name__ == "__main__":
    SHIPPED.write_text(text(yaml.safe_load(Path(sys.argv[1]).read_text(encoding="utf-8"))), encoding="utf-8")
