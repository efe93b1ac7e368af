"""Copies the driver's own files: ``python -m airflow_provider_lmeval.driver.copy DIRECTORY``.

Run by an init container, so that an image that only has lm-eval can be used for evaluations: with the directory on its
``PYTHONPATH`` the driver is there. It copies itself, so it needs nothing but the Python that runs it.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

SHARED = ("__init__.py", "py.typed", "errors.py")
"""What the driver shares with Airflow's side, beside the modules of the protocol."""
PROTOCOL = "wire*.py"


def copy(target: Path) -> Path:
    """Put the package with nothing but the driver below ``target``, readable for everybody, and return its directory.

    :param target: may exist; it becomes an entry of ``PYTHONPATH``.
    :raises OSError: it cannot be written.
    """
    source = Path(__file__).resolve().parents[1]
    package = target / source.name
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(source / "driver", package / "driver", ignore=ignored, dirs_exist_ok=True)
    for path in [*(source / name for name in SHARED), *source.glob(PROTOCOL)]:
        shutil.copy(path, package / path.name)
    for path in [package, *package.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    return package


def main(argv: Sequence[str]) -> int:
    """Copy, and say where to or why not.

    :param argv: the directory.
    """
    try:
        print(f"driver copied to {copy(Path(argv[0]))}")  # noqa: T201 - the init container's log
    except OSError as error:
        print(f"cannot copy the driver to {argv[0]}: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
