"""### Remove pods and LMEvalJobs that nobody owns.

For an Airflow that evaluates in Kubernetes: every hour pods and LMEvalJobs of evaluations go that no task owns any more,
and those that ended long ago. `airflow lmeval reap --dry-run` shows what it would do. XCom `return_value` has what was
removed, and why.
"""

from __future__ import annotations

from airflow.sdk import dag, task


@dag(schedule="@hourly", catchup=False, max_active_runs=1, tags=["lmeval"], doc_md=__doc__)
def lmeval_maintenance():
    @task
    def reap() -> list[str]:
        """Remove them, and return which."""
        from airflow_provider_lmeval.cli.reap import sweep

        return [f"{orphan.view.name}: {orphan.why}" for orphan in sweep()]

    reap()


lmeval_maintenance()
