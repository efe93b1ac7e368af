"""Looks whether a cache holds what a run without network needs, before tasks and model are loaded.

Without this, a missing file is found by whichever library comes first to it, in its words and often after minutes. What is
compared is the warm-up's manifest; a cache that nobody warmed up is only asked for the models.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from airflow_provider_lmeval.driver.worker.assets import Asset, assets_of
from airflow_provider_lmeval.errors import ProtocolError, RunFailedError
from airflow_provider_lmeval.wire import Cause, Request, file_digest
from airflow_provider_lmeval.wire_offline import CACHE_ENV, MANIFEST_NAME, WEIGHT_FILES, Files, Manifest, model_key

READERS = 4
"""Files read at once: beyond that disks get no faster."""
_MOST = 8


def check_cache(request: Request) -> None:
    """Compare what a run needs with what the cache has; runs that may download are not checked.

    :raises RunFailedError: ``online_denied``: something was never fetched; ``dataset``: a file is missing or another one;
        ``bad_spec``: the manifest cannot be read.
    """
    settings, place = request.offline, os.environ.get(CACHE_ENV)
    if settings is None or not place or request.allow_online or settings.get("check") == "none":
        return
    cache = Path(place)
    if not cache.is_dir():
        raise RunFailedError(
            f"offline.cache: {cache} is not there: mount the claim at this path, or warm it up", Cause.ONLINE_DENIED
        )
    try:
        manifest = Manifest.read(cache)
    except ProtocolError as error:
        raise RunFailedError(str(error), Cause.BAD_SPEC) from error
    if manifest is None:
        _refuse_absent(cache, [_called(asset) for asset in assets_of(request) if not _is_cached(cache, asset)], None)
        return
    _refuse_absent(cache, [*_absent_models(request, manifest), *_absent_tasks(request, manifest)], manifest)
    listed = _listed(request, manifest)
    weights: Files = {}
    if request.preflight is not None:  # what loads the weights reads them all to compare them; a bucket's come with it
        weights = {path: digest for path, digest in listed.items() if path.endswith(WEIGHT_FILES)}
    rest = {path: digest for path, digest in listed.items() if path not in weights}
    _compare(cache, rest, digests=settings.get("check") != "sizes")
    _compare(cache, {} if settings.get("source") else weights, digests=False)


def _refuse_absent(cache: Path, absent: list[str], manifest: Manifest | None) -> None:
    if not absent:
        return
    has = [*manifest.models, *manifest.tasks] if manifest else sorted(path.name for path in cache.glob("models--*"))
    raise RunFailedError(
        f"this run has no network, and {cache} lacks what it needs: {_some(absent)}. It has {_some(has)}. Run the same spec "
        "with network once as a warm-up (LMEvalWarmupOperator, or `warm_up: true`), or set `offline.check: none` if the "
        "files are somewhere else.",
        Cause.ONLINE_DENIED,
    )


def _called(asset: Asset) -> str:
    return f"model {model_key(asset.name, asset.revision)} ({asset.role})"


def _absent_models(request: Request, manifest: Manifest) -> Iterator[str]:
    for asset in assets_of(request):
        if model_key(asset.name, asset.revision) not in manifest.models:
            yield _called(asset)


def _is_cached(cache: Path, asset: Asset) -> bool:
    repository = f"models--{asset.name.replace('/', '--')}"
    return any((place / repository / "snapshots").is_dir() for place in (cache, cache / "hub"))


def asked_for(request: Request) -> list[str]:
    """Return the names under which a request knows its tasks."""
    inline = [str(config.get("task") or config.get("group")) for config in request.inline_tasks]
    own = [str(each.get("name")) for each in request.data]
    return [*request.tasks, *inline, *own, *(str(each.get("task")) for each in request.unitxt)]


def _absent_tasks(request: Request, manifest: Manifest) -> Iterator[str]:
    for name in asked_for(request):
        if name not in manifest.names and name not in manifest.tasks:
            yield f"task {name}"


def _listed(request: Request, manifest: Manifest) -> Files:
    """Return all files that the request's models and tasks need."""
    parts: list[dict[str, Any]] = [manifest.models[model_key(each.name, each.revision)] for each in assets_of(request)]
    leaves = {leaf for name in asked_for(request) for leaf in manifest.names.get(name, [name])}
    parts += [manifest.tasks[leaf] for leaf in sorted(leaves) if leaf in manifest.tasks]
    return {path: digest for part in [*parts, {"files": manifest.shared}] for path, digest in part["files"].items()}


def _compare(cache: Path, files: Files, *, digests: bool) -> None:
    with ThreadPoolExecutor(READERS) as readers:
        found = readers.map(lambda item: _trouble(cache / item[0], item[1], digests=digests), files.items())
        troubles = [f"{path} {trouble}" for path, trouble in zip(files, found, strict=True) if trouble]
    if troubles:
        raise RunFailedError(
            f"{cache} is not what {MANIFEST_NAME} says it is: {_some(troubles)}. Warm it up again.", Cause.DATASET
        )


def _trouble(path: Path, expected: dict[str, Any], *, digests: bool) -> str | None:
    if ".." in path.parts:
        return "leads out of the cache"
    try:
        size = path.stat().st_size
        if size != expected["bytes"]:
            return f"has {size} bytes instead of {expected['bytes']}"
        return "has other content" if digests and file_digest(path)["sha256"] != expected["sha256"] else None
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - _MOST} more" if len(listed) > _MOST else ""
    return f"{'; '.join(listed[:_MOST])}{more}" if listed else "nothing"
