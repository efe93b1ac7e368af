"""Where a unitxt loader may read without permission to execute code.

Evaluating on a file of a mounted volume is ordinary work, and an lm-eval task of one's own reads any path its user may
read. Loaders get the same reach, less the places where a machine keeps processes and secrets: what is read ends up in
prompts, and prompts end up at an endpoint or in stored samples. Paths are absolute and literal, so that what is
checked is what is read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

SECRET_PLACES = tuple(Path(place) for place in ("/proc", "/sys", "/dev", "/run", "/var/run", "/etc"))
"""Processes' environments, devices, mounted secrets (``/var/run/secrets``), the machine's configuration."""
SAFE_BUILDERS = frozenset({"arrow", "csv", "json", "parquet", "text"})
"""File formats of ``datasets`` that hold data; others unpickle, connect to databases or start Spark."""
_ALLOWED_HIDDEN = frozenset({".cache"})
_GLOB = frozenset("*?[]{}")


class FileDeniedError(Exception):
    """The file may not be read without permission to execute code."""


class UrlDeniedError(Exception):
    """The data lie on another machine and online access is not allowed."""


def data_files(kind: str, node: dict[str, Any], *, allow_online: bool) -> list[Path]:
    """Check the places a loader reads, and return those on this machine.

    :param kind: its ``__type__``.
    :param node: its arguments.
    :param allow_online: URLs may be read.
    :raises FileDeniedError: naming the path or dataset and the rule.
    :raises UrlDeniedError: naming the URL.
    """
    if kind == "load_hf":
        return list(_load_hf(node, allow_online))
    return [path for text in _strings(node.get("files")) for path in _place(text, allow_online)]


def _load_hf(node: dict[str, Any], allow_online: bool) -> Iterator[Path]:
    source = str(node.get("path") or "")
    if _runs_scripts():
        raise FileDeniedError(
            "load_hf runs Python code of the dataset with this version of `datasets`; install datasets 4 or newer"
        )
    if source in _builders() - SAFE_BUILDERS:
        raise FileDeniedError(
            f"the dataset format {source!r} may do more than read data; allowed are {', '.join(sorted(SAFE_BUILDERS))}"
        )
    local = source in SAFE_BUILDERS
    if not local:
        yield from _place(source, allow_online, relative=True)
    for text in (*_strings(node.get("data_files")), *_strings(node.get("data_dir"))):
        yield from _place(text, allow_online, relative=not local)


def _place(text: str, allow_online: bool, *, relative: bool = False) -> Iterator[Path]:
    """Yield the path if it is one on this machine; a relative one, if allowed, is a name on the Hub or below a dataset."""
    if "://" in text or "::" in text:
        _check_url(text, allow_online)
    elif relative and not text.startswith(("/", "~")):
        if ".." in Path(text).parts:
            raise FileDeniedError(f"{text!r} leaves the dataset's directory")
    else:
        yield _check_path(text)


def _check_url(text: str, allow_online: bool) -> None:
    if "::" in text or not text.startswith(("https://", "http://", "hf://")):
        raise FileDeniedError(f"{text!r}: of URLs, only https, http and hf may be read")
    if not allow_online:
        raise UrlDeniedError(f"{text!r} lies on another machine")


def _check_path(text: str) -> Path:
    path = Path(text)
    if not path.is_absolute() or ".." in path.parts or _GLOB & set(text):
        raise FileDeniedError(f"{text!r}: data files are named by absolute paths without '..' and wildcards")
    for form in (path, path.resolve()):
        hidden = [part for part in form.parts if part.startswith(".") and part not in _ALLOWED_HIDDEN]
        if hidden or any(form.is_relative_to(place) for place in SECRET_PLACES):
            raise FileDeniedError(
                f"{text!r}: hidden files and {', '.join(map(str, SECRET_PLACES))} are where secrets lie"
            )
    return path


def digest(paths: Iterable[Path]) -> str:
    """Return a SHA-256 that changes when data do: content of files; names, sizes and times of what is in directories.

    :raises FileNotFoundError: names the path.
    """
    total = hashlib.sha256()
    for path in sorted(set(paths)):
        total.update(f"{path}\0".encode("utf-8", "surrogateescape"))
        if path.is_dir():
            for inner in sorted(path.rglob("*")):
                seen = inner.stat()
                total.update(f"{inner} {seen.st_size} {seen.st_mtime_ns}\0".encode("utf-8", "surrogateescape"))
        else:
            with open(path, "rb") as stream:
                total.update(hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()


def _strings(value: Any) -> Iterator[str]:
    """Yield the strings in a path, a list of paths, or a mapping of splits to these."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item)


def _builders() -> set[str]:
    """Return the formats that ``datasets`` knows by name: its packaged modules."""
    spec = find_spec("datasets")
    places = (spec.submodule_search_locations if spec else None) or []
    return {entry.name for place in places for entry in (Path(place) / "packaged_modules").glob("*/")}


def _runs_scripts() -> bool:
    try:
        return int(version("datasets").partition(".")[0]) < 4
    except (PackageNotFoundError, ValueError):
        return False  # without it nothing is loaded at all
