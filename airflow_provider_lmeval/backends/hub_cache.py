"""Looks whether this machine's cache has the datasets that a run without network will ask for.

Only where it can be known: for runs on this machine, and as a directory that is not there. What one holds is for the run
to find out. The places are those of ``huggingface_hub.constants`` and ``datasets.config``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from airflow_provider_lmeval.plan import Grants, Problem
from airflow_provider_lmeval.plan.code import some
from airflow_provider_lmeval.plan.hub_data import hub_datasets
from airflow_provider_lmeval.spec import EvalSpec


def check_cached(spec: EvalSpec, grants: Grants, environ: Mapping[str, str], lm_eval_version: str) -> list[Problem]:
    """Warn of datasets that are nowhere on this machine.

    :param environ: of the run's driver.
    """
    if (spec.allow_online and grants.online) or (spec.offline and spec.offline.s3):
        return []
    places = _places(spec, environ)
    missing = {path: task for path, task in hub_datasets(spec, lm_eval_version).items() if not _is_in(places, path)}
    if not missing:
        return []
    wanted = [f"{path} ({task})" for path, task in missing.items()]
    text = (
        f"tasks: {some(wanted)}: on the Hugging Face Hub, the run is offline, and not in {places[0]}. Fetch them with "
        "LMEvalWarmupOperator, or go online, which takes both: `allow_online: true` in the spec, and `[lmeval] "
        "allow_online = True` (or the connection's) by the administrator."
    )
    return [Problem("hub-offline", "warning", text)]


def _places(spec: EvalSpec, environ: Mapping[str, str]) -> list[Path]:
    """Return the directories in which datasets may be, the first of which is the cache."""
    own = {name: value if isinstance(value, str) else environ.get(value.env, "") for name, value in spec.env.items()}
    seen = {**environ, **own}
    general = Path(seen.get("XDG_CACHE_HOME") or Path(environ.get("HOME") or Path.home()) / ".cache")
    home = Path((spec.offline.cache if spec.offline else None) or seen.get("HF_HOME") or general / "huggingface")
    further = [Path(seen[name]) for name in ("HF_DATASETS_CACHE", "HF_HUB_CACHE") if seen.get(name)]
    return [home, home / "datasets", home / "hub", *further]


def _is_in(places: list[Path], dataset: str) -> bool:
    """Whether there is a directory that may hold it: as the Hub's client names it, or as ``datasets`` does."""
    owner, _, name = dataset.lower().partition("/")
    begins = (f"datasets--{owner}--{name}", f"{owner}___")
    entries = (entry.name.lower() for place in places if place.is_dir() for entry in place.iterdir())
    return any(entry.startswith(begins) for entry in entries)
