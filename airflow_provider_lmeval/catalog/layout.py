"""The shipped file: lm-eval's 14,000 names in some 150 kB that are read in about ten milliseconds.

Most tasks are variations (a language, a subject) of a few definitions, so everything but a task's name and data
set configuration is kept once, as a *profile*, and tasks are three parallel columns. The bytes depend on the
content alone: keys are sorted and the gzip header carries no time, so a regenerated file that differs means
lm-eval differs.
"""

from __future__ import annotations

import gzip
import json
from typing import TypedDict, cast

FORMAT = 1


class Profile(TypedDict):
    """What tasks of one definition share; the fields of :class:`~.model.TaskInfo` in JSON."""

    output_type: str | None
    metrics: list[tuple[str, bool | None]]
    filters: list[str]
    num_fewshot: int | None
    unsafe_code: bool
    family: str
    dataset_path: str | None
    version: str | None


class TaskColumns(TypedDict):
    """One entry per task in each column, sorted by name; ``profile`` holds positions in the list of profiles."""

    name: list[str]
    profile: list[int]
    dataset_name: list[str | None]


class GroupRow(TypedDict):
    """The fields of :class:`~.model.GroupInfo` but the name, in JSON."""

    members: list[str]
    aggregates: bool
    family: str
    defect: str | None


class CatalogFile(TypedDict):
    """The whole document. ``tags`` maps each tag to the positions of its tasks in the columns."""

    format: int
    lm_eval_version: str
    profiles: list[Profile]
    tasks: TaskColumns
    groups: dict[str, GroupRow]
    tags: dict[str, list[int]]


def encode(document: CatalogFile) -> bytes:
    """Return the document as compressed JSON; equal documents give equal bytes (with the same zlib)."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return gzip.compress(text.encode(), compresslevel=9, mtime=0)


def decode(data: bytes) -> CatalogFile:
    """Return the document that :func:`encode` wrote."""
    return cast("CatalogFile", json.loads(gzip.decompress(data)))
