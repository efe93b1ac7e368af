"""Division by a standard error that may be zero, the same way wherever it is done."""

from __future__ import annotations

from typing import Any


def standardised(distance: Any, stderr: Any) -> Any:
    """Return ``distance / stderr``; without any spread, a distance is infinitely far and none is none."""
    import numpy as np

    distance, stderr = np.asarray(distance, dtype=np.float64), np.asarray(stderr, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        far = np.where(distance == 0, 0.0, np.copysign(np.inf, distance))
        return np.where(stderr > 0, distance / stderr, far)
