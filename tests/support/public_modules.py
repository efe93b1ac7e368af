"""The modules DAG authors import, and what importing them must not load: shared by a test and a benchmark."""

from __future__ import annotations

from pathlib import Path

import airflow_provider_lmeval

PACKAGES = ("operators", "sensors", "hooks", "triggers")
HEAVY = ("kubernetes", "kubernetes_asyncio", "torch", "lm_eval", "transformers", "scipy", "numpy", "datasets", "unitxt")


def public_modules() -> list[str]:
    """Return the dotted names of all modules in the public packages, found on disk so that none is forgotten."""
    root = Path(airflow_provider_lmeval.__file__).parent
    files = [file for package in PACKAGES for file in sorted((root / package).glob("[!_]*.py"))]
    return [f"airflow_provider_lmeval.{file.parent.name}.{file.stem}" for file in files]
