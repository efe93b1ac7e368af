"""What lm-eval offers, for code that must not import lm-eval.

:func:`catalog` answers what a task, group or tag is; :func:`suite` names the collections of tasks that people
mean by "the leaderboard". Reading happens on first use.
"""

from __future__ import annotations

from airflow_provider_lmeval.catalog.index import Catalog
from airflow_provider_lmeval.catalog.load import CATALOG_VERSION, catalog
from airflow_provider_lmeval.catalog.model import GroupInfo, MetricInfo, TagInfo, TaskInfo, primary_metric
from airflow_provider_lmeval.catalog.suites import SUITES, Suite, SuiteTask, suite

__all__ = [
    "CATALOG_VERSION",
    "SUITES",
    "Catalog",
    "GroupInfo",
    "MetricInfo",
    "Suite",
    "SuiteTask",
    "TagInfo",
    "TaskInfo",
    "catalog",
    "primary_metric",
    "suite",
]
