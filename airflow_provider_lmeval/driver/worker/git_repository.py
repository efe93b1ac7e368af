"""Runs git on a repository that somebody else wrote, so that it can be read and do nothing.

A checkout runs what the repository or the machine has configured: hooks, clean and smudge filters (LFS is one), submodules.
So nothing is checked out: one commit is fetched over HTTPS into a bare repository with no configuration but the one given
here, and its files are read object by object.

A server can also send without end, and some hundred bytes can stand for gigabytes. What git may write, use of memory and of
the processor is limited by the kernel (setrlimit(2)), since git has no limits of its own for a fetch: ``--filter`` is a
wish that a server may overhear.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from airflow_provider_lmeval.errors import RunFailedError
from airflow_provider_lmeval.wire import Cause

SETTINGS = {
    "core.hooksPath": os.devnull,
    "core.bigFileThreshold": "8m",  # larger files are hashed as they come, and not held in memory
    "core.fsmonitor": "false",
    "credential.helper": "",
    "fetch.fsckObjects": "true",
    "fetch.recurseSubmodules": "false",
    "fetch.unpackLimit": "1",  # one file with everything, whose size is what was fetched
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
    "pack.threads": "1",
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
LISTING_BYTES = 8 * 1024 * 1024
"""Of the names in one directory and below: a few trees that contain each other many times list files without end."""
_SAID_CHARACTERS = 2000
_MISSING = ("couldn't find remote ref", "not our ref", "unadvertised object")
_MALFORMED = "fsck error"
_PLAIN_FILES = ("100644", "100755")


@dataclass(frozen=True)
class Limits:
    """What one command of git may take.

    :param fetched_bytes: what a fetch may bring. :param file_bytes: what one file may have.
    :param seconds: until it has to have ended; as many seconds of a processor at most.
    :param memory_bytes: of address space, beside the files that it maps.
    """

    fetched_bytes: int
    file_bytes: int
    seconds: int
    memory_bytes: int = 2 * 1024**3


@dataclass(frozen=True)
class _Done:
    status: int
    output: bytes
    said: str

    @property
    def is_cut(self) -> bool:
        """Whether it was stopped because its output was too long."""
        return self.status == -signal.SIGXFSZ


class Repository:
    """A bare repository of our own.

    :param directory: of the repository, in one that is empty and that git takes for the user's home.
    :param limits: for each command.
    """

    def __init__(self, directory: Path, limits: Limits) -> None:
        self.directory = directory
        self._limits = limits
        self._environment = git_environment(os.environ, directory.parent)
        self._output("init", "--quiet", "--bare", "--template=", str(directory))

    def fetch(self, url: str, ref: str) -> None:
        """Fetch one commit without its history.

        :raises RunFailedError: ``bad_spec`` if the server has no such revision or it is too large, ``endpoint`` for
            whatever else fails.
        """
        options = ("--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--no-write-commit-graph")
        done = self._run("fetch", *options, "--", url, ref, most=self._limits.fetched_bytes)
        if not done.status:
            return
        if self._is_full():
            raise RunFailedError(
                f"task_sources: {ref!r} of {url} has more than {self._limits.fetched_bytes:,} bytes, all of its files "
                "together, and the fetch was stopped there. Put the task files into a repository or branch of their "
                "own, or have the administrator raise [lmeval] max_git_bytes.",
                Cause.BAD_SPEC,
            )
        missing = any(words in done.said for words in _MISSING)
        hint = " Give a branch, a tag or a full commit." if missing else ""
        raise RunFailedError(
            f"task_sources: cannot fetch {ref!r} from {url}: {done.said}.{hint}",
            Cause.BAD_SPEC if missing or _MALFORMED in done.said else Cause.ENDPOINT,
        )

    def commit(self) -> str:
        """Return the commit that was fetched; a tag is followed to it."""
        return self._output("rev-parse", "--verify", "--quiet", "FETCH_HEAD^{commit}").decode().strip()

    def files(self, commit: str, path: str) -> Iterator[tuple[str, str, int]]:
        """Yield name, object and size of the plain files below a directory; names are relative to it.

        :param path: of the directory; empty for all of it.
        :raises RunFailedError: ``bad_spec``: there is no end to them.
        """
        prefix = f"{path.rstrip('/')}/" if path else ""
        below = ("--", prefix) if prefix else ()
        done = self._run("ls-tree", "-r", "-z", "--long", "--full-tree", commit, *below, most=LISTING_BYTES)
        if done.is_cut:
            raise RunFailedError(
                f"task_sources: the names of the files in {path or 'the repository'!r} alone are more than "
                f"{LISTING_BYTES:,} bytes; give the directory of the task files as path",
                Cause.BAD_SPEC,
            )
        for entry in filter(None, _names(_succeeded(done, "ls-tree")).split("\0")):
            meta, _, name = entry.partition("\t")
            mode, _, blob, size = meta.split()
            if mode in _PLAIN_FILES:
                yield name.removeprefix(prefix), blob, int(size)

    def content(self, blob: str) -> bytes:
        """Return a file's bytes as they were committed."""
        return self._output("cat-file", "blob", blob)

    def _is_full(self) -> bool:
        """Whether a file has as many bytes as the kernel lets one have."""
        files = (path for path in self.directory.rglob("*") if path.is_file())
        return any(path.stat().st_size >= self._limits.fetched_bytes for path in files)

    def _output(self, *arguments: str) -> bytes:
        return _succeeded(self._run(*arguments, most=self._limits.file_bytes), arguments[0])

    def _run(self, *arguments: str, most: int) -> _Done:
        """Run one command, whose output goes to files: what is too long ends git, and does not fill our memory."""
        home = self.directory.parent
        with tempfile.TemporaryFile(dir=home) as output, tempfile.TemporaryFile(dir=home) as errors:
            status = self._call(arguments, output, errors, most)
            output.seek(0)
            errors.seek(0)
            return _Done(status, output.read(), _readable(errors.read(4 * _SAID_CHARACTERS)))

    def _call(self, arguments: Sequence[str], output: IO[bytes], errors: IO[bytes], most: int) -> int:
        settings = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
        command = ["git", f"--git-dir={self.directory}", *settings, *arguments]
        try:
            return subprocess.run(
                command,
                env=self._environment,
                cwd=self.directory.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                check=False,
                timeout=self._limits.seconds,
                preexec_fn=_limited(most, self._limits),
            ).returncode
        except FileNotFoundError:
            raise RunFailedError(
                "task_sources: git is not installed where the evaluation runs; install it there, or put the task files "
                "into a directory or ConfigMap",
                Cause.BAD_SPEC,
            ) from None
        except subprocess.TimeoutExpired:
            raise RunFailedError(
                f"task_sources: git {arguments[0]} took more than {self._limits.seconds} s", Cause.ENDPOINT
            ) from None


