"""Removes pods and LMEvalJobs of evaluations that no task owns any more, and those that ended long ago.

For an Airflow that evaluates in Kubernetes; ``airflow lmeval reap --dry-run`` shows what it would do.
"""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import dag, task


@task
def reap() -> list[str]:
    from airflow_provider_lmeval.cli.reap import sweep

    return [f"{orphan.view.name}: {orphan.why}" for orphan in sweep()]


@dag(schedule="@hourly", start_date=datetime(2026, 1, 1), catchup=False, max_active_runs=1, tags=["lmeval"])
def lmeval_maintenance():
    reap()


lmeval_maintenance()
