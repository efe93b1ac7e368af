"""``baseline``: which model is in force under a name, on whose word, and what was there before.

Together with ``promote`` and ``rollback`` this is what a person reaches for when a model misbehaves at night, and a CI
without Airflow when its gate has passed. All three name a baseline as gates do: ``NAME/SUITE``.
"""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from datetime import UTC, datetime

from airflow_provider_lmeval.errors import SpecError
from airflow_provider_lmeval.hooks.settings import resolve
from airflow_provider_lmeval.store import Store
from airflow_provider_lmeval.store.baselines import PREFIX, Baselines
from airflow_provider_lmeval.store.promotion import Promotion


def main(arguments: argparse.Namespace) -> int:
    """Print the history, the newest entry last and the one in force marked; 1 if nothing was ever promoted."""
    name, suite = split(arguments.baseline)
    known = baselines()
    history, current = known.history(name, suite), known.current(name, suite)
    if arguments.json:
        print(json.dumps([plain(each) | {"in_force": each == current} for each in history]))
    elif history:
        print("\n".join(_lines(each, in_force=each == current) for each in history))
    else:
        print(f"nothing was promoted as {name}/{suite}", file=sys.stderr)
    return 0 if history else 1


def baselines() -> Baselines:
    """Return the promotions of the configured store."""
    return Baselines(Store(resolve().results_uri))


def split(reference: str) -> tuple[str, str]:
    """Return name and suite of ``NAME/SUITE``.

    :raises SpecError: it is not of that form.
    """
    name, _, suite = reference.removeprefix(PREFIX).rpartition("/")
    if not name or not suite:
        raise SpecError(f"{reference!r} is not of the form NAME/SUITE, such as chat/mmlu")
    return name, suite


def who(said: str | None) -> str:
    """Return who acts: as said, or the user of this machine."""
    return said or getpass.getuser()


def show(promotion: Promotion, *, as_json: bool) -> None:
    """Print what is in force now."""
    if as_json:
        print(json.dumps(plain(promotion)))
    else:
        what = f"{promotion.name}/{promotion.suite} is {promotion.model.name} (run {promotion.run_id})"
        print(f"{what}, by {promotion.by}: {promotion.reason}")


def plain(promotion: Promotion) -> dict[str, object]:
    """Return a promotion as operators push it to XCom."""
    return promotion.model_dump(mode="json", exclude={"fingerprint", "nonce"})


def _lines(entry: Promotion, *, in_force: bool) -> str:
    """Return what people are told of an entry."""
    at = datetime.fromtimestamp(entry.at, UTC).strftime("%Y-%m-%d %H:%M:%S")
    verdict = entry.verdict.outcome if entry.verdict else "none"
    overruled = f", overruled by {entry.override.approver}" if entry.override else ""
    return (
        f"{'*' if in_force else ' '} {at}  {entry.action}  {entry.model.name}  (run {entry.run_id})\n"
        f"    by {entry.by}: {entry.reason}; verdict {verdict}{overruled}"
    )
