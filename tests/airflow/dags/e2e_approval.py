"""A gate and a question that nobody answers in time."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param

from airflow_provider_lmeval.operators.approval import LMEvalApprovalOperator
from airflow_provider_lmeval.operators.gate import LMEvalGateOperator
from airflow_provider_lmeval.operators.promote import LMEvalPromoteOperator

PARAMS = {"candidate": Param("", type="string"), "baseline": Param("", type="string")}

with DAG("e2e_unanswered", schedule=None, params=PARAMS):
    sides = {"candidate": "{{ params.candidate }}", "baseline": "{{ params.baseline }}"}
    gate = LMEvalGateOperator(task_id="gate", on_fail="skip", **sides)
    approve = LMEvalApprovalOperator(
        task_id="approve", verdict=gate.output, response_timeout=timedelta(seconds=5), **sides
    )
    LMEvalPromoteOperator(
        task_id="promote",
        name="unanswered",
        suite="quiz",
        candidate="{{ params.candidate }}",
        verdict=gate.output,
        override=approve.output,
        trigger_rule="none_failed_min_one_success",
    )
