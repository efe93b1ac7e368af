"""Puts the task definitions of a git repository into a directory: its plain files, and nothing else of it.

Who may be asked is checked before anybody is. What a hostile repository or server could do to git is
:mod:`~airflow_provider_lmeval.driver.worker.git_repository`'s; here names and sizes are looked at before a file is written.
Symbolic links and submodules are left out; a file that is only an LFS pointer is an error.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from airflow_provider_lmeval.driver.worker.git_repository import Limits, Repository
from airflow_provider_lmeval.errors import RunFailedError
from airflow_provider_lmeval.wire import Cause, Request
from airflow_provider_lmeval.wire_env import takes_both

TIMEOUT_S = 300
MOST_FILES = 2_000
MOST_BYTES = 100 * 1024 * 1024
"""Of all files together; task definitions and their data are small, what is larger belongs into a data set."""
_LONGEST_NAME = 255
_LFS = b"version https://git-lfs.github.com/spec/"


@dataclass(frozen=True)
class Fetched:
    """Task files that lie on this machine now.

    :param directory: with the files. :param commit: they belong to. :param url: of the repository.
    :param path: of the directory in it.
    """

    directory: Path
    commit: str
    url: str
    path: str

    def origin(self) -> dict[str, str]:
        """Return what the result's fingerprint says of it."""
        return {"url": self.url, "path": self.path, "commit": self.commit}


def fetch_sources(request: Request, directory: Path) -> list[Fetched]:
    """Fetch the request's repositories.

    :param directory: one of the run's own, made anew.
    :raises RunFailedError: ``online_denied``: online access or the host is not allowed; ``bad_spec``: there is no such
        revision or directory, it is too large, or git is not installed; ``endpoint``: the server cannot be reached.
    """
    shutil.rmtree(directory, ignore_errors=True)
    return [_fetch(source, request, directory / str(index)) for index, source in enumerate(request.git_sources)]


def _fetch(source: Mapping[str, str], request: Request, place: Path) -> Fetched:
    url, ref, path = source["url"], source["ref"], source["path"]
    _check_allowed(url, request)
    files = place / "files"
    files.mkdir(parents=True)
    bare = place / "repository.git"
    try:
        repository = Repository(bare, Limits(request.git_max_bytes, MOST_BYTES, TIMEOUT_S))
        repository.fetch(url, ref)
        commit = repository.commit()
        _write(repository, commit, path, files, f"{url} at {ref}")
    finally:
        shutil.rmtree(bare, ignore_errors=True)
    return Fetched(files, commit, url, path)


def _check_allowed(url: str, request: Request) -> None:
    parts = urlsplit(url)
    host = f"{parts.hostname}:{parts.port}" if parts.port not in (None, 443) else str(parts.hostname)
    if parts.scheme != "https" or parts.username is not None:
        raise _bad(f"task_sources: {url!r}: only https without credentials is taken")
    if not request.allow_online:
        raise RunFailedError(
            f"task_sources: {url} is on another machine. {takes_both('allow_online')}",
            Cause.ONLINE_DENIED,
        )
    if host not in request.git_hosts:
        allowed = ", ".join(request.git_hosts) or "none"
        raise RunFailedError(
            f"task_sources: {host} is not among the hosts that task definitions may come from ({allowed}); the "
            "administrator adds it to [lmeval] allowed_git_hosts",
            Cause.ONLINE_DENIED,
        )


def _write(repository: Repository, commit: str, path: str, target: Path, what: str) -> None:
    found = list(repository.files(commit, path))
    total = sum(size for _, _, size in found)
    if not found:
        raise _bad(f"task_sources: {what} has no files in {path or 'it'!r}")
    if len(found) > MOST_FILES or total > MOST_BYTES:
        raise _bad(
            f"task_sources: {what} has {len(found):,} files with {total:,} bytes; at most {MOST_FILES:,} files with "
            f"{MOST_BYTES:,} bytes are taken. Give the directory of the task files as path."
        )
    for name, blob, _ in found:
        content = repository.content(blob)
        if content.startswith(_LFS):
            raise _bad(f"task_sources: {what}: {name} is kept in Git LFS, which is not used; commit the file itself")
        place = target / _inside(name)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)


def _inside(name: str) -> PurePosixPath:
    """Return the name, which ``git fsck`` has looked at before; nothing is to depend on that."""
    path = PurePosixPath(name)
    too_long = any(len(part.encode()) > _LONGEST_NAME for part in path.parts)
    if path.is_absolute() or ".." in path.parts or ".git" in path.parts or too_long:
        raise _bad(f"task_sources: the repository holds a file called {name[:_LONGEST_NAME]!r}")
    return path


def _bad(message: str) -> RunFailedError:
    return RunFailedError(message, Cause.BAD_SPEC)
