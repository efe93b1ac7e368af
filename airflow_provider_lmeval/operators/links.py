"""The button in Airflow's UI that opens a gate's report.

Airflow asks for a link's address once, in the worker, when the task has ended, and keeps it as an XCom. The address is that
of the page which ``plugin/`` serves: a browser cannot open ``s3://``, and a report is for those who may see the task.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

from airflow.sdk import BaseOperatorLink

from airflow_provider_lmeval import _compat

PREFIX = "/lmeval"
"""Below which path of the API server this package serves pages."""


def report_address(dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> str:
    """Return the address of a gate's report: absolute where ``[api] base_url`` is set, else a path of the API server.

    :param map_index: -1 for a task that is not mapped.
    """
    path = "/".join(quote(name, safe="") for name in (dag_id, run_id, task_id))
    query = "" if map_index < 0 else "?" + urlencode({"map_index": map_index})
    return f"{_compat.base_url()}{PREFIX}/reports/{path}{query}"


class LMEvalReportLink(BaseOperatorLink):
    """Opens the report of an ``LMEvalGateOperator``; dead while there is none."""

    @property
    def name(self) -> str:
        """What the button says."""
        return "Report"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the report's address; nothing if the task has stored none, or if pages cannot tell who asks.

        :param operator: the gate. :param ti_key: its task instance.
        """
        if not getattr(operator, "reported", False) or not _compat.pages_know_the_user():
            return ""
        return report_address(ti_key.dag_id, ti_key.run_id, ti_key.task_id, ti_key.map_index)
