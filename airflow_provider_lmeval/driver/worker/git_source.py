"""Fetches task definitions from a git repository without letting the repository do anything but be read.

A checkout runs what the repository or the machine has configured: hooks, clean and smudge filters (LFS is one), submodules.
So nothing is checked out. One commit is fetched over HTTPS into a bare repository made for it, with no configuration but the
one given here, and its plain files are read object by object. Symbolic links and submodules are left out; a file that is
only an LFS pointer is an error.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from airflow_provider_lmeval.errors import RunFailedError
from airflow_provider_lmeval.wire import Cause, Request

SETTINGS = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "credential.helper": "",
    "fetch.fsckObjects": "true",
    "fetch.recurseSubmodules": "false",
    "filter.lfs.clean": "",
    "filter.lfs.process": "",
    "filter.lfs.required": "false",
    "filter.lfs.smudge": "",
    "gc.auto": "0",
    "http.followRedirects": "false",
    "http.lowSpeedLimit": "1000",
    "http.lowSpeedTime": "60",
    "http.sslVerify": "true",
    "maintenance.auto": "false",
    "protocol.allow": "never",
    "protocol.https.allow": "always",
    "submodule.recurse": "false",
}
"""git's whole configuration (git-config(1)). A redirect could lead to a host that is not allowed."""
PASSED_THROUGH = (
    "PATH",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
    "SSL_CERT_DIR",
)
TIMEOUT_S = 300
MOST_FILES = 2_000
MOST_BYTES = 100 * 1024 * 1024
"""Of all files together; task definitions and their data are small, what is larger belongs into a data set."""
_LFS = b"version https://git-lfs.github.com/spec/"
_PLAIN_FILES = ("100644", "100755")


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
        revision or directory, or git is not installed; ``endpoint``: the server cannot be reached.
    """
    shutil.rmtree(directory, ignore_errors=True)
    return [_fetch(source, request, directory / str(index)) for index, source in enumerate(request.git_sources)]


def _fetch(source: Mapping[str, str], request: Request, place: Path) -> Fetched:
    url, ref, path = source["url"], source["ref"], source["path"]
    _check_allowed(url, request)
    files = place / "files"
    files.mkdir(parents=True)
    repository = Repository(place / "repository.git", place)
    repository.fetch(url, ref)
    commit = repository.commit()
    _write(repository, commit, path, files, f"{url} at {ref}")
    shutil.rmtree(repository.directory)
    return Fetched(files, commit, url, path)


def _check_allowed(url: str, request: Request) -> None:
    parts = urlsplit(url)
    host = f"{parts.hostname}:{parts.port}" if parts.port not in (None, 443) else str(parts.hostname)
    if parts.scheme != "https" or parts.username is not None:
        raise _bad(f"task_sources: {url!r}: only https without credentials is taken")
    if not request.allow_online:
        raise RunFailedError(
            f"task_sources: {url} is on another machine. It takes both: `allow_online: true` in the spec, and the "
            "administrator's permission.",
            Cause.ONLINE_DENIED,
        )
    if host not in request.git_hosts:
        allowed = ", ".join(request.git_hosts) or "none"
        raise RunFailedError(
            f"task_sources: {host} is not among the hosts that task definitions may come from ({allowed}); the "
            "administrator adds it to [lmeval] allowed_git_hosts",
            Cause.ONLINE_DENIED,
        )


class Repository:
    """A bare repository of our own.

    :param directory: of the repository. :param home: what git takes for the user's home.
    """

    def __init__(self, directory: Path, home: Path) -> None:
        self.directory = directory
        self._environment = git_environment(os.environ, home)
        self._git("init", "--quiet", "--bare", "--template=", str(directory), bare=False)

    def fetch(self, url: str, ref: str) -> None:
        """Fetch one commit without its history.

        :raises RunFailedError: ``bad_spec`` if the server has no such revision, ``endpoint`` for whatever else fails.
        """
        options = ("--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--no-write-commit-graph")
        done = self._run("fetch", *options, "--", url, ref)
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip()
            missing = "couldn't find remote ref" in said or "not our ref" in said or "unadvertised object" in said
            hint = " Give a branch, a tag or a full commit." if missing else ""
            raise RunFailedError(
                f"task_sources: cannot fetch {ref!r} from {url}: {said}.{hint}",
                Cause.BAD_SPEC if missing else Cause.ENDPOINT,
            )

    def commit(self) -> str:
        """Return the commit that was fetched; a tag is followed to it."""
        return self._git("rev-parse", "--verify", "--quiet", "FETCH_HEAD^{commit}").decode().strip()

    def files(self, commit: str, path: str) -> Iterator[tuple[str, str, int]]:
        """Yield name, object and size of the plain files below a directory; names are relative to it.

        :param path: of the directory; empty for all of it.
        """
        prefix = f"{path.rstrip('/')}/" if path else ""
        listing = self._git("ls-tree", "-r", "-z", "--long", "--full-tree", commit, "--", *([prefix] if prefix else []))
        for entry in filter(None, listing.decode("utf-8", "replace").split("\0")):
            meta, _, name = entry.partition("\t")
            mode, _, blob, size = meta.split()
            if mode in _PLAIN_FILES:
                yield name.removeprefix(prefix), blob, int(size)

    def content(self, blob: str) -> bytes:
        """Return a file's bytes as they were committed."""
        return self._git("cat-file", "blob", blob)

    def _git(self, *arguments: str, bare: bool = True) -> bytes:
        done = self._run(*arguments, bare=bare)
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip()
            raise RunFailedError(f"task_sources: git {arguments[0]}: {said}", Cause.INTERNAL)
        return done.stdout

    def _run(self, *arguments: str, bare: bool = True) -> subprocess.CompletedProcess[bytes]:
        where = [f"--git-dir={self.directory}"] if bare else []
        settings = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
        command = ["git", *where, *settings, *arguments]
        try:
            return subprocess.run(
                command,
                env=self._environment,
                cwd=self.directory.parent,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=TIMEOUT_S,
            )
        except FileNotFoundError:
            raise _bad(
                "task_sources: git is not installed where the evaluation runs; install it there, or put the task files "
                "into a directory or ConfigMap"
            ) from None
        except subprocess.TimeoutExpired:
            raise RunFailedError(
                f"task_sources: git {arguments[0]} took more than {TIMEOUT_S} s", Cause.ENDPOINT
            ) from None


def git_environment(environ: Mapping[str, str], home: Path) -> dict[str, str]:
    """Return the whole environment of git: no configuration of system or user, no prompt, no credentials.

    :param environ: this process's. :param home: an empty directory.
    """
    passed = {name: environ[name] for name in PASSED_THROUGH if name in environ}
    bundle = environ.get("SSL_CERT_FILE") or environ.get("REQUESTS_CA_BUNDLE") or environ.get("CURL_CA_BUNDLE")
    return {
        **passed,
        **({"GIT_SSL_CAINFO": bundle} if bundle else {}),
        "HOME": str(home),
        "LC_ALL": "C",
        "GIT_ALLOW_PROTOCOL": "https",
        "GIT_ASKPASS": "",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "SSH_ASKPASS": "",
    }


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
    if path.is_absolute() or ".." in path.parts or ".git" in path.parts:
        raise _bad(f"task_sources: the repository holds a file called {name!r}")
    return path


def _bad(message: str) -> RunFailedError:
    return RunFailedError(message, Cause.BAD_SPEC)
