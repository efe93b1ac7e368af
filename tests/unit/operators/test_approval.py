"""The question put to a person: the report as its body, no default that promotes, no approval without a reason."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import DAG, Param

from airflow_provider_lmeval.errors import GateError
from airflow_provider_lmeval.operators.approval import LMEvalApprovalOperator
from airflow_provider_lmeval.operators.gate import LMEvalGateOperator
from airflow_provider_lmeval.operators.links import LMEvalReportLink
from airflow_provider_lmeval.operators.override import override_of
from tests.support.context import context
from tests.support.foreign import samples, write_output


def evaluation(place, name: str, wrong: int) -> str:
    path = write_output(place / name, {"quiz": samples(400, wrong=wrong)}, model_sha=name)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_name": f"org/{name}"}))
    return str(place / name)


@pytest.fixture
def judged(tmp_path):
    """Both evaluations and the verdict on them."""
    sides = {"candidate": evaluation(tmp_path, "new", 104), "baseline": evaluation(tmp_path, "old", 100)}
    ctx = context()
    with pytest.raises(Exception, match="INCONCLUSIVE"):
        LMEvalGateOperator(task_id="gate", report=False, **sides).execute(ctx)
    return sides | {"verdict": ctx["ti"].xcoms["return_value"]}


def composed(ctx: dict[str, Any] | None = None, **fields: Any) -> LMEvalApprovalOperator:
    operator = LMEvalApprovalOperator(task_id="approve", **fields)
    operator.compose(ctx or context())
    return operator


def answered(operator: LMEvalApprovalOperator, choice: str, **form: Any) -> Any:
    event = {
        "chosen_options": [choice],
        "params_input": {"reason": "", "valid_for_hours": 24} | form,
        "responded_at": datetime.now(UTC),
        "responded_by_user": {"id": "7", "name": "Ada"},
    }
    return operator.execute_complete(context() | {"task": operator}, event)


def test_the_question_is_the_report(judged) -> None:
    asked = composed(**judged, body="Please look at the **arithmetic**.")
    assert asked.subject == "Promote org/new? The gate says INCONCLUSIVE."
    assert asked.body.startswith("Please look at the **arithmetic**.\n\n# INCONCLUSIVE: org/new\n")
    for said in ("## Scores", "0.74", "Candidate answered", "quiz 100", "### Baseline"):
        assert said in asked.body


def test_it_links_to_the_report_of_the_gate_that_it_asks_about(judged) -> None:
    with DAG("dag", schedule=None):
        gate = LMEvalGateOperator(task_id="the_gate", candidate="x")
        approve = LMEvalApprovalOperator(task_id="approve", verdict=gate.output)
    assert approve.upstream_task_ids == {"the_gate"}
    ctx = context()
    ctx["ti"].xcoms[LMEvalReportLink().xcom_key] = "https://airflow/lmeval/reports/dag/run/the_gate"
    approve.verdict = judged["verdict"]
    approve.compose(ctx)
    assert approve.body.startswith("[Open the whole report](https://airflow/lmeval/reports/dag/run/the_gate)")


def test_a_verdict_alone_is_a_question_too(judged) -> None:
    asked = composed(verdict=judged["verdict"])
    assert "would decide" in asked.body
    assert "No result could be read." in asked.body


@pytest.mark.parametrize("changed", ["candidate", "baseline"])
def test_evidence_that_is_not_what_was_judged_is_not_shown(judged, tmp_path, changed) -> None:
    asked = composed(**judged | {changed: evaluation(tmp_path, "another", 7)})
    assert "org/another" not in asked.body


def test_evidence_that_is_gone_costs_the_details_and_not_the_question(judged) -> None:
    assert "would decide" in composed(**judged | {"candidate": "/no/such/evidence"}).body


@pytest.mark.parametrize("verdict", [None, {}, "PASS", {"outcome": "GOOD"}])
def test_without_a_verdict_nobody_is_asked(verdict) -> None:
    with pytest.raises(AirflowFailException, match="LMEvalGateOperator"):
        composed(verdict=verdict)


def test_nobody_s_answer_is_never_a_yes(judged) -> None:
    with pytest.raises(GateError, match="nobody answered"):
        LMEvalApprovalOperator(task_id="approve", verdict=judged["verdict"], defaults="Approve")
    assert LMEvalApprovalOperator(task_id="no", verdict=judged["verdict"], defaults="Reject").defaults == ["Reject"]


def test_an_approval_is_an_override_and_needs_a_reason(judged) -> None:
    asked = composed(**judged)
    override = override_of(answered(asked, "Approve", reason="hot fix", valid_for_hours=3))
    assert override is not None
    assert (override.approver, override.reason) == ("Ada", "hot fix")
    assert override.expires - override.at == 3 * 3600
    with pytest.raises(AirflowFailException, match="clear this task to ask again"):
        answered(asked, "Approve", reason=" ")
    assert answered(asked, "Reject")["chosen_options"] == ["Reject"]


def test_the_form_asks_for_reason_and_hours_and_whatever_else_is_wanted(judged) -> None:
    with DAG("dag", schedule=None, params={"candidate": Param("", type="string", minLength=1)}):
        asked = LMEvalApprovalOperator(
            task_id="approve",
            verdict=judged["verdict"],
            params={"ticket": Param("", type="string")},
            response_timeout=timedelta(hours=1),
        )
    assert {"reason", "valid_for_hours", "ticket"} <= set(asked.params)
    assert timedelta(hours=1) in (getattr(asked, "response_timeout", None), asked.execution_timeout)
    assert asked.trigger_rule == "none_failed"
