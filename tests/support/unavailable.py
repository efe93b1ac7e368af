"""A storage service that is known and does not answer, as fsspec sees it: ``unavailable://bucket/path``."""

from __future__ import annotations

from typing import Any, NoReturn

import fsspec
from fsspec.spec import AbstractFileSystem

PROTOCOL = "unavailable"


class Unavailable(AbstractFileSystem):  # type: ignore[misc]
    """Every request ends with a refused connection."""

    protocol = PROTOCOL

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        _refuse()

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:
        _refuse()

    def _open(self, path: str, *args: Any, **kwargs: Any) -> Any:
        _refuse()


def _refuse() -> NoReturn:
    raise ConnectionRefusedError("the service is unavailable")


def register() -> None:
    """Let URLs of the protocol mean this."""
    fsspec.register_implementation(PROTOCOL, Unavailable, clobber=True)
