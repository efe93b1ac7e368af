"""The completion marker: says that a run is complete, and what each of its files must contain.

Written last, after everything it lists (format: ``wire.MARKER_NAME``). Its digests make a torn upload, a flipped bit
and a file from another run errors rather than results.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Self

from airflow_provider_lmeval.errors import DamagedResultError, ResultNotFoundError, StoreError
from airflow_provider_lmeval.results import strict
from airflow_provider_lmeval.results.wording import suggest
from airflow_provider_lmeval.wire import MARKER_NAME, PROTOCOL, RESULT_NAME

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Digest:
    """What a file must contain.

    :param sha256: lower-case hexadecimal. :param size: in bytes.
    """

    sha256: str
    size: int

    def check(self, raw: bytes, what: str) -> None:
        """Compare content with the digest.

        :param what: the file, for the message.
        :raises DamagedResultError: it differs.
        """
        self._compare(Digest(hashlib.sha256(raw).hexdigest(), len(raw)), what)

    def check_file(self, path: Path) -> None:
        """Compare a file with the digest, without reading it into memory.

        :raises DamagedResultError: it differs. :raises OSError: it cannot be read.
        """
        with open(path, "rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        self._compare(Digest(sha256, path.stat().st_size), str(path))

    def _compare(self, found: Digest, what: str) -> None:
        if found.size != self.size:
            raise DamagedResultError(f"{what} has {found.size} bytes, its marker says {self.size}; evaluate again")
        if found != self:
            raise DamagedResultError(f"{what} does not match the digest in its marker; evaluate again")


@dataclass(frozen=True, slots=True)
class Marker:
    """A completion marker.

    :param run_id: the run it belongs to.
    :param files: digests by path relative to the run.
    """

    run_id: str
    files: Mapping[str, Digest]

    @classmethod
    def from_json(cls, raw: bytes, run_id: str | None = None) -> Self:
        """Read a marker.

        :param run_id: the run it must belong to; None to learn it from the marker.
        :raises DamagedResultError: not a marker, of another protocol or run, or without ``result.json``.
        """
        try:
            data = strict.loads(raw)
            owner = data["run_id"]
            if data["protocol"] != PROTOCOL:
                raise ValueError(f"protocol {data['protocol']!r} is not supported, only {PROTOCOL}")
            if not isinstance(owner, str) or run_id not in (None, owner):
                raise ValueError(f"it belongs to run {owner!r}")
            files = {relative_name(name): _digest(entry) for name, entry in data["files"].items()}
            if RESULT_NAME not in files:
                raise ValueError(f"{RESULT_NAME} is not listed")
        except (AttributeError, KeyError, TypeError, ValueError, StoreError) as error:
            of_run = f" of run {run_id}" if run_id else ""
            raise DamagedResultError(f"{MARKER_NAME}{of_run} is damaged: {error!r}") from None
        return cls(owner, files)

    def digest(self, name: str) -> Digest:
        """Return what a file must contain.

        :raises ResultNotFoundError: the run has no such file.
        """
        if name not in self.files:
            raise ResultNotFoundError(f"run {self.run_id} has no file {name!r}; {suggest(name, self.files)}")
        return self.files[name]


def relative_name(name: str) -> str:
    """Return a path that stays below the run.

    :raises StoreError: absolute, or with ``..``, ``.``, a backslash or an empty part.
    """
    if not name or "\\" in name or "\x00" in name or name.startswith("/") or str(PurePosixPath(name)) != name:
        raise StoreError(f"{name!r} is not a plain relative path, such as 'tasks/x/scores.jsonl.gz'")
    if ".." in PurePosixPath(name).parts:
        raise StoreError(f"{name!r} leads out of the run; only files below it can be read")
    return name


def _digest(entry: Any) -> Digest:
    digest = Digest(entry["sha256"], entry["bytes"])
    if not _SHA256.fullmatch(digest.sha256) or type(digest.size) is not int or digest.size < 0:
        raise ValueError(f"{entry!r} is not a digest")
    return digest
