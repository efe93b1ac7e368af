"""Fetches what an evaluation needs and writes down what it was: the run with network, before those without.

Tasks are built by the code that builds them in an evaluation, so their data arrive in the form that is read later. One
document of each task is then answered by lm-eval's dummy model, because metrics fetch what they need only when they
compute. Weights are downloaded and not loaded: a machine without GPU can do it.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from airflow_provider_lmeval.driver.offline import NLTK
from airflow_provider_lmeval.driver.worker.assets import Asset, assets_of, choose
from airflow_provider_lmeval.driver.worker.causes import describe
from airflow_provider_lmeval.driver.worker.precheck import asked_for
from airflow_provider_lmeval.driver.worker.tasks import Loaded
from airflow_provider_lmeval.errors import RunFailedError
from airflow_provider_lmeval.wire import Cause, Request, dump, file_digest, write_atomic
from airflow_provider_lmeval.wire_offline import CACHE_ENV, MANIFEST_NAME, Files, Manifest, model_key

SHARED = (NLTK, "modules/evaluate_modules", "metrics", "evaluate")
"""Directories of the cache that metrics fill."""
PASSING = ("cache-", "tmp")
"""Beginnings of names of files that a task computes anew if they are not there."""


def fill_cache(request: Request, loaded: Loaded, versions: Mapping[str, str]) -> tuple[Manifest, list[str]]:
    """Fetch models and metrics, and add everything to the cache's manifest.

    :param loaded: the tasks, whose data are there by now. :param versions: of the packages.
    :returns: what was fetched, and warnings: metrics that could not be tried.
    :raises RunFailedError: ``model_load``: a repository has no weights; other exceptions are the libraries'.
    """
    cache = Path(os.environ[CACHE_ENV])
    models = {model_key(each.name, each.revision): _fetch(each, cache) for each in assets_of(request)}
    warnings = [words for name, task in loaded.tasks.items() if (words := _rehearse(name, task, request))]
    found = Manifest(
        models=models,
        tasks={name: _described(task, cache, request, name) for name, task in loaded.tasks.items()},
        names=_names(request, loaded),
        shared=digests(cache, (path for place in SHARED for path in (cache / place).rglob("*"))),
        versions=dict(versions),
    )
    with open(cache / f"{MANIFEST_NAME}.lock", "w") as lock:  # another warm-up may fill the same volume
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = Manifest.read(cache) or Manifest()
        write_atomic(cache / MANIFEST_NAME, dump(known.joined(found).to_json()))
    return found, warnings


def _fetch(asset: Asset, cache: Path) -> dict[str, Any]:
    from huggingface_hub import HfApi, snapshot_download

    info = HfApi().model_info(asset.name, revision=asset.revision)
    wanted = choose(asset, [each.rfilename for each in info.siblings or []])
    if asset.weights and not any(name.endswith((".safetensors", ".bin", ".gguf")) for name in wanted):
        raise RunFailedError(f"{asset.role}: {asset.name} has no weights that can be loaded here", Cause.MODEL_LOAD)
    place = Path(snapshot_download(asset.name, revision=asset.revision, allow_patterns=[_literal(x) for x in wanted]))
    return {"commit": info.sha, "files": digests(cache, (place / name for name in wanted))}


def _literal(name: str) -> str:
    """Return a pattern (``fnmatch``) that only this name matches."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _rehearse(name: str, task: Any, request: Request) -> str | None:
    """Have one document answered by a model that knows nothing; return why the scores could not be computed, if so."""
    from lm_eval.api.registry import get_model
    from lm_eval.evaluator import evaluate

    try:
        evaluate(
            lm=get_model("dummy")(),
            task_dict={"tasks": {name: task}, "groups": {}},
            limit=1,
            bootstrap_iters=0,
            confirm_run_unsafe_code=request.allow_code_execution,
        )
    except Exception as error:  # noqa: BLE001 - metrics raise anything at an answer without sense
        return f"task {name!r}: metrics not tried, a made-up answer broke them; they may need more: {describe(error)}"
    return None


def _described(task: Any, cache: Path, request: Request, name: str) -> dict[str, Any]:
    places = {Path(each["filename"]).parent for split in _splits(task) for each in getattr(split, "cache_files", [])}
    places |= {cache / _directory(dataset) for dataset in _hub_datasets(request, name)}
    kept = (path for place in places if place.is_relative_to(cache) for path in place.rglob("*"))
    return {"dataset": getattr(task, "DATASET_PATH", None), "files": digests(cache, kept)}


def _splits(task: Any) -> Iterable[Any]:
    dataset = getattr(task, "dataset", None)
    return dataset.values() if isinstance(dataset, Mapping) else [dataset] if dataset is not None else []


def _hub_datasets(request: Request, name: str) -> list[str]:
    """Return the datasets of the Hub that a task of one's own data is made from: lm-eval reads a copy of those."""
    own = next((each for each in request.data if each.get("name") == name), {})
    sources = (own.get("source") or {}, own.get("fewshot") or {})
    return [str(source["dataset"]) for source in sources if source.get("dataset")]


def _directory(dataset: str) -> str:
    """Return what ``datasets`` calls the directory of a dataset of the Hub."""
    from datasets.naming import camelcase_to_snakecase

    owner, name = dataset.split("/")
    return f"{owner}___{camelcase_to_snakecase(name)}"


def _names(request: Request, loaded: Loaded) -> dict[str, list[str]]:
    """Return the tasks behind each name asked for: those of a group, or all where lm-eval alone knows."""
    groups = {name: [each.task_name for each in group.get_all_tasks()] for name, group in loaded.groups.items()}
    leaves = list(loaded.tasks)
    return {name: groups.get(name) or ([name] if name in leaves else leaves) for name in asked_for(request)}


def digests(cache: Path, paths: Iterable[Path]) -> Files:
    """Return what vouches for files, by path below the cache."""
    wanted = (path for path in sorted(set(paths)) if path.is_file() and not path.name.startswith(PASSING))
    kept = (path for path in wanted if path.suffix != ".lock" and "__pycache__" not in path.parts)
    return {path.relative_to(cache).as_posix(): file_digest(path) for path in kept}


def without_scores(task: Any) -> dict[str, Any]:
    """Return the result's document of a task that was fetched: no metric, so that no gate can pass it."""
    return {"kind": "task", "output_type": task.get_config("output_type"), "metrics": {}, "subtasks": []}


def report(manifest: Manifest, warnings: list[str]) -> str:
    """Return the result in one line of JSON, for the log."""
    parts = [*manifest.models.values(), *manifest.tasks.values(), {"files": manifest.shared}]
    sizes = {path: digest["bytes"] for part in parts for path, digest in part["files"].items()}
    found = {"models": sorted(manifest.models), "tasks": sorted(manifest.tasks), "warnings": warnings}
    return json.dumps({**found, "files": len(sizes), "bytes": sum(sizes.values())})
