"""Exchanges recorded on a real Kubernetes: what its API server and kubelet really say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PLACE = Path(__file__).parents[1] / "data" / "kubernetes"


def exchanges(name: str) -> list[dict[str, Any]]:
    """Return the exchanges of a file: ``request``, ``status``, ``headers``, ``body``."""
    return list(json.loads((PLACE / f"{name}.json").read_text(encoding="utf-8")))


def body(name: str, index: int = 0) -> dict[str, Any]:
    """Return the body of one answer."""
    return dict(exchanges(name)[index]["body"])
