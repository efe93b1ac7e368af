"""Where an evaluation finds models and data without network: one directory, and a layer over it where it cannot be written.

Reading a cache takes writing: ``datasets`` locks a file beside what it reads and keeps what a task computes from it there.
A claim mounted read-only, or files baked into an image, take neither. So the evaluation is shown a directory of its own
that looks the same: the Hub's repositories are links to the real ones, since they are only read; directories of everything
else are made anew and their files linked, so that new files find a place beside old ones.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from airflow_provider_lmeval.errors import RunFailedError
from airflow_provider_lmeval.wire import Cause, Request
from airflow_provider_lmeval.wire_offline import CACHE_ENV, CACHE_VARIABLES

REPOSITORIES = ("models--", "datasets--", "spaces--")
"""What ``huggingface_hub`` calls the directories of its cache (``huggingface_hub.file_download.repo_folder_name``)."""
NLTK = "nltk_data"
BELOW_HOME = ("hub", "datasets")
"""Where the libraries put things when only ``HF_HOME`` is set: such a cache is shown as one directory as well."""
MOST_ENTRIES = 200_000
"""Files and directories that a layer may show: a cache has thousands, a machine's root millions."""
OVERLAY = "cache"
"""The layer, in the run's ``scratch``."""


def cache_directory(request: Request, environ: Mapping[str, str], scratch: Path) -> Path | None:
    """Return the one directory of models and data, or None if the run has none.

    :param environ: of the driver. :param scratch: where a cache is put that is fetched and has no place.
    """
    settings = request.offline or {}
    named = settings.get("cache") or request.env.get("HF_HOME") or environ.get("HF_HOME")
    if isinstance(named, str) and named:
        return Path(named)
    return scratch / "assets" if settings.get("source") else None


def cache_variables(
    request: Request, environ: Mapping[str, str], requested: Mapping[str, str], scratch: Path
) -> dict[str, str]:
    """Return the child's variables that say where models and data are; none if the libraries' own defaults are to count.

    :param requested: variables that the request sets itself; they win, unless they lead to what cannot be written.
    :raises RunFailedError: ``storage``: a warm-up has nowhere to write.
    """
    cache = cache_directory(request, environ, scratch)
    asked = request.offline is not None or request.warm_up
    if cache is None:
        if request.warm_up:
            message = "a warm-up needs a directory to fill: set offline.cache in the spec, or HF_HOME"
            raise RunFailedError(message, Cause.BAD_SPEC)
        return {}
    if request.warm_up:
        check_place(request, environ, cache, scratch)
        _make(cache)
    offline = cache.is_dir() and not request.allow_online
    fixed = offline and not os.access(cache, os.W_OK)
    if not asked and not fixed:
        return {}
    nested = offline and any((cache / name).is_dir() for name in BELOW_HOME)
    shown = overlay(cache, scratch / OVERLAY) if fixed or nested else cache
    places = {**dict.fromkeys(CACHE_VARIABLES, str(shown)), "NLTK_DATA": str(shown / NLTK), CACHE_ENV: str(cache)}
    own = {name for name, value in requested.items() if not (fixed and Path(value).is_relative_to(cache))}
    return {name: value for name, value in places.items() if name not in own}


def check_place(request: Request, environ: Mapping[str, str], cache: Path, scratch: Path) -> None:
    """Refuse to write where nobody but the spec says that models belong: it might name the directory of Airflow's DAGs.

    :param environ: of the driver: its ``HF_HOME`` is where whoever set up the run wants models.
    :raises RunFailedError: ``bad_spec``.
    """
    roots = [*filter(None, [environ.get("HF_HOME")]), *request.data_roots, str(scratch)]
    if not any(cache.resolve().is_relative_to(Path(root).resolve()) for root in roots):
        raise RunFailedError(
            f"offline.cache: {cache} is not a place that a run may fill. Those are HF_HOME of the run (in a pod the path of "
            f"kubernetes.cache) and [lmeval] allowed_data_roots: {', '.join(roots[:-1]) or 'none is set'}",
            Cause.BAD_SPEC,
        )


def overlay(cache: Path, layer: Path, most: int = MOST_ENTRIES) -> Path:
    """Make a writable directory that shows what a cache holds.

    :param layer: made, or completed after an earlier attempt. :param most: entries, before this counts as no cache.
    :raises OSError: no space, no permission. :raises RunFailedError: ``bad_spec``: this is no cache.
    """
    layer.mkdir(parents=True, exist_ok=True)
    for count, (source, target) in enumerate(_shown(cache, layer)):
        if count >= most:
            message = f"offline.cache: {cache} has more than {most} entries, so it is no cache of models and data"
            raise RunFailedError(message, Cause.BAD_SPEC)
        if source.is_dir() and not source.is_symlink() and not source.name.startswith(REPOSITORIES):
            target.mkdir(exist_ok=True)
        elif not os.path.lexists(target):
            target.symlink_to(source)
    return layer


def _shown(source: Path, target: Path, depth: int = 0) -> Iterator[tuple[Path, Path]]:
    """Yield what is to be shown of a directory, and where, parents first."""
    for entry in _entries(source):
        lifted = depth == 0 and entry.name in BELOW_HOME and entry.is_dir()
        place = target if lifted else target / entry.name
        if not lifted:
            yield entry, place
        if lifted or (entry.is_dir() and not entry.is_symlink() and not entry.name.startswith(REPOSITORIES)):
            yield from _shown(entry, place, depth + 1)


def _entries(directory: Path) -> list[Path]:
    """Return what is worth showing: locks are made anew, and a volume's ``lost+found`` is root's."""
    try:
        found = sorted(directory.iterdir())
    except PermissionError:
        return []
    return [path for path in found if path.name != ".locks" and path.suffix != ".lock"]


def _make(cache: Path) -> None:
    try:
        (cache / NLTK).mkdir(parents=True, exist_ok=True)
        writable = os.access(cache, os.W_OK)
    except OSError:
        writable = False
    if not writable:
        raise RunFailedError(
            f"a warm-up fills {cache}, which this process (user {os.getuid()}) cannot write to: mount the claim writable "
            "for the warm-up, and give its volume to the pod's group (kubernetes.fs_group)",
            Cause.STORAGE,
        )
