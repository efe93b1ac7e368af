"""From a spec to what a backend needs, as plain data and without side effects.

``plan`` knows the catalogue, so the checks that need it live here: they run before anything is created. It describes a run
(:class:`~airflow_provider_lmeval.wire.Request`, names, the equivalent command); sending it anywhere is a backend's job.
"""

from airflow_provider_lmeval.plan.checks import Grants, Problem, check, raise_errors
from airflow_provider_lmeval.plan.command import equivalent_command
from airflow_provider_lmeval.plan.names import pod_name, run_id, same_task, task_key
from airflow_provider_lmeval.plan.request import Placement, plan_request

__all__ = [
    "Grants",
    "Placement",
    "Problem",
    "check",
    "equivalent_command",
    "plan_request",
    "pod_name",
    "raise_errors",
    "run_id",
    "same_task",
    "task_key",
]
