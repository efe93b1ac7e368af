"""``LMEvalApprovalOperator``: shows a person the gate's report and asks whether the model may be promoted all the same.

Airflow's own ``ApprovalOperator`` does the asking and the waiting. This one puts the report where the question is, since
nobody decides well about a model whose answers are three clicks away, and sees to it that what comes back is an approval on
the record: by somebody, for a reason, for a time. Where nobody answers, that is never a yes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Param

from airflow_provider_lmeval import _compat
from airflow_provider_lmeval.errors import GateError, LMEvalError, SpecError
from airflow_provider_lmeval.operators.evidence import Evaluation, read_baseline, read_evaluation
from airflow_provider_lmeval.operators.links import LMEvalReportLink
from airflow_provider_lmeval.operators.outcome import fail
from airflow_provider_lmeval.operators.override import HOURS, REASON, VALID_FOR_HOURS, override_of

if TYPE_CHECKING:  # loaded when somebody is asked: a DAG file that only imports this module must stay quick
    from airflow_provider_lmeval.gate import Verdict
    from airflow_provider_lmeval.gate.verdict import Subject
    from airflow_provider_lmeval.results import EvalResult
    from airflow_provider_lmeval.results.readers import Evidence

FORM: dict[str, dict[str, Any]] = {
    REASON: {
        "default": "",
        "type": "string",
        "title": "Reason",
        "description": "Why the model may be promoted, or why not. Kept with the promotion.",
    },
    HOURS: {
        "default": int(VALID_FOR_HOURS),
        "type": "integer",
        "minimum": 1,
        "title": "Valid for (hours)",
        "description": "How long after the answer an approval may be used.",
    },
}
"""The form's fields, as arguments of ``Param``."""


class LMEvalApprovalOperator(ApprovalOperator):
    """Ask a person about a verdict, with the report as the question's body; the output is a promotion's ``override``.

    The task fails if nobody answers in time, or approves without a reason: then nothing is promoted. After a rejection the
    tasks downstream are skipped. Its trigger rule is ``none_failed`` unless you say otherwise, as a gate that asks may be
    skipped itself (``on_fail="skip"``).

    :param verdict: the gate task's output. (templated)
    :param candidate: what the gate judged, for scores, prompts and answers; the verdict alone is shown without. (templated)
    :param baseline: what it was compared with, or ``promoted:NAME/SUITE``. (templated)
    :param subject: the question; default: names model and verdict. (templated)
    :param body: Markdown to put before the report. (templated)
    :param lmeval_conn_id: connection of type *LM Eval* whose store holds the promotions.
    :param response_timeout: how long to wait for an answer; default: for ever.
    :param params: further fields of the form.
    :raises GateError: at parse time, if a default is given that approves.
    """

    template_fields: Sequence[str] = (*ApprovalOperator.template_fields, "verdict", "candidate", "baseline")
    template_fields_renderers = {"verdict": "json", "candidate": "json", "baseline": "json", "body": "md"}
    ui_color = "#f3e8fd"

    def __init__(
        self,
        *,
        verdict: Mapping[str, Any] | Any,
        candidate: Evaluation | Any | None = None,
        baseline: Evaluation | Any | None = None,
        subject: str = "",
        body: str | None = None,
        lmeval_conn_id: str | None = None,
        response_timeout: timedelta | None = None,
        params: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        form = {name: Param(**fields) for name, fields in FORM.items()}
        kwargs = {"trigger_rule": "none_failed"} | kwargs | _compat.approval_timeout(response_timeout)
        super().__init__(subject=subject, body=body, params={**form, **dict((params or {}).items())}, **kwargs)
        if self.APPROVE in (self.defaults or ()):
            raise GateError(
                f"defaults: {self.APPROVE!r} would promote a model because nobody answered; leave it out, or {self.REJECT!r}"
            )
        self.verdict = verdict
        self.candidate = candidate
        self.baseline = baseline
        self.lmeval_conn_id = lmeval_conn_id
        self.gate_task_id: str | None = getattr(getattr(verdict, "operator", None), "task_id", None)

    def execute(self, context: Any) -> Any:
        """Ask, and wait without a worker."""
        self.compose(context)
        return super().execute(context)

    def compose(self, context: Any) -> None:
        """Put the question: fill in subject and body.

        :raises AirflowFailException: there is no verdict to ask about.
        """
        try:
            verdict = self._verdict()
        except LMEvalError as error:
            fail(SpecError(str(error)))
        name = verdict.candidate.name
        self.subject = self.subject or f"Promote {name}? The gate says {verdict.outcome}."
        self.body = "\n\n".join(filter(None, (self.body, self._link(context["ti"]), self._report(verdict))))

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        """Return the answer; fail if it is an approval that cannot be put on the record."""
        answer = super().execute_complete(context, event)
        if self.APPROVE in answer["chosen_options"]:
            try:
                override_of(answer)
            except GateError as error:
                fail(SpecError(f"{error}; clear this task to ask again"))
        return answer

    def _verdict(self) -> Verdict:
        """Return the verdict to ask about.

        :raises GateError: there is none.
        """
        from pydantic import ValidationError

        from airflow_provider_lmeval.gate import Verdict

        try:
            return Verdict.model_validate(self.verdict)
        except ValidationError:
            raise GateError(
                f"verdict: {self.verdict!r} is no verdict; pass the output of an LMEvalGateOperator"
            ) from None

    def _link(self, ti: Any) -> str | None:
        """Return a line that leads to the whole report, where the gate has a page for it."""
        if self.gate_task_id is None:
            return None
        address = ti.xcom_pull(task_ids=self.gate_task_id, key=LMEvalReportLink().xcom_key)
        return f"[Open the whole report]({address})" if address else None

    def _report(self, verdict: Verdict) -> str:
        from airflow_provider_lmeval.store.reports import brief_report

        candidate, baseline = self._evidence()
        return brief_report(verdict, _of(verdict.candidate, candidate), _of(verdict.baseline, baseline))

    def _evidence(self) -> tuple[Evidence | None, Evidence | None]:
        """Read what the verdict is about. It is shown and decides nothing, so what cannot be read is left out."""
        try:
            candidate = read_evaluation("candidate", self.candidate) if self.candidate else None
            return candidate, read_baseline(self.baseline, self.lmeval_conn_id)
        except LMEvalError as error:
            self.log.warning("shown without scores and answers: %s", error)
            return None, None


def _of(subject: Subject | None, evidence: Evidence | None) -> Evidence | None:
    """Return evidence if it is what the verdict was about: meanwhile another model may have been promoted."""
    result: EvalResult | None = evidence.result if evidence else None
    return evidence if subject and result and result.run_id == subject.run_id else None
