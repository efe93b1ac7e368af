"""A Python that has lm-eval and what it needs, and nothing of Airflow: what an evaluation image looks like.

Made of symbolic links to the packages of this environment, chosen by following lm-eval's own requirements, so that it
needs no network and takes a second.
"""

from __future__ import annotations

import shutil
import sys
import venv
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOTS = ("lm-eval[hf,api]", "torch")
WITHOUT = ("pydantic", "pydantic_core")
"""Left out although something asks for it: nothing that evaluates a local model imports it, the driver least of all."""


def python_without_airflow(directory: Path) -> Path:
    """Make the environment below ``directory`` and return its interpreter."""
    venv.create(directory, with_pip=False, symlinks=True)
    site = directory / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    for found in closure(ROOTS).values():
        for entry in _top_level(found):
            source = Path(str(found.locate_file(entry)))
            if entry not in WITHOUT and source.exists() and not (site / entry).exists():
                (site / entry).symlink_to(source)
    return directory / "bin" / "python"


def closure(roots: tuple[str, ...]) -> dict[str, Distribution]:
    """Return the distributions that requirements lead to, by name."""
    found: dict[str, Distribution] = {}
    open_requirements = [Requirement(root) for root in roots]
    seen: set[str] = set()
    while open_requirements:
        requirement = open_requirements.pop()
        if str(requirement) in seen:
            continue
        seen.add(str(requirement))
        try:
            chosen = distribution(requirement.name)
        except PackageNotFoundError:
            continue
        found[requirement.name.lower()] = chosen
        for text in chosen.requires or []:
            needed = Requirement(text)
            extras = requirement.extras or {""}
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                open_requirements.append(needed)
    return found


def _top_level(found: Distribution) -> set[str]:
    """Return the first path components of a distribution's files, without its scripts."""
    return {file.parts[0] for file in found.files or [] if file.parts[0] not in ("..", "bin", "__pycache__")}


if __name__ == "__main__":
    shutil.rmtree(sys.argv[1], ignore_errors=True)
    print(python_without_airflow(Path(sys.argv[1])))
