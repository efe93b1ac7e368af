"""``promote``: puts an evaluated model in force, if its gate allows it or a person overrules the gate on the record."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from airflow_provider_lmeval.cli.baseline import baselines, show, split, who
from airflow_provider_lmeval.errors import SpecError
from airflow_provider_lmeval.results import strict
from airflow_provider_lmeval.store.promotion import Override

VALID_FOR_S = 60.0
"""An override that is used at once need not last."""


def main(arguments: argparse.Namespace) -> int:
    """Promote and print what is in force now; 1 if the gate does not allow it and nobody overrules it."""
    name, suite = split(arguments.baseline)
    by = who(arguments.by)
    found = baselines().promote(
        name,
        suite,
        arguments.candidate,
        by=by,
        reason=arguments.reason or "the gate allows it",
        verdict=_verdict(arguments.verdict) if arguments.verdict else None,
        override=_override(by, arguments.reason) if arguments.override else None,
    )
    show(found, as_json=arguments.json)
    return 0


def _override(approver: str, reason: str | None) -> Override:
    if not reason:
        raise SpecError("--override: who overrules a gate says why; give --reason")
    now = time.time()
    return Override(approver=approver, reason=reason, at=now, expires=now + VALID_FOR_S)


def _verdict(said: str) -> dict[str, Any]:
    """Read a verdict.

    :raises SpecError: there is none.
    """
    try:
        found = strict.loads(sys.stdin.read() if said == "-" else Path(said).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SpecError(f"--verdict: {said!r} cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise SpecError(f"--verdict: {said!r} is no verdict; give what `gate --json` printed")
    return found
