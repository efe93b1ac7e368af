"""What one unitxt artifact may not hold, whatever its place: rules that the check before a run and the guard in it share.

Beyond the type itself, four kinds of argument are code: lambdas and lists of modules; names of environment variables
that are sent to a server; type strings, which unitxt hands to ``eval`` behind a filter that quotation marks defeat;
and format strings that walk from a value to the interpreter.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_provider_lmeval.driver.worker.data_files import FileDeniedError, Roots, UrlDeniedError, data_files
from airflow_provider_lmeval.errors import RunFailedError
from airflow_provider_lmeval.wire import Cause
from airflow_provider_lmeval.wire_env import takes_both
from airflow_provider_lmeval.wire_unitxt import LOADERS, SAFE_TYPES, TYPE, problems, why_not

_CODE = f"Code execution is not allowed for this run. {takes_both('allow_code_execution')}"
_ONLINE = f"Online access is not allowed for this run. {takes_both('allow_online')}"


@dataclass(frozen=True)
class Rules:
    """The permissions of a run.

    :param allow_code: every artifact is fine.
    :param allow_online: loaders may read URLs.
    :param roots: where loaders may read files.
    """

    allow_code: bool = False
    allow_online: bool = False
    roots: Roots = field(default_factory=Roots)
    files: set[Path] = field(default_factory=set)
    """The local files that checked loaders read."""

    def check(self, node: dict[str, Any], where: str) -> None:
        """Check an artifact by itself; what it holds is checked separately.

        :param node: its JSON, with ``__type__``.
        :param where: the artifact's name, for messages.
        :raises RunFailedError: ``code_denied`` or ``online_denied``, naming artifact, type, reason and remedy.
        """
        kind = node[TYPE]
        if not self.allow_code:
            if kind not in SAFE_TYPES:
                raise code_denied(where, kind, f"the type {why_not(kind)}")
            for problem in problems(kind, node):
                raise code_denied(where, kind, problem)
        if kind in LOADERS:
            self._check_loader(kind, node, where)

    def _check_loader(self, kind: str, node: dict[str, Any], where: str) -> None:
        try:
            self.files.update(data_files(kind, node, self.roots, allow_online=self.allow_online))
        except FileDeniedError as error:
            if not self.allow_code:
                raise code_denied(where, kind, str(error)) from None
        except UrlDeniedError as error:
            raise RunFailedError(
                f"unitxt artifact {where!r}: {kind}: {error}. {_ONLINE}", Cause.ONLINE_DENIED
            ) from None


def code_denied(where: str, kind: str, reason: str) -> RunFailedError:
    """Return the error for an artifact that needs permission to execute code.

    :param where: the artifact's name.
    :param kind: its ``__type__``.
    :param reason: what is wrong with it.
    """
    return RunFailedError(f"unitxt artifact {where!r}: type {kind!r}: {reason}. {_CODE}", Cause.CODE_DENIED)
