"""### Gate, ask a person if need be, promote.

Takes an evaluation that is stored already and holds it against the model in production. What the gate can decide it decides:
a model that is proved no worse is promoted, one that is proved worse is held. Where the evidence is too thin, somebody is
asked, and the answer goes on the record with name, reason and end.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, task

from airflow_provider_lmeval.operators.approval import LMEvalApprovalOperator
from airflow_provider_lmeval.operators.gate import LMEvalGateOperator
from airflow_provider_lmeval.operators.promote import LMEvalPromoteOperator

NAME, SUITE = "chat", "post_training"
IN_PRODUCTION = f"promoted:{NAME}/{SUITE}"
"""The evidence on the promoted model, with its calibration; nothing before the first promotion."""
PARAMS = {"candidate": Param("", type="string", minLength=1, description="URI of the evaluation of the candidate.")}


@dag(schedule=None, params=PARAMS, tags=["lmeval"], doc_md=__doc__)
def gate_with_approval():
    # `skip` leaves the verdict in XCom and the decision to the next task; `no_regression` asks if it cannot tell.
    gate = LMEvalGateOperator(
        task_id="gate",
        candidate="{{ params.candidate }}",
        baseline=IN_PRODUCTION,
        rules="no_regression",
        on_fail="skip",
    )

    @task.branch(trigger_rule="all_done")
    def what_next(verdict: dict[str, Any] | None) -> str:
        """Follow the verdict; without one the model is held."""
        return {"allow": "promote", "ask": "approve"}.get((verdict or {}).get("action", ""), "hold")

    # Shows the report and asks for a reason. Whoever is not answered within three days promotes nothing.
    approve = LMEvalApprovalOperator(
        task_id="approve",
        verdict=gate.output,
        candidate="{{ params.candidate }}",
        baseline=IN_PRODUCTION,
        response_timeout=timedelta(days=3),
    )

    @task(trigger_rule="all_done")
    def hold(verdict: dict[str, Any] | None) -> None:
        """End the run as failed, with the reasons: nobody should have to look for them."""
        from airflow.sdk.exceptions import AirflowFailException

        raise AirflowFailException("\n".join((verdict or {}).get("reasons", ["the gate left no verdict"])))

    promote = LMEvalPromoteOperator(
        task_id="promote",
        name=NAME,
        suite=SUITE,
        candidate="{{ params.candidate }}",
        verdict=gate.output,
        override=approve.output,
        trigger_rule="none_failed_min_one_success",
    )
    what_next(gate.output) >> [approve, hold(gate.output), promote]


gate_with_approval()
