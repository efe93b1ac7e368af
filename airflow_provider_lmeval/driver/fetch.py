"""Brings back what an earlier attempt stored: ``python -m airflow_provider_lmeval.driver.fetch RUN_DIR``.

A pod that takes over from an evicted one begins with an empty directory. The tasks that were finished lie in the store;
each one's ``result.json``, written last, holds the digests of its tables. A task that does not match, is incomplete or
would lead out of its place is left out and evaluated again; whether one still fits the request is for the worker to say.
Like the uploader a process of its own, for the same reasons.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from airflow_provider_lmeval.driver.outcome import read_json
from airflow_provider_lmeval.driver.remote import Ledger, Remote, persistently, program
from airflow_provider_lmeval.wire import KEPT_FILES, MARKER_NAME, RESULT_NAME, RunDir, file_digest


class Fetch:
    """One pass over the finished tasks in the store.

    :param run: the directory to fill. :param remote: the run's place in the store.
    """

    def __init__(self, run: RunDir, remote: Remote) -> None:
        self._run = run
        self._remote = remote
        self._drafts = run.scratch / "fetched"
        self._ledger = Ledger(run, remote.uri)

    def copy(self) -> tuple[int, int]:
        """Fetch all finished tasks that are not there yet; return how many came and how many were damaged.

        :raises Exception: whatever the file system raises.
        """
        names = set(self._remote.listing())
        vouched = self._marker() if MARKER_NAME in names else {}
        wanted = sorted(name.split("/")[1] for name in names if _is_result(name))
        missing = [directory for directory in wanted if not (self._run.tasks / directory).exists()]
        try:
            came = [self._fetch(directory, vouched) for directory in missing]
        finally:
            shutil.rmtree(self._drafts, ignore_errors=True)
        return came.count(True), came.count(False)

    def _fetch(self, directory: str, vouched: dict[str, Any]) -> bool:
        """Fetch one task; it appears complete or not at all."""
        draft = self._drafts / directory
        draft.mkdir(parents=True, exist_ok=True)
        self._get(directory, [RESULT_NAME])
        record = read_json(draft / RESULT_NAME) or {}
        digests, claim = record.get("files"), vouched.get(f"tasks/{directory}/{RESULT_NAME}")
        if not isinstance(digests, dict) or not set(digests) < KEPT_FILES or not self._belongs(record, directory):
            return False
        self._get(directory, digests)
        expected = {**digests, RESULT_NAME: claim or file_digest(draft / RESULT_NAME)}
        if any(not (draft / name).exists() or file_digest(draft / name) != expected[name] for name in expected):
            return False
        self._run.tasks.mkdir(exist_ok=True)
        place = draft.rename(self._run.tasks / directory)
        for name in expected:
            self._ledger.note(f"tasks/{directory}/{name}", place / name)
        return True

    def _belongs(self, record: dict[str, Any], directory: str) -> bool:
        task = record.get("task")
        return isinstance(task, str) and self._run.task(task).name == directory

    def _get(self, directory: str, names: Iterable[str]) -> None:
        for name in names:
            try:
                self._remote.files.get_file(
                    self._remote.path(f"tasks/{directory}/{name}"), str(self._drafts / directory / name)
                )
            except FileNotFoundError:
                continue  # a task without its tables is not finished

    def _marker(self) -> dict[str, Any]:
        """Return the digests of an attempt that came to an end, by name."""
        local = self._run.scratch / "fetched.marker"
        self._remote.files.get_file(self._remote.path(MARKER_NAME), str(local))
        files = (read_json(local) or {}).get("files")
        local.unlink()
        return files if isinstance(files, dict) else {}


def _is_result(name: str) -> bool:
    """Tell whether a name in the store is that of a finished task's document: ``tasks/NAME/result.json``."""
    top, *rest = name.split("/")
    return top == "tasks" and len(rest) == 2 and rest[1] == RESULT_NAME and not rest[0].startswith(".")


def fetch(run: RunDir) -> str:
    """Fetch, and try again when the error may pass.

    :param run: its ``request.json`` names the store.
    :returns: what came, in words; nothing if there was nothing.
    :raises Exception: whatever the file system raises.
    """
    came, damaged = persistently(lambda: Fetch(run, Remote.of(run)).copy())
    found = [f"{came} finished before"] if came else []
    return ", ".join([*found, f"{damaged} damaged and left out"] if damaged else found)


def main(argv: Sequence[str]) -> int:
    """Fill one run directory; say in one line what came or what went wrong.

    :param argv: the run directory.
    """
    return program(fetch, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
