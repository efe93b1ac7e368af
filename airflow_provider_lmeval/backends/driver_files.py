"""The driver as files, for a Python that has lm-eval but not this package.

The driver needs nothing of Airflow, pydantic or the rest of the package. Starting it from a copy of just its own files,
for every local run, means that what is tested is what an evaluation image gets.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from airflow_provider_lmeval import __version__

PACKAGE = "airflow_provider_lmeval"
SHARED = ("__init__.py", "py.typed", "errors.py")
"""What the driver shares with Airflow's side, beside the modules of the protocol; ``driver/copy.py`` copies the same."""
PROTOCOL = "wire*.py"


@cache
def driver_files() -> dict[str, bytes]:
    """Return the driver's files: path below a directory on ``PYTHONPATH`` → content."""
    package = files(PACKAGE)
    shared = (entry for entry in package.iterdir() if entry.name in SHARED or fnmatchcase(entry.name, PROTOCOL))
    found = {f"{PACKAGE}/{entry.name}": entry.read_bytes() for entry in shared}
    return found | dict(_walk(package.joinpath("driver"), f"{PACKAGE}/driver"))


def _walk(directory: Traversable, prefix: str) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for entry in directory.iterdir():
        path = f"{prefix}/{entry.name}"
        if entry.is_dir() and entry.name != "__pycache__":
            found += _walk(entry, path)
        elif entry.is_file():
            found.append((path, entry.read_bytes()))
    return found


def install(parent: Path) -> Path:
    """Put the driver below ``parent`` unless this very version is there, and return the directory for ``PYTHONPATH``.

    :raises OSError: the directory cannot be written.
    """
    digest = hashlib.sha256()
    for path, content in sorted(driver_files().items()):
        digest.update(f"{path}\0{len(content)}\0".encode() + content)
    target = parent / f"driver-{__version__}-{digest.hexdigest()[:12]}"
    if not target.is_dir():
        _install_new(parent, target)
    return target


def _install_new(parent: Path, target: Path) -> None:
    """Fill a temporary directory and rename it: another worker may be doing the same."""
    temporary = Path(tempfile.mkdtemp(prefix=".driver-", dir=parent))
    try:
        for path, content in driver_files().items():
            (temporary / path).parent.mkdir(parents=True, exist_ok=True)
            (temporary / path).write_bytes(content)
        temporary.chmod(0o755)
        temporary.rename(target)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        if not target.is_dir():
            raise
