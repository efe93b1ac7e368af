"""Argument values as ``LMEvalJob`` writes them, which is text, and as lm-eval reads that text.

The operator joins ``name=value`` and hands the line to ``lm-eval``, which guesses types: ``600`` becomes a number,
``False`` a boolean, ``no`` stays text, and so counts as true. Reading follows lm-eval (``lm_eval/_cli/utils.py``,
``handle_cli_value_string``, of 0.4.13) except for fields that are text and nothing else: a revision ``123`` stays text.
"""

from __future__ import annotations

import ast
import math
import types
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, JsonValue


def read_value(text: str) -> JsonValue:
    """Return what lm-eval makes of an argument's text.

    :raises ValueError: a number that JSON does not know: ``nan``, ``inf`` and their like.
    """
    lower = text.lower()
    if lower in ("true", "false"):
        return lower == "true"
    if text.isdecimal() and len(text) <= 64:
        return int(text)
    try:
        number = float(text)
    except ValueError:
        return _literal(text)
    if not math.isfinite(number):
        raise ValueError(f"lm-eval reads {text!r} as the number {number}, which cannot be meant")
    return number


def _literal(text: str) -> JsonValue:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
    return value if value is None or type(value) is int else text


def write_value(value: Any, *, text_only: bool = False) -> str:
    """Return the text that lm-eval reads as ``value``.

    :param text_only: the argument's field takes nothing but text, so no type is guessed.
    :raises ValueError: there is no such text.
    """
    if isinstance(value, str) and text_only:
        return value
    if isinstance(value, list | dict):
        raise ValueError(
            "LMEvalJob passes arguments as plain text; a list, a mapping or {'env': …} cannot be written so"
        )
    text = repr(value).replace("e+", "e") if isinstance(value, float) else str(value)
    read = read_value(text)
    if type(read) is not type(value) or read != value:
        raise ValueError(f"lm-eval would read {text!r} as {read!r} ({type(read).__name__})")
    return text


@cache
def text_fields(model: type[BaseModel]) -> frozenset[str]:
    """Return the fields of a model that take text and nothing else."""
    return frozenset(name for name, kinds in _kinds(model).items() if kinds - {types.NoneType} == {str})


@cache
def typed_fields(model: type[BaseModel]) -> frozenset[str]:
    """Return the fields of a model that take no text at all."""
    return frozenset(name for name, kinds in _kinds(model).items() if str not in kinds)


@cache
def _kinds(model: type[BaseModel]) -> dict[str, set[type]]:
    return {name: _types(field.annotation) for name, field in model.model_fields.items()}


def _types(annotation: Any) -> set[type]:
    origin = get_origin(annotation)
    if origin is Literal:
        return {type(value) for value in get_args(annotation)}
    if origin is Annotated:
        return _types(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return set().union(*map(_types, get_args(annotation)))
    return {origin or annotation}
