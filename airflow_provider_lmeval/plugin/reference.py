"""From a task instance to the bytes of its report, without believing what a task says about where they are.

Tasks write XComs, and the API server may read what tasks may not. If it opened the place that an XCom names, a DAG's author
could read the API server's files. So the place is made anew from the task instance's name, below the store of the
configuration or of a connection, both of which only administrators write.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_lmeval.errors import ConfigError
from airflow_provider_lmeval.hooks.lmeval import LMEvalHook
from airflow_provider_lmeval.operators.gate import REFERENCE_KEY
from airflow_provider_lmeval.store.reports import read_report, task_report

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reference:
    """A report, as its gate vouches for it.

    :param path: below ``reports/``. :param sha256: of its bytes.
    :param lmeval_conn_id: connection whose store it is in; None: the configured store.
    """

    path: tuple[str, ...]
    sha256: str
    lmeval_conn_id: str | None = None


def find_reference(session: Session, dag_id: str, run_id: str, task_id: str, map_index: int) -> Reference | None:
    """Return what a task instance says about its report; None if it says nothing that can be understood."""
    from airflow.models.xcom import XComModel
    from sqlalchemy import select

    chosen = {
        "dag_id": dag_id,
        "run_id": run_id,
        "task_id": task_id,
        "map_index": map_index,
        "key": REFERENCE_KEY,
    }
    return reference_of(
        session.scalar(select(XComModel.value).filter_by(**chosen)), task_report(dag_id, run_id, task_id, map_index)
    )


def reference_of(value: Any, path: tuple[str, ...]) -> Reference | None:
    """Return the reference in an XCom as the database has it: JSON, or the text of JSON.

    :param path: where that task's report is kept.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    if not isinstance(value, dict) or not isinstance(value.get("sha256"), str):
        return None
    conn_id = value.get("lmeval_conn_id")
    return Reference(path, value["sha256"], conn_id if isinstance(conn_id, str) else None)


def read(reference: Reference) -> bytes:
    """Return the report.

    :raises ConfigError: the connection is none of ours. :raises StoreError: the report is not there, not the one that was
        written, or the store cannot be read.
    """
    return read_report(_store(reference.lmeval_conn_id), reference.path, reference.sha256)


def _store(conn_id: str | None) -> str:
    """Return the store that the configuration or a connection names.

    Which connection is a task's word, so that only our type is looked into, and nothing of what is in it is passed on.
    """
    hook = LMEvalHook(conn_id)
    try:
        if conn_id is None or hook.get_connection(conn_id).conn_type == LMEvalHook.conn_type:
            return hook.settings.results_uri
    except Exception:  # every backend of secrets has exceptions of its own, and they may quote secrets
        log.exception("no store for a report")
    raise ConfigError(f"connection {conn_id!r} names no store; the API server's log says why")
