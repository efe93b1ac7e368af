"""Copies models and data into the run's cache: ``python -m airflow_provider_lmeval.driver.assets RUN_DIR``.

For clusters whose models lie in a bucket and on no volume. A process of its own, like the uploader: the bucket's keys are
not for the evaluation, which may run code that a model wrote. A file appears complete or not at all, and what an earlier
attempt brought is not copied again.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

from airflow_provider_lmeval.driver.environment import Resolver
from airflow_provider_lmeval.driver.intake import load_request
from airflow_provider_lmeval.driver.offline import cache_directory, check_place
from airflow_provider_lmeval.driver.outcome import read_json
from airflow_provider_lmeval.driver.remote import persistently, program
from airflow_provider_lmeval.errors import LMEvalError
from airflow_provider_lmeval.wire import RunDir, dump, write_atomic
from airflow_provider_lmeval.wire_offline import WEIGHT_FILES

AT_ONCE = 8
"""Files copied at once: a single stream from object storage fills no network."""
LEDGER = "assets.json"
"""In ``scratch``: what was copied, by name."""
_STATES = ("ETag", "etag", "LastModified", "mtime", "created")
"""Where file systems tell that a file is another one than before."""


class Assets:
    """The place that models and data come from.

    :param source: ``{"protocol", "place", "options"}``, references resolved. :param target: the cache.
    :param ledger: file that remembers what was copied. :param weights: of models, too.
    """

    def __init__(self, source: dict[str, Any], target: Path, ledger: Path, *, weights: bool = True) -> None:
        from fsspec import filesystem

        self._files = filesystem(source["protocol"], **source["options"])
        self._root = "/".join(filter(None, source["place"]))
        self._target = target
        self._path = ledger
        self._left = () if weights else WEIGHT_FILES
        self._noting = threading.Lock()
        self._known = (read_json(ledger) or {}).get("files") or {}

    def copy(self) -> tuple[int, int]:
        """Bring everything that is not there yet; return how many files came, and their bytes.

        :raises FileNotFoundError: there is nothing. :raises LMEvalError: a name leads out of the cache, or no space.
        :raises Exception: whatever the file system raises.
        """
        found = {self._name(path): info for path, info in self._files.find(self._root, detail=True).items()}
        if not found:
            raise FileNotFoundError(f"there is nothing at {self._root}")
        missing = {name: info for name, info in found.items() if not self._is_here(name, info)}
        wanted = {name: info for name, info in missing.items() if not name.endswith(self._left)}
        size = sum(int(info.get("size") or 0) for info in wanted.values())
        self._target.mkdir(parents=True, exist_ok=True)
        if size > (free := shutil.disk_usage(self._target).free):
            raise LMEvalError(
                f"{size} bytes to copy, but {self._target} has {free} free; give the cache a larger volume"
            )
        with ThreadPoolExecutor(AT_ONCE) as copies:
            list(copies.map(self._get, wanted, wanted.values()))
        return len(wanted), size

    def _name(self, path: str) -> str:
        name = path.removeprefix(self._root).lstrip("/") or PurePosixPath(path).name
        if ".." in PurePosixPath(name).parts or PurePosixPath(name).is_absolute():
            raise LMEvalError(f"{path!r} leads out of the cache; rename it in the bucket")
        return name

    def _is_here(self, name: str, info: dict[str, Any]) -> bool:
        path = self._target / name
        return self._known.get(name) == _state(info) and path.is_file() and path.stat().st_size == info.get("size")

    def _get(self, name: str, info: dict[str, Any]) -> None:
        path = self._target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            self._files.get_file(f"{self._root}/{name}", str(draft))
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        with self._noting:
            self._known[name] = _state(info)
            write_atomic(self._path, dump({"files": self._known}))


def _state(info: dict[str, Any]) -> list[str]:
    """Return what changes when a file of the source does."""
    return [str(info.get("size")), *(str(info[key]) for key in _STATES if info.get(key))]


def bring(run: RunDir) -> str:
    """Copy, and try again when the error may pass.

    :param run: its ``request.json`` says from where.
    :returns: what came, in words. :raises Exception: whatever the file system raises.
    """
    request = load_request(run.request)
    settings = request.offline or {}
    source = Resolver(os.environ, request.allowed_env).resolve(settings["source"], "offline.source")
    target = cache_directory(request, os.environ, run.scratch)
    assert target is not None  # noqa: S101 - a source always has a place
    check_place(request, os.environ, target, run.scratch)
    whole = request.preflight is None
    count, size = persistently(lambda: Assets(source, target, run.scratch / LEDGER, weights=whole).copy())
    return f"{count} files, {size} bytes, to {target}"


def main(argv: Sequence[str]) -> int:
    """Fill one run's cache; say in one line what came or what went wrong.

    :param argv: the run directory.
    """
    return program(bring, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
