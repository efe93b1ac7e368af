"""Copies a run's results to its store: ``python -m airflow_provider_lmeval.driver.upload RUN_DIR``.

A process of its own, because fsspec and its file systems are large, may hang in a network call, and need the store's
credentials, which the evaluation must not have. It can be run any number of times: what is there already is not
copied again. The marker goes last, and an old one goes away first, so that a reader never takes a mixture for a
result.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from airflow_provider_lmeval.driver.outcome import kept_files
from airflow_provider_lmeval.driver.remote import Ledger, Remote, persistently, program
from airflow_provider_lmeval.wire import MARKER_NAME, RunDir


class Upload:
    """One pass over the files of a run.

    :param run: its directory. :param remote: its place in the store.
    """

    def __init__(self, run: RunDir, remote: Remote) -> None:
        self._run = run
        self._remote = remote
        self._ledger = Ledger(run, remote.uri)

    def copy(self) -> None:
        """Bring the store up to date.

        :raises Exception: whatever the file system raises.
        """
        there = self._remote.listing()
        if MARKER_NAME in there:
            if self._same_marker():
                return
            self._remote.files.rm_file(self._remote.path(MARKER_NAME))
        for path in kept_files(self._run):
            name = path.relative_to(self._run.root).as_posix()
            if not self._ledger.knows(name, path) or there.get(name, {}).get("size") != path.stat().st_size:
                self._put(path, name)
                self._ledger.note(name, path)
        if self._run.marker.exists():
            self._put(self._run.marker, MARKER_NAME)

    def _same_marker(self) -> bool:
        ours = self._run.marker.read_bytes() if self._run.marker.exists() else None
        return bool(self._remote.files.cat_file(self._remote.path(MARKER_NAME)) == ours)

    def _put(self, source: Path, name: str) -> None:
        target, files = self._remote.path(name), self._remote.files
        if "file" in files.protocol:
            _copy_atomic(source, Path(target))
        else:
            files.put_file(str(source), target)


def _copy_atomic(source: Path, target: Path) -> None:
    """Copy within a file system that others read at the same time."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        shutil.copyfile(source, temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def upload(run: RunDir) -> str:
    """Copy, and try again when the error may pass.

    :param run: its ``request.json`` names the store.
    :returns: nothing to say. :raises Exception: whatever the file system raises.
    """
    persistently(lambda: Upload(run, Remote.of(run)).copy())
    return ""


def main(argv: Sequence[str]) -> int:
    """Upload one run directory; say in one line what went wrong.

    :param argv: the run directory.
    """
    return program(upload, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
