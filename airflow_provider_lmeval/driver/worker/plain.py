"""Makes plain, strict JSON data of whatever tasks and metrics put into their results.

Documents may hold numpy scalars, images and functions, and scores NaN or infinity, which are no JSON: other readers
choke on them or, worse, take them for numbers. Missing is ``null`` everywhere.
"""

from __future__ import annotations

import math
from typing import Any


def plain(value: Any) -> Any:
    """Return JSON data; what JSON cannot say becomes a text, as lm-eval writes it, and NaN or infinity ``None``."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((plain(item) for item in value), key=repr)
    return plain(value.item()) if _is_scalar(value) else _name(value)


def number(value: Any) -> float | None:
    """Return a metric's value if it is a finite number, else None: lm-eval says "N/A" where there is none."""
    value = plain(value)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def score(value: Any) -> Any:
    """Return one document's score: a number, a list of numbers (what some metrics aggregate), or None."""
    value = plain(value)
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, list):
        return value if value and all(isinstance(item, int | float) for item in value) else None
    return value if isinstance(value, int | float) else None


def _is_scalar(value: Any) -> bool:
    """Tell whether ``value`` is a scalar of numpy or torch, without importing either."""
    return getattr(value, "shape", None) == () and hasattr(value, "item")


def _name(value: Any) -> str:
    """Return a text for an object: a function's name, because its address differs in every run."""
    return str(getattr(value, "__name__", value)) if callable(value) else str(value)
