"""Finds the file system behind a URL.

Three notations mean a place to keep results: a plain path; any URL that fsspec knows; and Airflow's own, with the
connection before an ``@`` (``s3://my_conn@bucket/prefix``). The last needs Airflow, the second may need a package of
its own, so each is imported when such a place is first used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_lmeval.errors import LMEvalError, ResultNotFoundError, StoreError

CONNECTION_SCHEMES = frozenset({"s3", "s3a", "gs", "gcs", "file", "abfs", "abfss", "adl"})
"""Schemes whose ``name@`` is an Airflow connection. Others (ftp, sftp, hdfs …) have a user name there."""
_AZURE_HOST = re.compile(r"@[^/]+\.(dfs|blob)\.core\.")
"""``abfss://container@account.dfs.core.windows.net``: Azure's own notation, without a connection."""


@dataclass(frozen=True)
class Location:
    """A directory or prefix in some file system.

    :param fs: the fsspec file system.
    :param root: the place within it.
    :param url: how to name it to people and in XCom.
    :param local: it is on this machine, where files are replaced by renaming.
    """

    fs: Any
    root: str
    url: str
    local: bool

    def path(self, *parts: str) -> str:
        """Return the file system's path of something below the root."""
        return "/".join((self.root.rstrip("/"), *parts))


def locate(url: str, options: Mapping[str, Any] | None = None) -> Location:
    """Return the place that a URL names.

    :param url: a path or URL.
    :param options: fsspec's storage options for it.
    :raises StoreError: unknown scheme, missing package, unknown connection, refused credentials.
    """
    if not url or "\x00" in url:
        raise StoreError(
            f"{url!r} does not name a place for results; give a directory or a URL such as s3://bucket/lmeval"
        )
    with explained("open", url):
        if has_connection(url):
            return _airflow(url, options or {})
        if "://" not in url or url.startswith("file://"):
            return _local(url, options or {})
        return _fsspec(url, options or {})


def has_connection(url: str) -> bool:
    """Whether the URL names an Airflow connection before its bucket."""
    scheme, _, rest = url.partition("://")
    return scheme in CONNECTION_SCHEMES and "@" in rest.partition("/")[0] and not _AZURE_HOST.search(url)


@contextmanager
def explained(action: str, url: str) -> Iterator[None]:
    """Turn whatever a file system's client raises into our errors.

    :param action: what was being done, for the message.
    :raises ResultNotFoundError: the client said so. :raises StoreError: anything else.
    """
    try:
        yield
    except LMEvalError:
        raise
    except FileNotFoundError as error:
        raise ResultNotFoundError(f"cannot {action} {shown(url)}: not found ({error})") from error
    except ImportError as error:
        raise StoreError(f"cannot {action} {shown(url)}: {error}; install that package where this runs") from error
    except Exception as error:  # every client library has an exception tree of its own
        raise StoreError(f"cannot {action} {shown(url)}: {type(error).__name__}: {error}") from error


def shown(url: str) -> str:
    """Return the URL without a password."""
    return re.sub(r"(://[^/@:]*):[^/@]*@", r"\1:***@", url)


def join(url: str, name: str) -> str:
    """Return the URL of a name below a URL."""
    return f"{url}{name}" if url.endswith("/") else f"{url}/{name}"


def _trimmed(url: str) -> str:
    """Return the URL without the slashes at its end, those of a bare ``memory://`` excepted."""
    trimmed = url.rstrip("/")
    return f"{trimmed}//" if trimmed.endswith(":") else trimmed


def _local(url: str, options: Mapping[str, Any]) -> Location:
    from fsspec.implementations.local import LocalFileSystem

    root = str(Path(url.removeprefix("file://")).expanduser().absolute())
    return Location(LocalFileSystem(**options), root, f"file://{root}" if "://" in url else root, local=True)


def _fsspec(url: str, options: Mapping[str, Any]) -> Location:
    from fsspec.core import url_to_fs

    fs, root = url_to_fs(url, **options)
    return Location(fs, root, _trimmed(url), local=False)


def _airflow(url: str, options: Mapping[str, Any]) -> Location:
    from airflow.sdk import ObjectStoragePath

    path = ObjectStoragePath(url, **options)
    return Location(path.fs, path.path, _trimmed(url), local=urlsplit(url).scheme == "file")
