"""Which fields of our models, and of the CRD, can hold text; and which field a place in a document belongs to.

Found in the models' own JSON schemas, so that a field that somebody adds is asked for by the test on the day it is added. A
field is called by the class that defines it: ``HFModel`` and ``VLLMModel`` share ``_Weights.pretrained``.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from airflow_provider_lmeval.gate import RuleSet
from airflow_provider_lmeval.plan.lmevaljob.schema import schema
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.spec.base import SpecModel
from airflow_provider_lmeval.spec.lmevaljob import LMEvalJobRun
from airflow_provider_lmeval.spec.outputs import HuggingFaceCard, MlflowRun, OciArtifact, WandbRun, parse_outputs
from airflow_provider_lmeval.spec.pod import PodSettings
from tests.support.hostile_documents import Json, Place, documents
from tests.support.lmevaljobs import leaves

ROOTS = (EvalSpec, PodSettings, LMEvalJobRun, RuleSet, OciArtifact, MlflowRun, HuggingFaceCard, WandbRun)


def classes(base: type[BaseModel] = SpecModel) -> dict[str, type[BaseModel]]:
    """Return all models by name."""
    return {cls.__name__: cls for child in base.__subclasses__() for cls in (child, *classes(child).values())}


def text_fields() -> set[str]:
    """Return the fields that can hold text, keys of mappings included."""
    known, found = classes(), set()
    for root in ROOTS:
        described = root.model_json_schema()
        definitions = described.get("$defs", {})
        for name, node in {root.__name__: described, **definitions}.items():
            for field, value in node.get("properties", {}).items():
                if _holds_text(value, definitions):
                    found.add(_called(known[name], field))
    return found


def _holds_text(node: Any, definitions: Json) -> bool:
    if "$ref" in node:
        target = definitions[node["$ref"].rpartition("/")[2]]
        return "properties" not in target and _holds_text(target, definitions)
    if node.get("type") in ("string", "object") or not node.keys() - {"title", "description", "default", "examples"}:
        return True
    parts = [part for key in ("anyOf", "oneOf", "allOf", "prefixItems") for part in node.get(key, ())]
    return any(_holds_text(part, definitions) for part in (*parts, *([node["items"]] if "items" in node else [])))


def _called(cls: type[BaseModel], field: str) -> str:
    owners = [base for base in cls.__mro__ if field in getattr(base, "__annotations__", {})]
    return f"{owners[-1].__name__}.{field}"


def attacked(spots: list[Place]) -> set[str]:
    """Return the fields of our models that these places belong to, where text stands there."""
    roots = {
        name: _parsed(name, document) for name, document in documents().items() if not name.startswith("lmevaljob")
    }
    found = (_field(roots[name], tuple(path), is_key) for name, path, is_key in spots if name in roots)
    return {field for field in found if field}


def _parsed(name: str, document: Json) -> BaseModel:
    if name.startswith("output"):
        return parse_outputs(document)[0]
    model: Any = {"pod": PodSettings, "pod-slice": PodSettings, "job": LMEvalJobRun, "rules": RuleSet}.get(
        name, EvalSpec
    )
    parsed: BaseModel = model.parse(document)
    return parsed


def _field(value: Any, path: tuple[str | int, ...], is_key: bool) -> str | None:
    field = None
    for step in path[:-1] if is_key else path:
        if isinstance(value, BaseModel):
            field, value = _called(type(value), str(step)), getattr(value, str(step))
        else:
            value = value[step] if isinstance(value, dict | list | tuple) else value
    return field if isinstance(value, str | dict) else None


def text_of_crd() -> set[str]:
    """Return the fields of a manifest's ``spec`` that can hold text, as the CRD has them."""
    return {".".join(path) for path in leaves() if _leaf(path).get("type") not in ("boolean", "integer")}


def _leaf(path: tuple[str, ...]) -> Json:
    node: Json = schema()
    for step in path:
        node = node["items"] if step == "[]" else node["properties"][step]
    return node


def attacked_in_crd(spots: list[Place]) -> set[str]:
    """Return the fields of the CRD that these places belong to."""
    known = {".".join(path) for path in leaves()}
    spelt = {
        tuple("[]" if isinstance(step, int) else step for step in path)
        for name, path, _ in spots
        if "lmevaljob" in name
    }
    return {".".join(path[:n]) for path in spelt for n in range(len(path) + 1)} & known
