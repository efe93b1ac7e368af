"""The gate itself: rules and results in, a verdict out, and nothing else touched.

First the evidence is examined, then whether the two sides may be compared, and only then are scores read. Whatever
stops one check is an ERROR of that check and so of the verdict; there is no path from missing evidence to PASS.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeVar

from airflow_provider_lmeval.gate.calibration import Calibration
from airflow_provider_lmeval.gate.cases import stops
from airflow_provider_lmeval.gate.evidence import Evidence, ScoreTables
from airflow_provider_lmeval.gate.examine import Seen, apply
from airflow_provider_lmeval.gate.health import check_pair, check_run
from airflow_provider_lmeval.gate.rules import RuleSet
from airflow_provider_lmeval.gate.verdict import Calibrated, Outcome, Subject, Verdict, explain
from airflow_provider_lmeval.results.model import EvalResult, Part

Action = Literal["allow", "ask", "block"]
AnyPart = TypeVar("AnyPart", bound=Part)


def decide(
    rules: RuleSet,
    candidate: EvalResult,
    baseline: EvalResult | None = None,
    scores: ScoreTables | None = None,
    calibration: Calibration | None = None,
) -> Verdict:
    """Return whether the candidate fulfils the rules.

    :param rules: what it must fulfil. Their order does not matter.
    :param candidate: the evidence on the model in question.
    :param baseline: the evidence on the model to compare with; looked at only where a rule compares.
    :param scores: returns the rows of ``("candidate" | "baseline", task)``'s score table, None if it has none. Called for
        one task after the other, only where a table is needed. Without tables comparisons rest on standard errors.
    :param calibration: what comparing the baseline with itself showed; one of another run is left aside.
    :returns: PASS only if every finding, comparison and blocking check is in order.
    """
    findings = [*check_run(candidate, "candidate")]
    if baseline and any(rule.compares for rule in rules.rules):
        findings += [*check_run(baseline, "baseline"), *check_pair(candidate, baseline)]
    seen = Seen(findings=tuple(findings))
    known = calibration if calibration and baseline and calibration.run_id == baseline.run_id else None
    if not stops(findings):
        evidence = Evidence(candidate, baseline, scores, known.noise_table if known else None)
        for rule in rules.rules:
            seen += apply(rule, rules, evidence)
    return _conclude(rules, seen, candidate, baseline, known.shown if known else None)


def _conclude(
    rules: RuleSet, seen: Seen, candidate: EvalResult, baseline: EvalResult | None, calibration: Calibrated | None
) -> Verdict:
    findings, differences = _unique(seen.findings), _unique(seen.differences)
    checks = sorted(_unique(seen.checks), key=lambda check: -check.outcome.rank)
    outcomes = [*(finding.severity for finding in findings), *(check.outcome for check in checks)]
    return Verdict(
        outcome=max(outcomes, default=Outcome.ERROR),
        action=action(rules, outcomes),
        candidate=Subject.of(candidate),
        baseline=Subject.of(baseline) if baseline else None,
        reasons=explain(checks, findings, differences),
        checks=tuple(checks),
        findings=findings,
        differences=differences,
        calibration=calibration,
    )


def action(rules: RuleSet, outcomes: Iterable[Outcome]) -> Action:
    """Return the strictest of what the policies say to each outcome: a FAIL blocks beside an ERROR that would ask."""
    policy: dict[Outcome, Action] = {
        Outcome.PASS: "allow",
        Outcome.WARN: rules.on_warn,
        Outcome.INCONCLUSIVE: "allow" if rules.on_inconclusive == "warn" else rules.on_inconclusive,
        Outcome.FAIL: "block",
        Outcome.ERROR: rules.on_error,
    }
    order: tuple[Action, ...] = ("allow", "ask", "block")
    return max((policy[outcome] for outcome in outcomes), key=order.index, default="block")


def _unique(parts: Iterable[AnyPart]) -> tuple[AnyPart, ...]:
    """Drop repetitions and sort by content, so that the order of rules leaves no trace."""
    return tuple(dict(sorted((part.model_dump_json(), part) for part in parts)).values())
