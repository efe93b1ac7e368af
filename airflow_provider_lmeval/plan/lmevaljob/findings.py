"""What a translation has to say: which field, in which line, what is wrong with it or where it went.

All problems of a manifest are told at once, so they are collected here instead of raised one by one. A field is named as
Kubernetes names it (``spec.modelArgs[0].value``), with the line of the file where the file is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from airflow_provider_lmeval.errors import ManifestError
from airflow_provider_lmeval.spec.text import Locate

Path = tuple[str | int, ...]
"""Where a value stands in a manifest: keys and indices from the top."""


def spelled(path: Path) -> str:
    """Return a path as Kubernetes spells it."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text or "manifest"


@dataclass(frozen=True)
class Finding:
    """One remark about one field.

    :param field: its path, such as ``spec.limit``.
    :param message: what was found and what follows from it.
    :param line: in the file it came from, counted from 1.
    """

    field: str
    message: str
    line: int | None = None

    def __str__(self) -> str:
        """Return one line for people."""
        return f"{self.field}{f' (line {self.line})' if self.line else ''}: {self.message}"


class Findings:
    """Errors and warnings of one translation, in the order they were found.

    :param locate: tells the line of a path; without it no lines are told.
    """

    def __init__(self, locate: Locate | None = None) -> None:
        self._locate = locate
        self.errors: list[Finding] = []
        self.warnings: list[Finding] = []

    def error(self, path: Path, message: str) -> None:
        """Note what makes the translation impossible."""
        self.errors.append(self._finding(path, message))

    def warn(self, path: Path, message: str) -> None:
        """Note a field that has no equal."""
        self.warnings.append(self._finding(path, message))

    def check(self) -> None:
        """Stop if there is an error.

        :raises ManifestError: one line per error.
        """
        raise_found(self.errors)

    def _finding(self, path: Path, message: str) -> Finding:
        return Finding(spelled(path), message, self._locate(path) if self._locate else None)


def raise_found(errors: Sequence[Finding]) -> None:
    """Raise the errors, if there are any, as one exception.

    :raises ManifestError: one line per error.
    """
    if errors:
        raise ManifestError("\n".join(dict.fromkeys(map(str, errors))))
