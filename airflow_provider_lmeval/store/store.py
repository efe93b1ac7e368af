"""Puts runs into the store and takes verified results out of it.

The driver's uploader writes the same layout from places where only fsspec exists; this side writes runs that were kept
locally, and does all the reading. Reading trusts nothing: every byte handed out has matched the marker's digest.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_provider_lmeval.errors import DamagedResultError, ResultNotFoundError, StoreError
from airflow_provider_lmeval.results import EvalResult
from airflow_provider_lmeval.store.location import Location, explained, join, locate, shown
from airflow_provider_lmeval.store.marker import Marker, relative_name
from airflow_provider_lmeval.wire import KEPT_FILES, MARKER_NAME, RESULT_NAME, STORED_DIRECTORIES, RunDir, safe_name


class Store:
    """Results of many runs below one URL.

    :param url: a directory, an fsspec URL, or Airflow's ``scheme://conn_id@bucket/prefix``.
    :param storage_options: fsspec's options for that URL.
    :raises StoreError: the URL cannot be used: its scheme, package, connection or credentials.
    """

    def __init__(self, url: str | os.PathLike[str], storage_options: Mapping[str, Any] | None = None) -> None:
        self._place: Location = locate(os.fspath(url), storage_options)

    @property
    def url(self) -> str:
        """Where the store is; local paths are absolute."""
        return self._place.url

    @property
    def place(self) -> Location:
        """The store's directory in its file system."""
        return self._place

    def uri(self, run_id: str) -> str:
        """Return where a run's results are, or will be; :func:`open_result` takes it.

        :raises StoreError: not a valid run id.
        """
        return join(self.url, _check_run_id(run_id))

    def exists(self, run_id: str) -> bool:
        """Whether the run is there and complete.

        :raises StoreError: not a valid run id, or the store cannot be reached.
        """
        uri = self.uri(run_id)
        with explained("look for", uri):
            self._place.fs.invalidate_cache()
            return bool(self._place.fs.exists(self._place.path(run_id, MARKER_NAME)))

    def runs(self) -> list[str]:
        """Return the ids of all complete runs, sorted.

        :raises StoreError: the store cannot be reached.
        """
        try:
            with explained("list", self.url):
                self._place.fs.invalidate_cache()
                paths = self._place.fs.ls(self._place.root, detail=False)
        except ResultNotFoundError:
            return []
        names = {str(path).rstrip("/").rpartition("/")[2] for path in paths}
        return sorted(name for name in names if safe_name(name) == name and self.exists(name))

    def read_result(self, run_id: str) -> EvalResult:
        """Return a run's result, that of a failed run included.

        :raises ResultNotFoundError: there is none, or it is not complete.
        :raises DamagedResultError: it does not match its marker or its schema.
        :raises StoreError: not a valid run id, or the store cannot be reached.
        """
        raw = self.read_file(run_id, RESULT_NAME)
        try:
            result = EvalResult.from_json(raw)
        except DamagedResultError as error:
            raise DamagedResultError(f"{shown(self.uri(run_id))}: {error}") from None
        if result.run_id != run_id:
            raise DamagedResultError(f"{shown(self.uri(run_id))} holds the result of another run, {result.run_id!r}")
        return result

    def read_file(self, run_id: str, relative: str) -> bytes:
        """Return the content of one of a run's files.

        :param relative: path below the run, as the result document gives it.
        :raises ResultNotFoundError: the run is not complete or has no such file.
        :raises DamagedResultError: the content does not match its digest.
        :raises StoreError: a path that leads elsewhere, or the store cannot be reached.
        """
        digest = self._marker(run_id).digest(relative_name(relative))
        where = f"{shown(self.uri(run_id))}/{relative}"
        try:
            raw = self._read(run_id, relative)
        except ResultNotFoundError:
            raise DamagedResultError(f"{where} is listed in its marker but missing; evaluate again") from None
        digest.check(raw, where)
        return raw

    def put_run(self, run_dir: RunDir) -> str:
        """Copy an ended run into the store: its kept files, then ``result.json``, the marker last. Repeatable.

        :returns: the run's URI.
        :raises ResultNotFoundError: the run has not ended, or lacks a file its marker lists.
        :raises DamagedResultError: a file does not match the marker.
        :raises StoreError: the store cannot be written to.
        """
        with explained("read", str(run_dir.marker)):
            raw = run_dir.marker.read_bytes()
        marker = Marker.from_json(raw)
        for name in marker.files:
            _check_source(run_dir, name, marker)
        if self.exists(marker.run_id) and self._read(marker.run_id, MARKER_NAME) != raw:
            self._unmark(marker.run_id)
        self._copy(run_dir, marker)
        return self.uri(marker.run_id)

    def check_writable(self) -> None:
        """Write a probe and remove it, to find out now rather than after hours of evaluation.

        :raises StoreError: it cannot be written; with what to do.
        """
        probe = self._place.path(f".probe-{uuid.uuid4().hex}")
        try:
            with explained("write to", self.url):
                if self._place.local:
                    Path(self._place.root).mkdir(parents=True, exist_ok=True)
                self._place.fs.pipe_file(probe, b"lmeval")
                self._place.fs.rm_file(probe)
        except StoreError as error:
            raise StoreError(f"{error}. Create the place, grant write access, or set another results_uri.") from error

    def _marker(self, run_id: str) -> Marker:
        try:
            raw = self._read(run_id, MARKER_NAME)
        except ResultNotFoundError:
            raise ResultNotFoundError(
                f"{shown(self.uri(run_id))} holds no complete result ({MARKER_NAME} is missing): "
                "the run has not ended, its upload was interrupted, or the place is wrong"
            ) from None
        return Marker.from_json(raw, run_id)

    def _read(self, run_id: str, name: str) -> bytes:
        uri = self.uri(run_id)
        with explained("read", f"{uri}/{name}"):
            return bytes(self._place.fs.cat_file(self._place.path(run_id, *name.split("/"))))

    def _unmark(self, run_id: str) -> None:
        """Remove the marker of an earlier attempt, which would not describe the files about to be written."""
        with explained("write to", self.uri(run_id)):
            self._place.fs.rm_file(self._place.path(run_id, MARKER_NAME))

    def _copy(self, run_dir: RunDir, marker: Marker) -> None:
        names = sorted(marker.files, key=lambda name: (name == RESULT_NAME, name))
        with explained("write to", self.uri(marker.run_id)):
            for name in [*names, MARKER_NAME]:
                self._put(run_dir.root / name, self._place.path(marker.run_id, *name.split("/")))

    def _put(self, source: Path, target: str) -> None:
        if self._place.local:
            _copy_atomic(source, Path(target))
        else:
            self._place.fs.put_file(str(source), target)


