"""DAGs of the end-to-end tests on Kubernetes. The cluster comes with connections in the environment."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param

from airflow_provider_lmeval.operators.lmeval import LMEvalOperator

COMMON = {"schedule": None, "params": {"spec": Param({}, type="object")}, "render_template_as_native_obj": True}

EVALUATION = {
    "task_id": "evaluate",
    "spec": "{{ params.spec }}",
    "backend": "kubernetes",
    "lmeval_conn_id": "eval",
    "kubernetes": {"labels": {"dag_run": "{{ run_id | replace(':', '-') | replace('+', '-') }}"}},
}

with DAG("e2e_kubernetes", **COMMON):
    LMEvalOperator(**EVALUATION)

DEVICE = {"gpu": {"count": 1, "resource": "example.com/device"}}
"""A device that torch knows nothing of: the evaluation goes on without it."""

with DAG("e2e_kubernetes_device", **COMMON):
    LMEvalOperator(**EVALUATION | {"kubernetes": DEVICE})

with DAG("e2e_kubernetes_timeout", **COMMON):
    LMEvalOperator(**EVALUATION, execution_timeout=timedelta(seconds=20))

with DAG("e2e_lmevaljob", **COMMON):
    LMEvalOperator(
        task_id="evaluate",
        spec="{{ params.spec }}",
        backend="lmevaljob",
        lmeval_conn_id="eval",
        execution_timeout=timedelta(minutes=10),
    )
