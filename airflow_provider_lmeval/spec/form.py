"""The spec as Airflow's trigger form can show it, and back.

The form renders only a flat subset of JSON schema: one type (or a type and null), enum, items, bounds. ``$ref``, ``anyOf``
and ``oneOf`` are validated but not drawn. So the model union becomes a handful of fields with a ``model_`` prefix, every
other field is flattened from the spec's own schema, and :func:`spec_from_form` puts them together again. The field
documentation becomes the form's help, so there is one text for both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from airflow_provider_lmeval.spec.evaluation import EvalSpec
from airflow_provider_lmeval.spec.model_base import ModelBase
from airflow_provider_lmeval.spec.models import TYPED_MODELS

MODEL_FIELDS = (
    "pretrained", "revision", "dtype", "peft", "tokenizer", "model", "base_url", "num_concurrent", "timeout",
    "trust_remote_code",
)  # fmt: skip
"""Model fields that get a place of their own in the form; every other one goes into ``model_args``."""

SECTIONS = {
    "Model": (),
    "What to evaluate": (
        "tasks", "unitxt", "artifacts", "data", "task_sources", "include_paths", "num_fewshot", "limit", "samples",
        "metadata",
    ),
    "Prompts": ("apply_chat_template", "system_instruction", "fewshot_as_multiturn", "gen_kwargs"),
    "Running": (
        "batch_size", "max_batch_size", "device", "seed", "bootstrap_iters", "checkpoint", "use_cache", "timeout",
        "no_progress_timeout", "env", "offline", "warm_up",
    ),
    "Evidence": ("log_samples", "predict_only", "write_out", "check_integrity"),
    "Permissions": ("allow_online", "allow_code_execution"),
}  # fmt: skip
"""Sections of the form, in order, and their fields."""

DRAWN_AS: dict[str, dict[str, Any]] = {
    "limit": {"type": ["number", "null"], "minimum": 0},
    "batch_size": {"type": ["string", "null"]},
    "seed": {"type": ["integer", "null"]},
    "apply_chat_template": {"type": "boolean"},
    "system_instruction": {"type": ["string", "null"], "format": "multiline"},
}
"""Fields of several types, as the one type the form can draw."""

TOLD = {
    "base_url": "Full URL ending in `/v1/completions`, for chat in `/v1/chat/completions`: lm-eval appends nothing to it.",
}
"""Help of model fields that mean something else for each type."""

_SCALARS = {"string", "integer", "number", "boolean"}
_KEPT = ("enum", "minimum", "maximum", "minLength", "maxLength", "examples", "pattern")


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of :class:`EvalSpec` (draft 2020-12)."""
    return EvalSpec.model_json_schema()


def form_params() -> dict[str, dict[str, Any]]:
    """Return keyword arguments of ``airflow.sdk.Param`` for each form field, by field name, in the form's order.

    Each has ``default`` and the schema keys that the form renders::

        params = {name: Param(**kwargs) for name, kwargs in form_params().items()}
    """
    params = _model_params()
    schema = json_schema()
    for section, names in SECTIONS.items():
        for name in names:
            flat = _flatten(schema["properties"][name], schema.get("$defs", {}))
            params[name] = (
                flat | {"default": _default(name)} | DRAWN_AS.get(name, {}) | {"section": section, "title": name}
            )
            if params[name]["type"] == ["array", "null"]:
                params[name] |= {"items": {"type": "object"}}
    return {name: _as_text(param) for name, param in params.items()}


def spec_from_form(params: Mapping[str, Any]) -> EvalSpec:
    """Build the spec from what the form sent; empty fields count as not set.

    :param params: the DAG run's ``params``; keys that are no form field are ignored.
    :raises SpecError: the values do not make a valid spec.
    """
    data = {n: params[n] for names in SECTIONS.values() for n in names if not _unset(n, params.get(n))}
    model = {n: params[f"model_{n}"] for n in MODEL_FIELDS if params.get(f"model_{n}") not in (None, "", False)}
    model |= {"type": params.get("model_type")}
    typed = TYPED_MODELS.get(str(model["type"]))
    extra = dict(params.get("model_args") or {})
    if typed is None:
        extra = {k: v for k, v in model.items() if k != "type"} | extra
        model = {"type": model["type"]}
    else:
        model |= {k: extra.pop(k) for k in list(extra) if k in typed.model_fields}
    return EvalSpec.parse(data | {"model": model | ({"args": extra} if extra else {})})


