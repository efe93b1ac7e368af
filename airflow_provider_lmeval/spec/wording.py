"""What is wrong with a spec, in the words of whoever wrote it: where, what was found, what is allowed.

pydantic speaks of extra inputs, tags and discriminators. People have misspelt a field, so they are told which there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from airflow_provider_lmeval.spec.models import TYPED_MODELS

_UNION_TAGS = frozenset(
    {*TYPED_MODELS, "other", "git", "directory", "config_map"}
    | {"int", "str", "constrained-str", "constrained-int", "constrained-float"}
)
"""Parts of pydantic's locations that nobody has written."""
_MEANT = {r"^/[^\x00]*$": "give an absolute path: a run works in a directory of its own"}
"""What a pattern of ours means, where its letters say too little."""
_OWN_WORDS = frozenset({"value_error", "missing"})
"""Kinds of errors whose message says all."""


def describe(error: ValidationError, model: type[BaseModel] | None = None) -> str:
    """Turn pydantic's report into lines people can act on: ``field: problem (found …)``.

    :param model: what was validated, so that a field or type that does not exist gets those that do.
    """
    return "\n".join(dict.fromkeys(_line(item, model) for item in error.errors(include_url=False)))


def _line(item: ErrorDetails, model: type[BaseModel] | None) -> str:
    path = ".".join(str(part) for part in item["loc"] if not (isinstance(part, str) and part in _UNION_TAGS))
    message = _told(item, model) or item["msg"].removeprefix("Value error, ")
    found = "" if item["type"] in _OWN_WORDS else f" (found {_short(item['input'])})"
    named = path and not message.startswith((path, path.split(".", maxsplit=1)[0] + ":"))
    return f"{path}: {message}{found}" if named else f"{message}{found}"


def _told(item: ErrorDetails, model: type[BaseModel] | None) -> str | None:
    """Return a message of our own where pydantic's helps nobody."""
    kind, loc = item["type"], item["loc"]
    if kind == "missing":
        return "is required, and missing"
    if kind == "extra_forbidden" and "other" in loc:
        return f"only these types have fields: {', '.join(TYPED_MODELS)}; any other takes its arguments in model.args"
    if kind == "extra_forbidden":
        names = {field.alias or name for each in _models(model, loc[:-1]) for name, field in each.model_fields.items()}
        return f"there is no such field{_suggestion(str(loc[-1]), names)}"
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        types = item.get("ctx", {}).get("expected_tags") or ", ".join(_types(model, loc))
        return f"`type` says what it is, one of {types}" if types else None
    return _MEANT.get(item.get("ctx", {}).get("pattern", ""))


def _suggestion(wanted: str, names: Iterable[str]) -> str:
    known = sorted(names)
    if near := get_close_matches(wanted, known, n=3):
        return f"; did you mean {' or '.join(near)}?"
    return f"; there are {', '.join(known)}" if known else ""


def _models(model: type[BaseModel] | None, loc: Iterable[int | str]) -> list[type[BaseModel]]:
    """Return the models that may stand at a place: several where a union was not yet decided."""
    models = [model] if model else []
    for part in loc:
        fields = [each.model_fields[part].annotation for each in models if part in each.model_fields]
        deeper = [inner for annotation in fields for inner in _inside(annotation)]
        models = deeper or [each for each in models if part in _literals(each)] or models
    return models


def _inside(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _inside(part)


def _types(model: type[BaseModel] | None, loc: Iterable[int | str]) -> list[str]:
    return sorted({repr(name) for each in _models(model, loc) for name in _literals(each)})


def _literals(model: type[BaseModel]) -> tuple[Any, ...]:
    """Return the values that a model's ``type`` may have, by which a union tells its members apart."""
    field = model.model_fields.get("type")
    return get_args(field.annotation) if field else ()


def _short(value: Any, limit: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
