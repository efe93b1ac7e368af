"""Which files an evaluation may read as data without permission to execute code.

What is read ends up in prompts, and prompts end up at an endpoint or in stored samples. So data come from a few directories
only: the run's own, the model's, those of task files, mounted volumes, and what the administrator lists. Of these the
spec names some itself, so the places where a machine keeps processes and secrets stay closed whatever it names. Paths are
absolute and literal, and symbolic links are followed before they are judged: what is checked is what is read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from airflow_provider_lmeval.driver.worker.identity import local_places
from airflow_provider_lmeval.wire import Request

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


@dataclass(frozen=True)
class Roots:
    """Directories that data may be read from.

    :param granted: by whoever runs the evaluation: the run's directory, mounted volumes, the administrator's list.
    :param named: by the spec: directories of models and task files.
    """

    granted: tuple[Path, ...] = ()
    named: tuple[Path, ...] = ()

    @classmethod
    def of(cls, request: Request, run: Path) -> Roots:
        """Return the directories of one run.

        :param run: its directory.
        """
        models = (place for place in local_places(request.model_args).values() if place.is_dir())
        named = (*models, *map(Path, request.include_paths))
        return cls(
            granted=(run, *map(Path, request.data_roots)), named=tuple(root for root in named if root != Path("/"))
        )

    def check(self, text: str) -> Path:
        """Return the path if it may be read.

        :raises FileDeniedError: naming the path and the rule.
        """
        path = Path(text)
        if not path.is_absolute() or ".." in path.parts or _GLOB & set(text):
            raise FileDeniedError(f"{text!r}: data files are named by absolute paths without '..' and wildcards")
        links = (inner.resolve() for inner in path.rglob("*") if inner.is_symlink()) if path.is_dir() else ()
        for form in (path, path.resolve(), *links):
            self._check(text, form)
        return path

    def _check(self, text: str, form: Path) -> None:
        if (root := _above(form, self.granted)) and not _hidden(form.relative_to(root)):
            return
        if _hidden(form) or any(form.is_relative_to(place) for place in SECRET_PLACES):
            raise FileDeniedError(
                f"{text!r}: hidden files and {', '.join(map(str, SECRET_PLACES))} are where secrets lie"
            )
        if not _above(form, self.named):
            raise FileDeniedError(
                f"{text!r} lies outside the directories that data are read from: put it beside the task files "
                "(include_paths) or the model, or have the administrator add its directory to [lmeval] allowed_data_roots"
            )


def _above(path: Path, roots: Iterable[Path]) -> Path | None:
    both = (form for root in roots for form in (root, root.resolve()))
    return next((root for root in both if path.is_relative_to(root)), None)


def _hidden(path: Path) -> bool:
    """Whether a part of the path is hidden; ``..name`` is how Kubernetes keeps the files of a mounted ConfigMap."""
    return any(
        part.startswith(".") and not part.startswith("..") and part not in _ALLOWED_HIDDEN for part in path.parts
    )


def data_files(kind: str, node: dict[str, Any], roots: Roots, *, allow_online: bool) -> list[Path]:
    """Check the places a unitxt loader reads, and return those on this machine.

    :param kind: its ``__type__``.
    :param node: its arguments.
    :param allow_online: URLs may be read.
    :raises FileDeniedError: naming the path or dataset and the rule.
    :raises UrlDeniedError: naming the URL.
    """
    if kind != "load_hf":
        return [path for text in _strings(node.get("files")) for path in _place(text, roots, allow_online)]
    if runs_scripts():
        raise FileDeniedError(
            "load_hf runs Python code of the dataset with this version of `datasets`; install datasets 4 or newer"
        )
    return dataset_files(node, roots, allow_online=allow_online)


def dataset_files(arguments: Mapping[str, Any], roots: Roots, *, allow_online: bool) -> list[Path]:
    """Check the places that ``datasets.load_dataset`` would read, and return those on this machine.

    :param arguments: its ``path``, ``data_files`` and ``data_dir``.
    :raises FileDeniedError: naming the path or dataset and the rule.
    :raises UrlDeniedError: naming the URL.
    """
    source = str(arguments.get("path") or "")
    if source in _builders() - SAFE_BUILDERS:
        raise FileDeniedError(
            f"the dataset format {source!r} may do more than read data; allowed are {', '.join(sorted(SAFE_BUILDERS))}"
        )
    local = source in SAFE_BUILDERS
    found = [] if local else [*_place(source, roots, allow_online, relative=True)]
    for text in (*_strings(arguments.get("data_files")), *_strings(arguments.get("data_dir"))):
        found += _place(text, roots, allow_online, relative=not local)
    return found


def _place(text: str, roots: Roots, allow_online: bool, *, relative: bool = False) -> Iterator[Path]:
    """Yield the path if it is one on this machine; a relative one, if allowed, is a name on the Hub or below a dataset."""
    if "://" in text or "::" in text:
        _check_url(text, allow_online)
    elif relative and not text.startswith(("/", "~")):
        if ".." in Path(text).parts:
            raise FileDeniedError(f"{text!r} leaves the dataset's directory")
    else:
        yield roots.check(text)


def _check_url(text: str, allow_online: bool) -> None:
    if "::" in text or not text.startswith(("https://", "http://", "hf://")):
        raise FileDeniedError(f"{text!r}: of URLs, only https, http and hf may be read")
    if not allow_online:
        raise UrlDeniedError(f"{text!r} lies on another machine")


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


def runs_scripts() -> bool:
    """Whether this version of ``datasets`` may run Python code that lies with the data."""
    try:
        return int(version("datasets").partition(".")[0]) < 4
    except (PackageNotFoundError, ValueError):
        return False  # without it nothing is loaded at all