def _unset(name: str, value: Any) -> bool:
    return value is None or value == "" or value == _default(name)


def _default(name: str) -> Any:
    default = EvalSpec.model_fields[name].get_default()
    if name == "seed" or default == ():
        return None if name in ("seed", "unitxt", "data", "task_sources") else []
    return default.model_dump(mode="json", exclude_defaults=True) if hasattr(default, "model_dump") else default


def _as_text(param: dict[str, Any]) -> dict[str, Any]:
    """Leave the backquotes out of the help, which the form draws as it is; in its Markdown, lines with code overlap."""
    return param | {"description": param["description"].replace("`", "")}


def _model_params() -> dict[str, dict[str, Any]]:
    kind = {
        "default": "hf",
        "type": "string",
        "examples": list(TYPED_MODELS),
        "description": "lm-eval's model type: one of these, or any other that lm-eval knows.",
    }
    params = {"model_type": kind}
    for name in MODEL_FIELDS:
        owners = [m for m in TYPED_MODELS.values() if name in m.model_fields]
        schema = owners[0].model_json_schema()
        flat = _flatten(schema["properties"][name], schema.get("$defs", {}))
        params[f"model_{name}"] = _optional(flat) | {"description": _for_whom(name, flat, owners)}
    free: dict[str, Any] = {
        "default": None,
        "type": ["object", "null"],
        "description": "Any other argument of the model class, as JSON.",
    }
    params["model_args"] = free
    return {name: param | {"section": "Model", "title": name.replace("_", ".", 1)} for name, param in params.items()}


def _optional(flat: dict[str, Any]) -> dict[str, Any]:
    if flat.get("type") == "boolean":
        return flat | {"default": False}
    types = flat["type"] if isinstance(flat["type"], list) else [flat["type"]]
    kept = {k: v for k, v in flat.items() if k != "minLength"}
    if "enum" in kept:
        kept["enum"] = [*(e for e in kept["enum"] if e is not None), None]
        kept["values_display"] = {"null": "not set"}
    return kept | {"type": list(dict.fromkeys([*types, "null"])), "default": None}


def _for_whom(name: str, flat: dict[str, Any], owners: list[type[ModelBase]]) -> str:
    types = [get_args(owner.model_fields["type"].annotation)[0] for owner in owners]
    whom = "" if len(types) == len(TYPED_MODELS) else f" ({', '.join(types)})"
    return TOLD.get(name, str(flat.get("description", ""))) + whom


def _flatten(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Reduce a JSON schema to what the form draws: scalars and lists of strings as they are, the rest as a JSON editor."""
    options = [_resolve(option, definitions) for option in schema.get("anyOf", [schema])]
    types = list(dict.fromkeys(_type(option) for option in options))
    null = ["null"] if "null" in types else []
    types = [t for t in types if t != "null"]
    flat: dict[str, Any] = {"description": schema.get("description", "")}
    if set(types) <= _SCALARS:
        flat |= _bounds(options) if len(types) == 1 else {}
        flat["type"] = _one([*types, *null])
    elif "array" in types and _only_strings(options, definitions):
        flat |= {"type": _one(["array", *null]), "items": {"type": "string"}}
    else:
        flat["type"] = _one([*(t for t in types if t not in _SCALARS), "null"])
    return flat


def _only_strings(options: list[dict[str, Any]], definitions: Mapping[str, Any]) -> bool:
    items = _resolve(next(o for o in options if _type(o) == "array").get("items", {}), definitions)
    return any(_type(_resolve(o, definitions)) == "string" for o in items.get("anyOf", [items]))


def _resolve(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref", "").removeprefix("#/$defs/")
    return dict(definitions[reference]) if reference else dict(schema)


def _type(schema: Mapping[str, Any]) -> str:
    if "const" in schema or "enum" in schema:
        return str(schema.get("type", "string"))
    return str(schema.get("type", "object"))


def _bounds(options: list[dict[str, Any]]) -> dict[str, Any]:
    drawn = [o for o in options if _type(o) != "null"]
    kept = {key: drawn[0][key] for key in _KEPT if key in drawn[0]} if len(drawn) == 1 else {}
    if "enum" in kept and len(drawn) != len(options):
        kept["enum"] = [*kept["enum"], None]
    return kept


def _one(types: list[str]) -> str | list[str]:
    return types[0] if len(types) == 1 else types
