"""``convert``: LMEvalJob manifests into specs, and specs into manifests.

Reads files, directories and streams as ``kustomize build`` prints them; other kinds are passed over. What was translated
goes to standard output, everything about it to standard error, so that the output can be piped on.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from airflow_provider_lmeval.errors import ManifestError, SpecError
from airflow_provider_lmeval.hooks.settings import resolve
from airflow_provider_lmeval.plan.batch import OPERATOR, BatchRules
from airflow_provider_lmeval.plan.lmevaljob import (
    Finding,
    SourceDocument,
    all_parts,
    manifest_of,
    named,
    read_documents,
    read_lmevaljob,
    write_lmevaljob,
)
from airflow_provider_lmeval.plan.lmevaljob.whole import PARTS
from airflow_provider_lmeval.spec.text import Locate, with_lines

_SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True)
class _Source:
    name: str
    document: SourceDocument

    @property
    def stem(self) -> str | None:
        """A name for a resource that has none, made from the file's."""
        text = re.sub(r"[^a-z0-9.-]+", "-", Path(self.name).stem.lower()).strip("-.")
        return text if self.name != "-" and text else None


def main(arguments: argparse.Namespace) -> int:
    """Print what was translated; 2 if something could not be."""
    converted, failed = [], False
    for source in _sources(arguments.path):
        try:
            found = _to_spec(source, everything=arguments.all) if arguments.to == "spec" else _to_lmevaljob(source)
        except SpecError as error:
            failed = True
            _tell("error", source, str(error))
            continue
        converted += [found] if found is not None else []
    print("---\n".join(converted), end="")
    if not converted and not failed:
        raise SpecError(f"{arguments.path!r} holds nothing to convert to {arguments.to}")
    return 2 if failed else 0


def _sources(path: str) -> Iterator[_Source]:
    for name, text in _texts(path):
        try:
            documents = read_documents(text)
        except ManifestError as error:
            raise ManifestError(f"{name}: {error}") from None
        yield from (_Source(name, document) for document in documents)


def _texts(path: str) -> Iterator[tuple[str, str]]:
    if path == "-":
        yield "-", sys.stdin.read()
        return
    place = Path(path)
    try:
        chosen = sorted(each for each in place.rglob("*") if each.suffix in _SUFFIXES) if place.is_dir() else [place]
        yield from ((str(each), each.read_text(encoding="utf-8")) for each in chosen)
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"cannot read {path!r}: {error}") from None


def _batch() -> BatchRules:
    """Return the operator's batch sizes, unless the administrator has set others."""
    own = resolve().batch
    return BatchRules(own.default or OPERATOR.default, own.maximum or OPERATOR.maximum, own.policy)


def _to_spec(source: _Source, *, everything: bool) -> str | None:
    if not source.document.is_lmevaljob:
        _tell("note", source, _passed_over(source.document))
        return None
    found = read_lmevaljob(source.document.data, batch=_batch(), locate=source.document.locate)
    for warning in (*found.warnings, *(() if everything else found.beside_the_spec)):
        _tell("warning", source, str(warning))
    data = found.spec.to_data()
    if everything:
        data, remarks = all_parts(found)
        for remark in remarks:
            _tell("note", source, str(remark))
    name = "/".join(filter(None, (found.job.namespace, found.job.name)))
    return f"# LMEvalJob {name}\n".replace(" \n", "\n") + _yaml(data)


def _passed_over(document: SourceDocument) -> str:
    """Say what was not translated, and what it may have been meant for."""
    data = document.data
    if isinstance(data, dict) and "kind" not in data and ("model" in data or "spec" in data):
        return "a spec already; --to lmevaljob makes a manifest of it"
    return f"{document.kind}: passed over"


def _to_lmevaljob(source: _Source) -> str | None:
    data, batch = source.document.data, _batch()
    if source.document.is_lmevaljob:
        found = read_lmevaljob(data, batch=batch, locate=source.document.locate)
        manifest = write_lmevaljob(found.spec, named(found.job, source.stem), batch=batch)
        remarks: Sequence[Finding] = found.warnings
    elif isinstance(data, dict) and "kind" not in data:
        manifest, remarks = _written(source, batch)
    else:
        _tell("note", source, f"{source.document.kind}: passed over")
        return None
    for remark in remarks:
        _tell("warning", source, str(remark))
    return _yaml(manifest)


def _written(source: _Source, batch: BatchRules) -> tuple[dict[str, Any], Sequence[Finding]]:
    """Return the manifest of a spec, or of a job in all its parts.

    :raises SpecError: with the lines of the file.
    """
    data = source.document.data
    whole = data if "spec" in data else {"spec": data}
    try:
        return manifest_of(whole, source.stem, batch=batch)
    except SpecError as error:
        inside = ("spec",) if "spec" in data else ()
        raise SpecError(with_lines(str(error), _locate(source.document, inside))) from None


def _locate(document: SourceDocument, inside: tuple[str, ...]) -> Locate:
    """Return what tells the line of a part, or of a field of the spec, whose messages leave out where the spec is."""
    return lambda path: document.locate(path if path[:1] and path[0] in PARTS[1:] else (*inside, *path))


def _yaml(data: Any) -> str:
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120)


def _tell(level: str, source: _Source, text: str) -> None:
    for line in text.splitlines():
        print(f"{level}: {source.name}: {line}", file=sys.stderr)
