"""DAGs of the end-to-end tests. What is evaluated comes with each run, as its ``spec``."""

from __future__ import annotations

from airflow.sdk import DAG, Param, task

from airflow_provider_lmeval.operators.gate import LMEvalGateOperator
from airflow_provider_lmeval.operators.lmeval import LMEvalOperator
from airflow_provider_lmeval.sensors.lmeval import LMEvalSensor

SPEC = "{{ params.spec }}"
COMMON = {"schedule": None, "params": {"spec": Param({}, type="object")}, "render_template_as_native_obj": True}

with DAG("e2e_gate", **COMMON):

    @task
    def promote() -> str:
        return "promoted"

    evaluation = LMEvalOperator(task_id="evaluate", spec=SPEC)
    rules = [{"task": "tiny_mc", "metric": "acc", "floor": 0.8}]
    LMEvalGateOperator(task_id="gate", candidate=evaluation.output, rules=rules) >> promote()

with DAG("e2e_evaluate", **COMMON):
    LMEvalOperator(task_id="evaluate", spec=SPEC)

with DAG("e2e_handle", **COMMON):
    start = LMEvalOperator(task_id="start", spec=SPEC, wait_for_completion=False)
    LMEvalSensor(task_id="wait", handle=start.output, poke_interval=0.5)
