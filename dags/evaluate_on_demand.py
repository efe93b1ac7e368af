"""### Evaluate any model, from a form.

*Trigger* shows every option of an evaluation, with its documentation. The form is made from the evaluation spec's own
schema, so it cannot fall behind. With a metric and a floor in the last section, the result is gated as well.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, dag, task

from airflow_provider_lmeval.operators.gate import LMEvalGateOperator
from airflow_provider_lmeval.operators.lmeval import LMEvalOperator
from airflow_provider_lmeval.spec.form import form_params, spec_from_form

GATE_PARAMS = {
    "gate_metric": {
        "default": None,
        "type": ["string", "null"],
        "description": "Metric to gate on; empty: no gate.",
    },
    "gate_task": {"default": "*", "type": "string", "description": "Task to gate on, * for every task."},
    "gate_floor": {"default": None, "type": ["number", "null"], "description": "Lowest value that passes."},
}


def _params() -> dict[str, Param]:
    gate = {name: field | {"section": "Gate", "title": name} for name, field in GATE_PARAMS.items()}
    return {name: Param(**field) for name, field in (form_params() | gate).items()}


@dag(schedule=None, params=_params(), tags=["lmeval"], doc_md=__doc__)
def evaluate_on_demand():
    @task
    def read_form(params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Turn the form's fields into a spec; contradictions end here, with a message that says what to do."""
        return spec_from_form(params or {}).to_data()

    @task.short_circuit
    def gate_rules(params: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """Return the gate's rules; an empty list skips the gate."""
        form = params or {}
        if not form["gate_metric"] or form["gate_floor"] is None:
            return []
        return [{"task": form["gate_task"], "metric": form["gate_metric"], "floor": form["gate_floor"]}]

    evaluate, rules = LMEvalOperator(task_id="evaluate", spec=read_form()), gate_rules()
    evaluate >> rules  # a run without a gate ends in a skipped task, which must not hide a failed evaluation
    LMEvalGateOperator(task_id="gate", candidate=evaluate.output, rules=rules)


evaluate_on_demand()
