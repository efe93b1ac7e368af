"""A run's files: what they are called, and how they are written. Part of the protocol, and read by way of ``wire``.

The same names stand in a run directory, below a run's prefix in the store and in results. Whoever reads a file while it is
being written must find the old content or the new, and whoever reads one later must be able to tell that it is whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULT_NAME = "result.json"
"""The result document: schema in ``results/model.py``."""
MARKER_NAME = "_COMPLETE.json"
"""Written last: ``{"protocol", "run_id", "files": {path: {"sha256", "bytes"}}}``. Without it there is no result."""
STORED_DIRECTORIES = ("tasks", "logs")
"""What is stored beside ``result.json``."""
KEPT_FILES = frozenset({"result.json", "scores.jsonl.gz", "samples.jsonl.gz", "stdout.log", "stderr.log"})

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True)
class RunDir:
    """Names of the files in a run directory; the same names below a run's prefix in the store.

    :param root: the directory; ``result.json`` and everything it refers to lie below it.
    """

    root: Path

    @property
    def request(self) -> Path:
        return self.root / "request.json"

    @property
    def status(self) -> Path:
        return self.root / "status.json"

    @property
    def result(self) -> Path:
        return self.root / RESULT_NAME

    @property
    def marker(self) -> Path:
        return self.root / MARKER_NAME

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def tasks(self) -> Path:
        return self.root / "tasks"

    @property
    def scratch(self) -> Path:
        """Working files that are of no use after the run (generated task YAML, the child's TMPDIR)."""
        return self.root / "scratch"

    def task(self, name: str) -> Path:
        """Directory of one finished task."""
        return self.tasks / safe_name(name)


def safe_name(name: str, limit: int = 80) -> str:
    """Return a file name for any string: unchanged if it is one already, else shortened and made unique by a hash.

    :param name: any text, task names with ``/``, ``..``, quotes or newlines included.
    :param limit: longest name returned, in characters.
    """
    cleaned = _UNSAFE.sub("_", name).lstrip(".-")[: limit - 9]
    if cleaned == name and name:
        return name
    return f"{cleaned or 'x'}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never half of it.

    :param path: replaced if it exists; its directory must exist.
    :raises OSError: no space, no permission.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def file_digest(path: Path) -> dict[str, Any]:
    """Return what vouches for a file's content: ``{"sha256": hexadecimal, "bytes": size}``.

    :raises OSError: it cannot be read.
    """
    with open(path, "rb") as stream:
        return {"sha256": hashlib.file_digest(stream, "sha256").hexdigest(), "bytes": path.stat().st_size}


def dump(data: Any, *, sort_keys: bool = True) -> bytes:
    """Encode strict JSON: NaN and Infinity are errors, not tokens other readers choke on.

    :param sort_keys: equal data gives equal bytes. Not for requests: in unitxt artifacts the order of keys has a meaning.
    """
    return json.dumps(data, sort_keys=sort_keys, ensure_ascii=False, allow_nan=False, indent=1).encode(
        "utf-8", "replace"
    )
