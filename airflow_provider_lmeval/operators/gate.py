"""``LMEvalGateOperator``: lets a model pass, or not, on stored evidence.

The decision itself is ``gate.decide``, a pure function; this operator fetches the evidence, pushes the verdict to XCom and
only then stops the DAG. Nothing is evaluated again, so clearing the task re-gates for free.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.standard.operators.branch import BranchMixIn
from airflow.sdk import BaseOperator

from airflow_provider_lmeval import _compat
from airflow_provider_lmeval.errors import (
    DamagedResultError,
    GateError,
    LMEvalError,
    ResultNotFoundError,
    SpecError,
    StoreError,
)
from airflow_provider_lmeval.hooks.lmeval import LMEvalHook
from airflow_provider_lmeval.operators.evidence import Evaluation, evaluation_uri, read_baseline, read_evaluation
from airflow_provider_lmeval.operators.links import LMEvalReportLink
from airflow_provider_lmeval.operators.outcome import fail
from airflow_provider_lmeval.operators.rules import as_data, parse_rules
from airflow_provider_lmeval.operators.specs import is_constant

if TYPE_CHECKING:  # loaded when a gate is built or runs: a DAG file that only imports this module must stay quick
    from airflow_provider_lmeval.gate import Verdict
    from airflow_provider_lmeval.gate.calibration import Calibration
    from airflow_provider_lmeval.results.readers import Evidence

REPORT_KEY = "report_uri"
"""XCom key of the place of the report."""
REFERENCE_KEY = "report_reference"
"""XCom key of what the report's page needs: the report's SHA-256, and the connection whose store it is in."""
VERDICT_KEY = "verdict"
"""XCom key of ``{uri, sha256}``, where the verdict is stored."""
ACTIONS = frozenset({"allow", "ask", "block"})


class LMEvalGateOperator(BaseOperator, BranchMixIn):
    """Compare an evaluation with rules, and with a baseline, and stop the DAG if it does not pass.

    XCom ``return_value``: the verdict (:meth:`Verdict.to_data`), pushed before anything raises.

    :param candidate: the evaluation to judge: an evaluation task's output, or the URI of evidence: a result of ours,
        the output directory of ``lm-eval run --log_samples``, or another tool's bundle. (templated)
    :param rules: a list of rules, a mapping with ``rules`` and policies, YAML text, or the name of a ready set; None is
        ``no_regression``: the suite as a whole must be proved no worse than the baseline. (templated)
    :param baseline: the evaluation to compare with, ``promoted:NAME/SUITE`` for what was promoted last, or None. (templated)
    :param lmeval_conn_id: connection of type *LM Eval* whose store holds the promotions.
    :param on_fail: what a blocking verdict does: ``fail`` the task for good; ``skip`` it and what depends on it; ``soft``:
        nothing, the verdict is there for others to read; or ``branch``: every verdict goes one of several ways. Evidence
        that cannot be read fails the task whatever is said here.
    :param branches: with ``branch``: the tasks or task groups to go on with, by the verdict's action: ``allow``, ``ask`` or
        ``block``. An action that is not there goes on with nothing.
    :param report: write a report as HTML below ``reports/`` in the results' store; XCom ``report_uri`` says where. A report
        that cannot be written is a warning in the log and changes nothing.
    :raises GateError: at parse time, for constant rules that cannot be right.
    """

    template_fields: Sequence[str] = ("candidate", "baseline", "rules", "lmeval_conn_id")
    template_fields_renderers = {"rules": "json", "candidate": "json", "baseline": "json"}
    operator_extra_links = (LMEvalReportLink(),)
    ui_color = "#fef7e0"

    def __init__(
        self,
        *,
        candidate: Evaluation | Any,
        rules: Sequence[Mapping[str, Any]] | Mapping[str, Any] | str | Any | None = None,
        baseline: Evaluation | Any | None = None,
        lmeval_conn_id: str | None = None,
        on_fail: Literal["fail", "skip", "soft", "branch"] = "fail",
        branches: Mapping[str, str | Sequence[str]] | None = None,
        report: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if on_fail not in ("fail", "skip", "soft", "branch"):
            raise GateError(f"on_fail: {on_fail!r} is none of 'fail', 'skip', 'soft' and 'branch'")
        if (on_fail == "branch") is not bool(branches) or set(branches or ()) - ACTIONS:
            raise GateError(f"branches: on_fail='branch' needs tasks for some of {sorted(ACTIONS)}, found {branches!r}")
        self.candidate = candidate
        self.rules: Any = as_data(rules)
        self.baseline = baseline
        self.lmeval_conn_id = lmeval_conn_id
        self.on_fail = on_fail
        self.branches = dict(branches or {})
        self.report = report
        self.reported = False
        if is_constant(self.rules):
            parse_rules(self.rules)

    def execute(self, context: Any) -> dict[str, Any]:
        """Judge, push the verdict, report, then stop the DAG if the verdict blocks.

        Evidence that cannot be read is a verdict too: ERROR, on the record, and never a pass.
        """
        sides: dict[str, Evidence | None] = {"candidate": None, "baseline": None}
        trouble: LMEvalError | None = None
        try:
            verdict = self._judge(sides)
        except LMEvalError as error:
            verdict, trouble = self._unreadable(error), error
        self._tell(verdict)
        data = verdict.to_data()
        context["ti"].xcom_push(key="return_value", value=data)
        self._record(context["ti"], data)
        if self.report:
            self._report(context["ti"], verdict, **sides)
        if trouble is not None:
            fail(_hopeless(trouble))
        if self.on_fail == "branch":
            self.do_branch(context, self.branches.get(verdict.action))
        elif verdict.blocks and self.on_fail != "soft":
            self._stop("\n".join([f"verdict {verdict.outcome}:", *verdict.reasons]))
        return data

    def _judge(self, sides: dict[str, Evidence | None]) -> Verdict:
        """Return the verdict.

        :param sides: filled in with what could be read, which is reported even if the rest could not.
        :raises LMEvalError: the rules cannot be right, or evidence cannot be read.
        """
        from airflow_provider_lmeval.gate import decide
        from airflow_provider_lmeval.store.evidence import score_tables

        rules = parse_rules(self.rules)
        candidate = sides["candidate"] = read_evaluation("candidate", self.candidate)
        baseline = sides["baseline"] = read_baseline(self.baseline, self.lmeval_conn_id)
        return decide(
            rules,
            candidate.result,
            baseline.result if baseline else None,
            score_tables(candidate, baseline),
            self._calibration(),
        )

    def _calibration(self) -> Calibration | None:
        """Return what is known of the noise of a promoted baseline."""
        from airflow_provider_lmeval.store.calibration import calibration_of

        return calibration_of(self.baseline, LMEvalHook(self.lmeval_conn_id).settings.results_uri)

    def _unreadable(self, error: LMEvalError) -> Verdict:
        from airflow_provider_lmeval.gate import Outcome, Verdict
        from airflow_provider_lmeval.gate.verdict import Subject
        from airflow_provider_lmeval.store.location import shown

        named = Subject(run_id=shown(evaluation_uri(self.candidate) or "unknown"))
        return Verdict(outcome=Outcome.ERROR, action="block", candidate=named, reasons=(str(error),))

    def _record(self, ti: Any, verdict: dict[str, Any]) -> None:
        """Store the verdict and say where it is. It stands, whatever goes wrong here."""
        from airflow_provider_lmeval.store.verdicts import store_verdict

        index = "" if ti.map_index in (None, -1) else f"-{ti.map_index}"
        try:
            store = LMEvalHook(self.lmeval_conn_id).settings.results_uri
            stored = store_verdict(store, (ti.dag_id, ti.run_id, f"{ti.task_id}{index}"), verdict)
        except LMEvalError as error:
            self.log.warning("the verdict is in XCom only: %s", error)
            return
        ti.xcom_push(key=VERDICT_KEY, value=stored)

    def _tell(self, verdict: Verdict) -> None:
        self.log.info("verdict %s", verdict.outcome)
        for reason in verdict.reasons:
            self.log.info("%s", reason)

    def _report(self, ti: Any, verdict: Verdict, candidate: Evidence | None, baseline: Evidence | None) -> None:
        """Store the report and say where it is. The verdict stands, whatever goes wrong here."""
        from airflow_provider_lmeval.store.reports import make_report, store_report, task_report

        path = task_report(ti.dag_id, ti.run_id, ti.task_id, -1 if ti.map_index is None else ti.map_index)
        try:
            store = LMEvalHook(self.lmeval_conn_id).settings.results_uri
            stored = store_report(store, path, make_report(path[-1], verdict, candidate, baseline))
        except Exception as error:  # noqa: BLE001 - a report decides nothing, so it must not stop anything either
            self.log.warning("no report was written: %s", error)
            return
        self.log.info("report: %s", stored.uri)
        ti.xcom_push(key=REPORT_KEY, value=stored.uri)
        ti.xcom_push(key=REFERENCE_KEY, value={"sha256": stored.sha256, "lmeval_conn_id": self.lmeval_conn_id})
        self.reported = True

    def _stop(self, why: str) -> None:
        kind = _compat.skip_exception() if self.on_fail == "skip" else _compat.fail_exception()
        raise kind(why)


def _hopeless(trouble: LMEvalError) -> LMEvalError:
    """Return what to fail with. Only a store that cannot be reached may be there at the next try."""
    passing = isinstance(trouble, StoreError) and not isinstance(trouble, DamagedResultError | ResultNotFoundError)
    return (StoreError if passing else SpecError)(f"verdict ERROR: {trouble}")
