"""How large a batch the next try may take after one did not fit into memory."""

from __future__ import annotations

from typing import Any

FIRST_LIMIT = 64
"""Where the halving of an automatic batch size starts when the spec names no largest: lm-eval's own default."""


def smaller_batch(evaluate: dict[str, Any], out_of_memory: int) -> dict[str, Any]:
    """Return evaluation settings whose batch is halved once for every try that ran out of memory.

    :param evaluate: ``Request.evaluate``; its ``batch_size`` is a number, ``auto`` or ``auto:N``.
    :param out_of_memory: number of such tries.
    """
    if not out_of_memory:
        return evaluate
    size, largest = evaluate.get("batch_size") or 1, evaluate.get("max_batch_size")
    if isinstance(size, str) and not size.isdecimal():
        return evaluate | {"max_batch_size": _halved(largest or FIRST_LIMIT, out_of_memory)}
    return evaluate | {"batch_size": _halved(int(size), out_of_memory)}


def _halved(size: int, times: int) -> int:
    return max(1, size >> times)
