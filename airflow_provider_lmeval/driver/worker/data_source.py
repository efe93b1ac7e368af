"""Fetches the rows of one's own data: from a file here, from object storage, or from the Hugging Face Hub.

A file is copied here whole before it is read, so that its digest is that of what is read and a broken connection is an
error and not a shorter data set.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from airflow_provider_lmeval.errors import RunFailedError
from airflow_provider_lmeval.wire import Cause, file_digest
from airflow_provider_lmeval.wire_data import Source
from airflow_provider_lmeval.wire_env import takes_both
from airflow_provider_lmeval.wire_rows import Fault, Row, read_rows


def fetch_rows(source: Source, downloads: Path, *, allow_online: bool) -> Iterator[Row | Fault]:
    """Return the rows of a source.

    :param downloads: directory for copies of what lies elsewhere.
    :param allow_online: other machines may be asked.
    :raises RunFailedError: ``online_denied``; ``dataset``: the file is not the one that was meant, or cannot be had.
    :raises OSError: a file of this machine cannot be read.
    """
    if source.dataset:
        return _hub_rows(source)
    path = Path(source.path) if source.path else _download(source, downloads, allow_online=allow_online)
    found = file_digest(path)["sha256"]
    if source.sha256 and found != source.sha256:
        raise RunFailedError(
            f"{source.name} has the SHA-256 {found}, the spec expects {source.sha256}: the file was changed",
            Cause.DATASET,
        )
    return read_rows(path, str(source.format))


def _download(source: Source, downloads: Path, *, allow_online: bool) -> Path:
    uri = str(source.uri)
    if not allow_online:
        raise RunFailedError(f"{uri} lies on another machine. {takes_both('allow_online')}", Cause.ONLINE_DENIED)
    import fsspec

    downloads.mkdir(parents=True, exist_ok=True)
    target = downloads / hashlib.sha256(uri.encode()).hexdigest()[:16]
    try:
        with fsspec.open(uri, "rb") as remote, open(target, "wb") as local:
            shutil.copyfileobj(remote, local, 1 << 20)
    except Exception as error:
        raise RunFailedError(f"cannot fetch {uri}: {type(error).__name__}: {error}", Cause.DATASET) from error
    return target


def _hub_rows(source: Source) -> Iterator[Row | Fault]:
    """Return the rows of a dataset of the Hub, or of its copy in the cache; offline, ``datasets`` itself refuses."""
    import datasets

    name = str(source.dataset)
    if Path(name).exists():
        raise RunFailedError(
            f"dataset {name!r}: there is a directory of this name; give its file as path", Cause.DATASET
        )
    loaded: Any = datasets.load_dataset(name, source.config, split=source.split, revision=source.revision)
    return (Row(f"row {number}", dict(values)) for number, values in enumerate(loaded, start=1))