def _succeeded(done: _Done, command: str) -> bytes:
    if done.status:
        raise RunFailedError(f"task_sources: git {command}: {done.said or f'ended with {done.status}'}", Cause.INTERNAL)
    return done.output


def _names(listing: bytes) -> str:
    try:
        return listing.decode()
    except UnicodeDecodeError:
        raise RunFailedError(
            "task_sources: the repository holds a file whose name is not UTF-8", Cause.BAD_SPEC
        ) from None


def _readable(said: bytes) -> str:
    """Return what git or its server said, without what would move a terminal's cursor."""
    text = said.decode(errors="replace")[:_SAID_CHARACTERS].strip()
    return "".join(character if character.isprintable() else " " for character in text)


def _limited(file_bytes: int, limits: Limits) -> Callable[[], None]:
    """Return a ``preexec_fn`` that lowers the kernel's limits for a command and all that it starts."""
    wanted = {
        resource.RLIMIT_FSIZE: file_bytes,
        resource.RLIMIT_AS: limits.memory_bytes + file_bytes,
        resource.RLIMIT_CPU: limits.seconds,
    }
    lowered = [(kind, _at_most(most, resource.getrlimit(kind)[1])) for kind, most in wanted.items()]

    def lower() -> None:
        for kind, most in lowered:
            resource.setrlimit(kind, (most, most))

    return lower


def _at_most(wanted: int, hard: int) -> int:
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


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
