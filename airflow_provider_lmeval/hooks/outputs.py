"""Airflow's connections for the places that results are published at."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from airflow.sdk import BaseHook

from airflow_provider_lmeval import _compat
from airflow_provider_lmeval.errors import ConfigError

if TYPE_CHECKING:  # loaded when something is published: a DAG file that only imports an operator must stay quick
    from airflow_provider_lmeval.outputs import Credentials, Publication
    from airflow_provider_lmeval.spec.outputs import Output


def account(conn_id: str) -> Credentials:
    """Return what a connection says.

    :raises ConfigError: there is no such connection.
    """
    from airflow_provider_lmeval.outputs import Credentials

    try:
        with _compat.looking_up(conn_id):
            found = BaseHook.get_connection(conn_id)
    except _compat.not_found_exception():
        raise ConfigError(f"there is no connection {conn_id!r}; create it, or name another conn_id") from None
    host = found.host or ""
    if host and found.schema in ("http", "https") and "://" not in host:
        host = f"{found.schema}://{host}" + (f":{found.port}" if found.port else "")
    return Credentials(
        name=conn_id,
        host=host,
        port=found.port,
        login=found.login or "",
        password=found.password or "",
        extra=found.extra_dejson,
    )


def publish_result(uri: str, outputs: Iterable[Output]) -> tuple[Publication, ...]:
    """Publish a stored result; see :func:`airflow_provider_lmeval.outputs.publish`.

    :param uri: of the result.
    :raises StoreError: the result cannot be read. :raises OutputError: its run failed.
    """
    from airflow_provider_lmeval.outputs import StoredRun, publish

    return publish(StoredRun(uri), outputs, account)
