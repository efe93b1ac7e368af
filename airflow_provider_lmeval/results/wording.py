"""Turns what a validator or a look-up found into words: where, what, and what was probably meant.

Results and gate rules are both written by other programs and people, and both must say clearly what is wrong with them.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails


def suggest(wanted: str, names: Iterable[str], shown: int = 8) -> str:
    """Return what to try instead of a name that is not there, as the end of a sentence.

    :param wanted: the unknown name.
    :param names: the names that would have been right.
    :param shown: list at most so many when none resembles the wanted one.
    """
    known = sorted(names)
    near = get_close_matches(wanted, known, n=3)
    if near:
        return f"did you mean {' or '.join(map(repr, near))}?"
    more = ", …" if len(known) > shown else ""
    return f"there are {', '.join(map(repr, known[:shown]))}{more}" if known else "there are none"


def problems(error: ValidationError) -> list[str]:
    """Return one line per problem: ``path: what is wrong (found …)``."""
    return list(dict.fromkeys(problem(item) for item in error.errors(include_url=False)))


def problem(item: ErrorDetails) -> str:
    """Return the line for one of pydantic's findings."""
    message = item["msg"].removeprefix("Value error, ")
    found = "" if item["type"] in ("missing", "value_error") else f" (found {shorten(item['input'])})"
    path = place(item["loc"])
    return f"{path}: {message}{found}" if path else f"{message}{found}"


def place(loc: tuple[int | str, ...]) -> str:
    """Write pydantic's location as people write paths: ``rules[0].floor``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).removeprefix(".")


def shorten(value: Any, limit: int = 80) -> str:
    """Return a value's ``repr``, cut to ``limit`` characters."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def short_name(model: str, parts: int = 2) -> str:
    """Return a model's name for a heading: of a long path or address the last parts, which tell one run from another."""
    split = model.rstrip("/").split("/")
    return model if len(split) <= parts + 1 else "…/" + "/".join(split[-parts:])
