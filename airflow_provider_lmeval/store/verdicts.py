"""Keeps verdicts, as JSON beside the reports: what was decided must outlive the database that XComs are in."""

from __future__ import annotations

import hashlib
from typing import Any

from airflow_provider_lmeval.store.location import join, locate
from airflow_provider_lmeval.store.reports import write_report
from airflow_provider_lmeval.wire import dump, safe_name

DIRECTORY = "verdicts"


def store_verdict(results_uri: str, path: tuple[str, ...], verdict: dict[str, Any]) -> dict[str, str]:
    """Write a verdict below a store; one of another content gets a place of its own.

    :param path: names of what has decided: DAG, run, task; any text, each is made a safe name.
    :param verdict: :meth:`~airflow_provider_lmeval.gate.Verdict.to_data`.
    :returns: ``uri`` and ``sha256``, of the file and of the verdict as promotions keep it.
    :raises StoreError: the store cannot be written to.
    """
    raw = dump(verdict)
    digest = hashlib.sha256(raw).hexdigest()
    names = [*map(safe_name, path[:-1]), f"{safe_name(path[-1])}-{digest[:16]}.json"]
    relative = "/".join((DIRECTORY, *names))
    place = locate(results_uri)
    write_report(place, relative, raw.decode())
    return {"uri": join(place.url, relative), "sha256": digest}