def open_result(uri: str, storage_options: Mapping[str, Any] | None = None) -> EvalResult:
    """Return the result that a URI names.

    :param uri: a run's prefix (``Store.uri``), or its ``result.json``.
    :param storage_options: fsspec's options for it.
    :raises ResultNotFoundError: nothing complete is there. :raises DamagedResultError: it is damaged.
    :raises StoreError: the place cannot be reached or is not a run's.
    """
    url, run_id = run_of(uri)
    return Store(url, storage_options).read_result(run_id)


def run_of(uri: str) -> tuple[str, str]:
    """Return the store's URL and the run id of a run's prefix or its ``result.json``."""
    prefix = uri.rstrip("/").removesuffix(f"/{RESULT_NAME}")
    url, slash, run_id = prefix.rpartition("/")
    if url.endswith(":/") or (slash and not url):
        url += "/"
    return url or ".", run_id


def _check_run_id(run_id: str) -> str:
    if safe_name(run_id) != run_id:
        raise StoreError(f"{run_id!r} is not a run id: only letters, digits, '.', '_' and '-', at most 71 characters")
    return run_id


def _check_source(run_dir: RunDir, name: str, marker: Marker) -> None:
    """Refuse what is not a kept, regular, unchanged file of the run: what it holds may have been written by a model."""
    path = run_dir.root / name
    top = name.partition("/")[0]
    if (name != RESULT_NAME and top not in STORED_DIRECTORIES) or path.name not in KEPT_FILES:
        raise StoreError(f"{path} is listed in the run's marker but is not a file that is kept")
    if not path.resolve().is_relative_to(run_dir.root.resolve()):
        raise StoreError(f"{path} is a link that leads out of the run; links are not stored")
    with explained("read", str(path)):
        marker.digest(name).check_file(path)


def _copy_atomic(source: Path, target: Path) -> None:
    """Copy so that a reader sees the old content or the new, never half of it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with open(source, "rb") as reader, open(temporary, "wb") as writer:
            shutil.copyfileobj(reader, writer)
            writer.flush()
            os.fsync(writer.fileno())
        temporary.replace(target)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
