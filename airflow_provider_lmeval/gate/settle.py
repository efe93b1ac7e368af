"""Settles comparisons, rule by rule and condition by condition, and writes down what came out.

A regression that is claimed of one task in fifty-seven has to stand against the other fifty-six chances of being wrong, so
no comparison is settled before all of its family are there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

from airflow_provider_lmeval.gate import samples
from airflow_provider_lmeval.gate.assess import Assessment, Comparison, compared, interval, n_to_decide
from airflow_provider_lmeval.gate.cases import Case
from airflow_provider_lmeval.gate.evidence import LISTED
from airflow_provider_lmeval.gate.rules import Condition, Rule
from airflow_provider_lmeval.gate.samples import Member
from airflow_provider_lmeval.gate.stats.multiplicity import holm
from airflow_provider_lmeval.gate.stats.power import detectable
from airflow_provider_lmeval.gate.verdict import Check, Finding, Flips, Outcome, Statistics, counted
from airflow_provider_lmeval.results.model import Metric


@dataclass(frozen=True, slots=True)
class Open:
    """A comparison that waits for the others of its family.

    :param members: tasks whose documents were compared one by one, with their weights; none where averages were.
    """

    case: Case
    comparison: Comparison
    members: tuple[Member, ...] = ()
    weights: samples.Weights = ()

    @property
    def band(self) -> float | None:
        """How far two evaluations of the baseline lay apart; None where nobody looked."""
        noise, name = self.case.evidence.noise, self.case.name
        if self.case.rule.pool:
            return noise.pooled((each.task, each.key) for each in self.members)
        return noise.band(name, self.case.metric(name))


def noisy(opened: Open) -> Finding | None:
    """Return that a rule asks for more than the evaluation can tell of the same model twice."""
    allowed, band, rule = opened.comparison.margin, opened.band, opened.case.rule
    if band is None or abs(allowed) > band or rule.tier == "info":
        return None
    message = (
        f"{opened.comparison.what}: {abs(allowed):.4g} is within the noise: two evaluations of the baseline itself may lie "
        f"{band:.4g} apart (calibration); ask for more, or evaluate more documents"
    )
    return Finding(id="margin-within-noise", severity=Outcome.WARN, subject=opened.case.name, message=message)


def settle(family: list[Open]) -> list[Check]:
    """Return the checks of comparisons that were made together."""
    answers = [each.comparison.answer for each in family]
    known = [answer for answer in answers if answer is not None]
    beyond, worse = iter(holm([each.p_beyond for each in known])), iter(holm([each.p_worse for each in known]))
    checks = []
    for each in family:
        answer = each.comparison.answer
        adjusted = replace(answer, p_beyond=next(beyond), p_worse=next(worse)) if answer else None
        comparison = replace(each.comparison, answer=adjusted, family=max(1, len(known)))
        case = each.case
        checks.append(
            checked(
                case.rule,
                comparison.condition,
                case.name,
                case.metric(case.name),
                compared(comparison, each.band),
                statistics=_statistics(each, comparison, len(known)),
                **evidence_of(case, comparison.candidate, comparison.baseline),
            )
        )
    return checks


def _statistics(opened: Open, comparison: Comparison, family: int) -> Statistics | None:
    answer = comparison.answer
    if answer is None:
        return None
    return Statistics(
        methods=answer.methods,
        paired=comparison.paired,
        n=answer.n,
        clusters=answer.clusters,
        confidence=comparison.confidence,
        margin=comparison.margin,
        damage=answer.damage,
        stderr=_finite(answer.stderr),
        lower=_finite(answer.lower),
        upper=_finite(answer.upper),
        p_within=answer.p_within,
        p_beyond=answer.p_beyond,
        p_worse=answer.p_worse,
        family=family,
        design_effect=answer.design_effect,
        minimum_detectable_effect=_finite(detectable(answer.stderr, comparison.confidence)),
        n_to_decide=n_to_decide(comparison),
        noise_band=opened.band,
        flips=_listed(opened, family),
    )


def _listed(opened: Open, family: int) -> Flips | None:
    """Return what changed, with some of the documents: a verdict travels through XCom."""
    most = 0 if opened.case.rule.tier == "info" else max(1, LISTED // family)
    return samples.joined_flips(opened.members, most)


def checked(
    rule: Rule, condition: Condition | None, task: str, metric: str, answer: Assessment, **numbers: Any
) -> Check:
    """Return the check that an answer is written down in.

    :param condition: None where the rule matched nothing. :param numbers: what it rests on, as fields of the check.
    """
    return Check(
        rule=rule.label,
        condition=condition,
        task=task,
        metric=metric,
        tier=rule.tier,
        found=answer.outcome,
        outcome=counted(answer.outcome, rule.tier),
        difference=answer.difference,
        threshold=rule.conditions[condition] if condition else None,
        message=answer.message,
        **numbers,
    )


def evidence_of(case: Case, metric: Metric, reference: Metric | None = None) -> dict[str, Any]:
    """Return the scores that a check rests on, as its fields."""
    return {
        "pooled": case.tasks if case.rule.pool else (),
        "value": metric.value,
        "stderr": metric.stderr,
        "interval": interval(metric, case.confidence),
        "n": metric.n,
        "baseline": reference.value if reference else None,
    }


def _finite(number: float) -> float | None:
    return number if isfinite(number) else None
