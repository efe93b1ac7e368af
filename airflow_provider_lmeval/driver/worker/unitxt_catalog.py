"""Finds unitxt's artifacts by id and writes our own beside them.

unitxt turns an id into a path by its dots (``cards.wnli`` is ``cards/wnli.json``) and looks in one catalogue after the
other: those of ``UNITXT_CATALOGS``, the last first, then the one it ships. The same is done here without importing unitxt,
which takes seconds, so that an id that does not exist is known at once.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from airflow_provider_lmeval.errors import RunFailedError
from airflow_provider_lmeval.wire import Cause

MAX_ARTIFACT_BYTES = 1_000_000
"""Largest custom artifact, in bytes of JSON; the spec's own limit (``spec/unitxt.py``)."""
ID = re.compile(r"(?!(?:true|false|none)\Z)[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)*", re.IGNORECASE | re.ASCII)
"""What unitxt takes for an id (``artifact.is_name_legal_for_catalog``), less what its query parser reads as other values."""
_LONGEST_ID = 256


def is_id(text: Any) -> bool:
    """Tell whether unitxt reads a text as the id of an artifact, and as nothing else."""
    return isinstance(text, str) and len(text) <= _LONGEST_ID and ID.fullmatch(text) is not None


@dataclass(frozen=True)
class Catalog:
    """The run's own catalogue in front of the others.

    :param own: directory of the run's own, which need not exist yet.
    :param others: directories of the others, in the order of the search.
    """

    own: Path
    others: tuple[Path, ...]

    def find(self, name: str, *, others_only: bool = False) -> Path | None:
        """Return the file of an artifact, or None.

        :param name: an id as :func:`is_id` takes it.
        """
        places = self.others if others_only else (self.own, *self.others)
        return next((path for place in places if (path := _path(place, name)).is_file()), None)

    def load(self, name: str) -> dict[str, Any]:
        """Return an artifact that :meth:`find` finds.

        :raises RunFailedError: ``bad_spec``: not there, with near matches, or not an artifact.
        """
        if (path := self.find(name)) is None:
            near = self.near(name)
            hint = f"Did you mean {', '.join(near)}?" if near else "Give it among the custom artifacts."
            raise bad_spec(f"there is no unitxt artifact {name!r}, neither custom nor in {self._spelled()}. {hint}")
        data = json.loads(path.read_bytes())
        if not isinstance(data, dict):
            raise bad_spec(f"{path} holds no unitxt artifact: {type(data).__name__} instead of an object")
        return data

    def near(self, name: str) -> list[str]:
        """Return ids that resemble a name, of the same kind."""
        kind = name.partition(".")[0]
        names = {
            ".".join(path.relative_to(place).with_suffix("").parts)
            for place in (self.own, *self.others)
            for path in (place / kind).rglob("*.json")
        }
        return difflib.get_close_matches(name, names, n=5)

    def write(self, name: str, artifact: dict[str, Any]) -> None:
        """Add an artifact to the run's own catalogue, keys in their order: the first template is a card's default.

        :raises RunFailedError: ``bad_spec``: larger than :data:`MAX_ARTIFACT_BYTES`, or a number JSON does not know.
        """
        try:
            data = json.dumps(artifact, allow_nan=False, indent=1).encode()
        except ValueError as error:
            raise bad_spec(f"unitxt artifact {name!r}: {error}") from None
        if len(json.dumps(artifact).encode()) > MAX_ARTIFACT_BYTES:
            raise bad_spec(
                f"unitxt artifact {name!r} is larger than {MAX_ARTIFACT_BYTES:,} bytes: keep data in a file or dataset"
            )
        path = _path(self.own, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def _spelled(self) -> str:
        return " or ".join(map(str, self.others))


def open_catalog(own: Path) -> Catalog:
    """Return the run's catalogue in front of the administrator's (``UNITXT_CATALOGS``) and unitxt's.

    :raises RunFailedError: ``bad_spec``: unitxt is not installed.
    """
    spec = find_spec("unitxt")
    if spec is None or not spec.submodule_search_locations:
        raise bad_spec(
            "unitxt is not installed where the evaluation runs: pip install 'airflow-provider-lmeval[driver]'"
        )
    given = [Path(place) for place in os.environ.get("UNITXT_CATALOGS", "").split(":") if place]
    return Catalog(own, (*reversed(given), Path(spec.submodule_search_locations[0]) / "catalog"))


def _path(place: Path, name: str) -> Path:
    *directories, last = name.split(".")
    return place.joinpath(*directories, f"{last}.json")


def bad_spec(message: str) -> RunFailedError:
    """Return the error for a recipe or artifact that cannot be right."""
    return RunFailedError(message, Cause.BAD_SPEC)
