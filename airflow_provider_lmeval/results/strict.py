"""Reads strict JSON only.

Python's reader takes ``NaN`` and ``Infinity``, which no standard knows and which would turn up later as a score.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn


def loads(raw: bytes | str) -> Any:
    """Decode JSON text.

    :raises ValueError: not UTF-8, not JSON by RFC 8259, or nested too deeply to be meant.
    """
    try:
        return json.loads(raw, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse(token: str) -> NoReturn:
    raise ValueError(f"{token} is not JSON")
