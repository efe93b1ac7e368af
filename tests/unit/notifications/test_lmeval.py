"""Verdicts in words, through somebody else's notifier, whatever models are called."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.smtp.notifications.smtp import SmtpNotifier
from airflow.sdk import BaseNotifier

from airflow_provider_lmeval.errors import GateError
from airflow_provider_lmeval.gate import Outcome, Verdict
from airflow_provider_lmeval.gate.verdict import Subject
from airflow_provider_lmeval.notifications.lmeval import LMEvalVerdictNotifier
from airflow_provider_lmeval.operators.approval import LMEvalApprovalOperator
from airflow_provider_lmeval.operators.gate import LMEvalGateOperator
from airflow_provider_lmeval.report.message import LONGEST, REASONS, message
from tests.support.context import TaskInstance

EVIL = "<!channel> {{ 7 * 7 }} </li><script>x</script>\n& more"
VERDICT = Verdict(
    outcome=Outcome.FAIL, action="block", candidate=Subject(run_id="r", model=EVIL), reasons=("quiz is 0.1 worse", EVIL)
)


class Outbox(BaseNotifier):
    """Keeps what it would send, rendered as any notifier's fields are."""

    template_fields = ("text",)

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.sent: list[str] = []

    def notify(self, context: Any) -> None:
        self.sent.append(self.text)


class Pulled(TaskInstance):
    """A task instance whose own XComs can be asked for by map index."""

    def xcom_pull(self, task_ids: str | None = None, key: str = "return_value", map_indexes: int = -1) -> Any:
        return self.xcoms.get(key) if (task_ids, map_indexes) == (self.task_id, self.map_index) else None


def gate_context(verdict: Verdict | None) -> dict[str, Any]:
    ti = Pulled(dag_id="train", run_id="manual__1", task_id="gate")
    if verdict:
        ti.xcom_push("return_value", verdict.to_data())
    return {"ti": ti, "task": LMEvalGateOperator(task_id="gate", candidate="x", rules=None)}


def test_a_gate_s_verdict_is_told_through_another_notifier() -> None:
    outbox = Outbox("{{ lmeval.title }}|{{ lmeval.text }}")
    LMEvalVerdictNotifier(outbox)(gate_context(VERDICT))
    (said,) = outbox.sent
    assert said.startswith("FAIL: <!channel> {{ 7 * 7 }} ")
    assert "is stopped|" in said
    assert "- quiz is 0.1 worse" in said
    assert "train.gate, manual__1" in said
    assert "49" not in said, "what a model is called is no template"


def test_a_mail_is_rendered_by_airflow_s_own_notifier() -> None:
    mail = SmtpNotifier(
        to="team@example.com",
        from_email="airflow@example.com",
        subject="{{ lmeval.title }}",
        html_content="{{ lmeval.html }}",
    )
    mail.render_template_fields({"lmeval": message(VERDICT, "train.gate")})
    assert "\n" not in mail.subject
    assert "<script>" not in mail.html_content
    assert "<li>quiz is 0.1 worse</li>" in mail.html_content


def test_slack_finds_no_mention_in_a_model_s_name() -> None:
    said = message(VERDICT, "train.gate", "https://airflow/x?a=1&b=2").slack
    assert "<!channel>" not in said
    assert "&lt;!channel&gt;" in said
    assert said.endswith("<https://airflow/x?a=1&amp;b=2|Open>")


def test_only_the_verdicts_asked_for_are_told() -> None:
    outbox = Outbox("{{ lmeval.outcome }}")
    notifier = LMEvalVerdictNotifier(outbox, outcomes=("WARN", "ERROR"))
    notifier(gate_context(VERDICT))
    assert outbox.sent == []
    notifier(gate_context(VERDICT.model_copy(update={"outcome": Outcome.WARN})))
    assert outbox.sent == ["WARN"]
    with pytest.raises(GateError, match="choose from PASS"):
        LMEvalVerdictNotifier(outbox, outcomes=("FAILED",))


def test_a_gate_that_ended_without_a_verdict_is_told_of_too() -> None:
    outbox = Outbox("{{ lmeval.outcome }}: {{ lmeval.title }}")
    LMEvalVerdictNotifier(outbox)(gate_context(None))
    assert outbox.sent == ["none: The gate ended without a verdict"]


def test_an_approval_s_notifier_tells_of_the_verdict_that_is_asked_about() -> None:
    outbox = Outbox("{{ lmeval.title }}")
    notifier = LMEvalVerdictNotifier(outbox)
    asked = VERDICT.model_copy(update={"outcome": Outcome.INCONCLUSIVE, "action": "ask"})
    task = LMEvalApprovalOperator(task_id="approve", verdict=asked.to_data(), notifiers=[notifier])
    task.notifiers[0]({"ti": TaskInstance(task_id="approve"), "task": task})
    assert outbox.sent[0].startswith("INCONCLUSIVE: ")
    assert outbox.sent[0].endswith("waits for a person to decide")


def test_a_message_is_short() -> None:
    verdict = VERDICT.model_copy(update={"reasons": tuple(f"{n} {'x' * 1000}" for n in range(30))})
    said = message(verdict, "train.gate")
    assert f"… and {30 - REASONS} more" in said.text
    assert max(map(len, said.text.splitlines())) <= LONGEST + 10
