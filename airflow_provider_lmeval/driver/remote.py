"""The store as the uploading and the fetching process see it: opened from a run's request, and tried more than once.

fsspec and its file systems are imported here and nowhere else in the driver; only those two processes load this.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from airflow_provider_lmeval.driver.environment import Resolver
from airflow_provider_lmeval.driver.intake import load_request
from airflow_provider_lmeval.driver.outcome import read_json
from airflow_provider_lmeval.errors import LMEvalError
from airflow_provider_lmeval.wire import RunDir, dump, write_atomic

T = TypeVar("T")

ATTEMPTS = 3
BACKOFF_S = 1.0
"""Before the second attempt; doubled before each further one."""
HOPELESS = (
    PermissionError, FileNotFoundError, NotADirectoryError, IsADirectoryError,
    ImportError, ValueError, TypeError, LMEvalError,
)  # fmt: skip
"""Errors that another attempt will not cure."""


class Remote:
    """The place of one run in a store.

    :param url: of the store, anything fsspec opens. :param run_id: the prefix below it.
    :param options: for fsspec, secrets resolved.
    """

    def __init__(self, url: str, run_id: str, options: dict[str, Any]) -> None:
        from fsspec.core import url_to_fs

        self.uri = f"{url.rstrip('/')}/{run_id}"
        self.files, self.root = url_to_fs(self.uri, **options)

    @classmethod
    def of(cls, run: RunDir) -> Remote:
        """Open the store that a run's ``request.json`` names."""
        request = load_request(run.request)
        store = Resolver(os.environ, request.allowed_env).resolve(request.store or {}, "store")
        return cls(store["url"], request.run_id, store.get("options") or {})

    def path(self, name: str) -> str:
        """Return where the file system has a file of the run."""
        return f"{self.root}/{name}"

    def listing(self) -> dict[str, Any]:
        """Return what is known of the files that are there, by name relative to the run."""
        try:
            found: dict[str, Any] = self.files.find(self.root, detail=True)
        except FileNotFoundError:
            return {}
        return {path.removeprefix(self.root).lstrip("/"): info for path, info in found.items()}


class Ledger:
    """Which files the store has as they are here, so that they are not copied again; kept in ``scratch``.

    :param run: its directory. :param uri: the run's place in the store; what is known of another place does not count.
    """

    def __init__(self, run: RunDir, uri: str) -> None:
        self._path = run.scratch / "uploaded.json"
        self._uri = uri
        kept = read_json(self._path) or {}
        self._files: dict[str, list[int]] = kept["files"] if kept.get("target") == uri else {}

    def knows(self, name: str, path: Path) -> bool:
        """Tell whether the store has this file, unless it lost it since."""
        return self._files.get(name) == _state(path)

    def note(self, name: str, path: Path) -> None:
        """Remember that the store has this file."""
        self._files[name] = _state(path)
        write_atomic(self._path, dump({"target": self._uri, "files": self._files}))


def _state(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_mtime_ns, found.st_size]


def persistently(action: Callable[[], T]) -> T:
    """Return what ``action`` returns; try again when its error may pass.

    :raises Exception: whatever the file system raises.
    """
    for attempt in range(1, ATTEMPTS):
        try:
            return action()
        except HOPELESS:
            raise
        except Exception as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):  # of whatever type: each file system has its own
                raise
            time.sleep(BACKOFF_S * 2 ** (attempt - 1))
    return action()


def program(action: Callable[[RunDir], str], argv: Sequence[str]) -> int:
    """Do something with a run directory and say in one line on stderr what came of it; ``publish`` reads that.

    :param action: returns what to say. :param argv: the run directory.
    :returns: the exit status.
    """
    try:
        words, status = action(RunDir(Path(argv[0]))), 0
    except Exception as error:  # noqa: BLE001 - file systems raise anything
        words, status = " ".join(f"{type(error).__name__}: {error}".split()), 1
    if words:
        print(words, file=sys.stderr)  # noqa: T201
    return status
