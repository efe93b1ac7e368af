"""``LMEvalVerdictNotifier``: puts a gate's verdict into words and gives them to another notifier.

Slack, mail, Teams and the rest have notifiers of their own, each in its own package; this one depends on none of them. The
words reach it as a value in the template context, not as part of a template: a model's name may hold ``{{ … }}``, and must
not be able to read a connection.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseNotifier

from airflow_provider_lmeval import _compat
from airflow_provider_lmeval.errors import GateError
from airflow_provider_lmeval.operators.links import LMEvalReportLink

if TYPE_CHECKING:  # loaded when there is something to say
    from airflow_provider_lmeval.gate import Verdict

OUTCOMES = ("PASS", "WARN", "INCONCLUSIVE", "FAIL", "ERROR", "none")
"""What a gate may come to; ``none`` where it ended without a verdict."""
VARIABLE = "lmeval"
"""What templates call the message."""


class LMEvalVerdictNotifier(BaseNotifier):
    """Tell people what a gate said: callback of an ``LMEvalGateOperator``, or notifier of an ``LMEvalApprovalOperator``.

    :param notifier: who tells them. Its templates may use ``lmeval.title``, ``lmeval.text``, ``lmeval.slack``,
        ``lmeval.html``, ``lmeval.outcome`` and ``lmeval.link``.
    :param outcomes: verdicts to tell of; default: all.
    :raises GateError: there is no such verdict.
    """

    def __init__(self, notifier: BaseNotifier, outcomes: Collection[str] = OUTCOMES) -> None:
        super().__init__()
        if unknown := sorted(set(outcomes) - set(OUTCOMES)):
            raise GateError(f"outcomes: there is no verdict {', '.join(unknown)}; choose from {', '.join(OUTCOMES)}")
        self.notifier = notifier
        self.outcomes = frozenset(outcomes)

    def notify(self, context: Any) -> None:
        """Tell of the verdict in the context, if it is one to tell of."""
        from airflow_provider_lmeval.report.message import message

        ti = context["ti"]
        said = message(_verdict(context), f"{ti.dag_id}.{ti.task_id}, {ti.run_id}", _link(context))
        if said.outcome in self.outcomes:
            self.notifier({**context, VARIABLE: said})


def _verdict(context: Any) -> Verdict | None:
    """Return the verdict that a task asks about, or has come to; None without one."""
    from pydantic import ValidationError

    from airflow_provider_lmeval.gate import Verdict

    ti = context["ti"]
    found = getattr(context["task"], "verdict", None)
    if found is None:
        found = ti.xcom_pull(task_ids=ti.task_id, key="return_value", map_indexes=ti.map_index)
    try:
        return Verdict.model_validate(found)
    except ValidationError:
        return None


def _link(context: Any) -> str | None:
    """Return where to answer the question, or the gate's report; nothing where Airflow does not know its own address."""
    from airflow.providers.standard.operators.hitl import HITLOperator

    task, ti = context["task"], context["ti"]
    if not _compat.base_url():
        return None
    if isinstance(task, HITLOperator):
        return task.generate_link_to_ui(task_instance=ti)
    return LMEvalReportLink().get_link(task, ti_key=ti) or None
