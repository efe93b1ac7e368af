"""An append-only list of small documents, with a pointer to the one in force.

Object stores know neither locks nor renames, so nothing here needs them. Every entry is a file of its own that is never
written again and is named after its content: two writers cannot overwrite each other's, and damage shows in the name. Only
the pointer is replaced. Whoever has replaced it looks again and moves it on if a later entry has appeared, so that writers
who meet end with the same entry in force, whoever writes last. On a local disk they wait for each other instead.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from airflow_provider_lmeval.errors import DamagedResultError, ResultNotFoundError, StoreError
from airflow_provider_lmeval.results import strict
from airflow_provider_lmeval.store.location import Location, explained
from airflow_provider_lmeval.wire import dump, write_atomic

HISTORY, POINTER, LOCK = "history", "current.json", ".lock"
SCHEMA_VERSION = 1
_NAME = re.compile(r"\d{6,}-[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, order=True)
class EntryName:
    """Name of an entry.

    :param sequence: one more than the highest there was. Writers that meet may take the same; their digests decide.
    :param sha256: of the content.
    """

    sequence: int
    sha256: str

    def __str__(self) -> str:
        return f"{self.sequence:06d}-{self.sha256}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a name.

        :raises ValueError: it is none.
        """
        if not _NAME.fullmatch(text):
            raise ValueError(f"{text!r} is not the name of an entry")
        sequence, _, sha256 = text.partition("-")
        return cls(int(sequence), sha256)


class Ledger:
    """The entries below one place.

    :param place: where its files are kept; the directory need not exist.
    """

    def __init__(self, place: Location) -> None:
        self._place = place

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep other writers out, where the file system can: on a local disk."""
        if not self._place.local:
            yield
            return
        with explained("write to", self._place.url):
            Path(self._place.root).mkdir(parents=True, exist_ok=True)
            lock = os.open(self._place.path(LOCK), os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def names(self) -> list[EntryName]:
        """Return the names of all entries, in order.

        :raises StoreError: the place cannot be listed.
        """
        try:
            with explained("list", self._place.url):
                self._place.fs.invalidate_cache()
                paths = self._place.fs.ls(self._place.path(HISTORY), detail=False)
        except ResultNotFoundError:
            return []
        files = (str(path).rstrip("/").rpartition("/")[2] for path in paths)
        return sorted(
            EntryName.parse(file[:-5]) for file in files if file.endswith(".json") and _NAME.fullmatch(file[:-5])
        )

    def read(self, name: EntryName) -> dict[str, Any]:
        """Return an entry.

        :raises DamagedResultError: it is missing, or is not what was written.
        """
        where = f"{self._place.url}/{HISTORY}/{name}.json"
        try:
            raw = self._read(HISTORY, f"{name}.json")
        except ResultNotFoundError:
            raise DamagedResultError(f"{where} is missing; entries are never removed") from None
        if hashlib.sha256(raw).hexdigest() != name.sha256:
            raise DamagedResultError(f"{where} does not match the digest in its name; restore it from a backup")
        return dict(strict.loads(raw))

    def in_force(self) -> EntryName | None:
        """Return the name of the entry that the pointer names; None if there never was one.

        :raises DamagedResultError: the pointer is damaged, or missing although there are entries.
        """
        where = f"{self._place.url}/{POINTER}"
        try:
            raw = self._read(POINTER)
        except ResultNotFoundError:
            if self.names():
                raise DamagedResultError(f"{where} is missing although there is a history; promote again") from None
            return None
        try:
            data = strict.loads(raw)
            if data["schema_version"] != SCHEMA_VERSION:
                raise ValueError(f"schema_version {data['schema_version']!r} cannot be read")
            return EntryName.parse(data["entry"])
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedResultError(f"{where} is damaged ({error}); promote again, or roll back to an entry") from None

    def append(self, entry: dict[str, Any]) -> EntryName:
        """Write an entry and put it in force.

        :param entry: plain JSON data, different from every other entry's.
        :raises StoreError: it cannot be written.
        """
        raw, names = dump(entry), self.names()
        name = EntryName(names[-1].sequence + 1 if names else 1, hashlib.sha256(raw).hexdigest())
        self._write(raw, HISTORY, f"{name}.json")
        pointed = None
        while pointed != (latest := max(name, *self.names())):
            self._point(latest)
            pointed = latest
        return name

    def read_beside(self, *path: str) -> bytes | None:
        """Return a document that is kept beside the entries; None if there is none."""
        try:
            return self._read(*path)
        except ResultNotFoundError:
            return None

    def write_beside(self, data: Any, *path: str) -> None:
        """Write or replace a document beside the entries."""
        self._write(dump(data), *path)

    def _point(self, name: EntryName) -> None:
        self._write(dump({"schema_version": SCHEMA_VERSION, "entry": str(name)}), POINTER)

    def _read(self, *path: str) -> bytes:
        with explained("read", f"{self._place.url}/{'/'.join(path)}"):
            return bytes(self._place.fs.cat_file(self._place.path(*path)))

    def _write(self, raw: bytes, *path: str) -> None:
        target = self._place.path(*path)
        with explained("write to", self._place.url):
            if self._place.local:
                Path(target).parent.mkdir(parents=True, exist_ok=True)
                write_atomic(Path(target), raw)
            else:
                self._place.fs.pipe_file(target, raw)


def below(place: Location, *parts: str) -> Location:
    """Return a place below another.

    :raises StoreError: a part is empty.
    """
    if not all(parts):
        raise StoreError(f"a name below {place.url} is empty")
    return Location(place.fs, place.path(*parts), "/".join((place.url.rstrip("/"), *parts)), place.local)
