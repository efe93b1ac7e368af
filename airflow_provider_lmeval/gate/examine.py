"""Turns one rule into checks: examine the evidence, ask the statistics, and write down what they say.

Comparisons are settled together, rule by rule and condition by condition: a regression that is claimed of one task in
fifty-seven has to stand against the other fifty-six chances of being wrong.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

from airflow_provider_lmeval.gate import samples
from airflow_provider_lmeval.gate.assess import (
    Assessment,
    Bound,
    Comparison,
    as_mean,
    bound,
    compared,
    interval,
    margin,
    n_to_decide,
)
from airflow_provider_lmeval.gate.cases import Case, Examined, cases, examine
from airflow_provider_lmeval.gate.evidence import LISTED, Evidence
from airflow_provider_lmeval.gate.rules import Condition, Rule, RuleSet
from airflow_provider_lmeval.gate.samples import Member
from airflow_provider_lmeval.gate.stats.multiplicity import holm
from airflow_provider_lmeval.gate.stats.noninferiority import Answer, judge, judge_unpaired
from airflow_provider_lmeval.gate.stats.power import detectable
from airflow_provider_lmeval.gate.verdict import Check, Difference, Finding, Flips, Outcome, Statistics, counted
from airflow_provider_lmeval.results.model import Metric
from airflow_provider_lmeval.results.wording import suggest


@dataclass(frozen=True, slots=True)
class Seen:
    """What was found so far."""

    checks: tuple[Check, ...] = ()
    findings: tuple[Finding, ...] = ()
    differences: tuple[Difference, ...] = ()

    def __add__(self, other: Seen) -> Seen:
        return Seen(self.checks + other.checks, self.findings + other.findings, self.differences + other.differences)


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


def apply(rule: Rule, rules: RuleSet, evidence: Evidence) -> Seen:
    """Return what a rule comes to on the evidence."""
    found = cases(rule, rules, evidence)
    if not found:
        message = f"rule {rule.label!r} matches no evaluated task: {suggest(rule.task, evidence.candidate.tasks)}"
        return Seen((_check(rule, None, rule.task, rule.metric, Assessment(Outcome.ERROR, message)),))
    seen = Seen()
    families: defaultdict[Condition, list[Open]] = defaultdict(list)
    for case in found:
        examined = examine(case)
        outcomes = [judge_condition(examined, condition) for condition in rule.conditions]
        checks = tuple(each for each in outcomes if isinstance(each, Check))
        seen += Seen(checks, (*examined.own, *examined.shared), tuple(examined.differences))
        for each in outcomes:
            if isinstance(each, Open):
                families[each.comparison.condition].append(each)
    noisy = tuple(noise for family in families.values() for each in family if (noise := _noisy(each)))
    return seen + Seen(tuple(check for family in families.values() for check in _settle(family)), noisy)


def judge_condition(examined: Examined, condition: Condition) -> Check | Open:
    """Return a condition's check, or the comparison that becomes one."""
    case = examined.case
    if stops := examined.stops(compares=condition.compares):
        message = f"{case.name} {case.rule.metric}: {condition} was not checked: {'; '.join(stops)}"
        blocked_by = tuple(dict.fromkeys(stops.values()))
        error = Assessment(Outcome.ERROR, message)
        return _check(case.rule, condition, case.name, case.rule.metric, error, blocked_by=blocked_by)
    if not condition.compares:
        return _bounded(case, condition)
    if case.evidence.baseline is None:
        policy = {"warn": Outcome.WARN, "ask": Outcome.INCONCLUSIVE, "block": Outcome.ERROR}
        message = (
            f"{case.name} {case.rule.metric}: {condition} could not be checked: there is no baseline to compare with"
        )
        absent = Assessment(policy[case.rules.on_missing_baseline], message)
        return _check(case.rule, condition, case.name, case.metric(case.name), absent)
    return _pooled(examined, condition) if case.rule.pool else _single(examined, condition)


def _bounded(case: Case, condition: Condition) -> Check:
    key = case.metric(case.name)
    metric = case.evidence.candidate.metric(case.name, key)
    asked = Bound(condition, case.rule.conditions[condition], _what(case), metric, case.rule.confidence)
    answer = _too_few(case, condition, metric.n) or bound(asked)
    return _check(case.rule, condition, case.name, key, answer, **_numbers(case, metric))


def _single(examined: Examined, condition: Condition) -> Check | Open:
    """Compare a task's or a group's own score."""
    case, members = examined.case, examined.members
    key = case.metric(case.name)
    ours = case.evidence.candidate.metric(case.name, key)
    theirs = case.evidence.baseline.metric(case.name, key) if case.evidence.baseline else ours
    higher = case.rule.direction == "higher" if case.rule.direction else ours.higher_is_better
    if higher is None:
        message = (
            f"{case.name} does not say whether a higher {key.removesuffix(',none')} is better; "
            "set direction: higher or direction: lower in the rule"
        )
        return _check(case.rule, condition, case.name, key, Assessment(Outcome.ERROR, message), **_numbers(case, ours))
    alone = len(members) == 1 and members[0].task == case.name
    if alone:
        weights = samples.weights_of_pool(members)
    else:
        whole = len(members) == len(case.evidence.candidate.leaves(case.name))
        weights = samples.weights_of_group(members, ours, theirs) if whole else None
    return _opened(case, condition, (ours, theirs), members, weights, higher=higher)


def _pooled(examined: Examined, condition: Condition) -> Check | Open:
    """Compare the documents of all tasks together."""
    case, members = examined.case, examined.members
    if not members:
        message = (
            f"{case.name}: there is nothing to pool: no task's documents score between 0 and 1 in a known direction"
        )
        return _check(case.rule, condition, case.name, case.rule.metric, Assessment(Outcome.ERROR, message))
    scores = samples.pooled(members, "candidate"), samples.pooled(members, "baseline")
    return _opened(case, condition, scores, members, samples.weights_of_pool(members), higher=True)


def _opened(
    case: Case,
    condition: Condition,
    scores: tuple[Metric, Metric],
    members: tuple[Member, ...],
    weights: samples.Weights | None,
    *,
    higher: bool,
) -> Check | Open:
    ours, theirs = scores
    if few := _too_few(case, condition, min(ours.n, theirs.n)):
        return _check(case.rule, condition, case.name, case.metric(case.name), few, **_numbers(case, ours, theirs))
    threshold = case.rule.conditions[condition]
    allowed = margin(condition, threshold, theirs.value or 0.0, case.rule.relative_guard_below)
    if weights is not None:
        damages = [samples.damage_of(each) for each in members]
        sample = samples.joined(members, damages, weights, clustered=case.rule.clustered)
        answer: Answer | None = judge(sample, allowed, case.confidence)
    else:
        answer = _unpaired(case, scores, members, allowed, higher=higher)
    comparison = Comparison(
        condition, threshold, _what(case), ours, theirs, higher, allowed, answer, weights is not None, case.confidence
    )
    return Open(case, comparison, members, weights) if weights is not None else Open(case, comparison)


def _unpaired(
    case: Case, scores: tuple[Metric, Metric], members: tuple[Member, ...], allowed: float, *, higher: bool
) -> Answer | None:
    ours, theirs = (as_mean(each) for each in scores)
    if ours is None or theirs is None:
        return None
    clusters = samples.subtask_means(members) if case.rule.clustered and len(members) > 1 else None
    return judge_unpaired(theirs, ours, allowed, case.confidence, higher=higher, clusters=clusters)


def _noisy(opened: Open) -> Finding | None:
    """Return that a rule asks for more than the evaluation can tell of the same model twice."""
    allowed, band, rule = opened.comparison.margin, opened.band, opened.case.rule
    if band is None or abs(allowed) > band or rule.tier == "info":
        return None
    message = (
        f"{opened.comparison.what}: {abs(allowed):.4g} is within the noise: two evaluations of the baseline itself may lie "
        f"{band:.4g} apart (calibration); ask for more, or evaluate more documents"
    )
    return Finding(id="margin-within-noise", severity=Outcome.WARN, subject=opened.case.name, message=message)


def _settle(family: list[Open]) -> list[Check]:
    """Return the checks of comparisons that were made together."""
    answers = [each.comparison.answer for each in family]
    known = [answer for answer in answers if answer is not None]
    beyond, worse = iter(holm([each.p_beyond for each in known])), iter(holm([each.p_worse for each in known]))
    checks = []
    for each in family:
        answer = each.comparison.answer
        adjusted = replace(answer, p_beyond=next(beyond), p_worse=next(worse)) if answer else None
        comparison = replace(each.comparison, answer=adjusted)
        case = each.case
        checks.append(
            _check(
                case.rule,
                comparison.condition,
                case.name,
                case.metric(case.name),
                compared(comparison, each.band),
                statistics=_statistics(each, comparison, len(known)),
                **_numbers(case, comparison.candidate, comparison.baseline),
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


def _too_few(case: Case, condition: Condition, n: int) -> Assessment | None:
    wanted = case.rule.min_samples
    if not wanted or n >= wanted:
        return None
    message = f"{case.name} {case.rule.metric}: n={n} is too few for {condition}, the rule wants {wanted}"
    return Assessment(Outcome.INCONCLUSIVE, message)


def _what(case: Case) -> str:
    if case.rule.pool:
        return f"the pool of {len(case.tasks)} task{'s' if len(case.tasks) > 1 else ''} at"
    return f"{case.name} {case.metric(case.name).removesuffix(',none')}"


def _numbers(case: Case, metric: Metric, reference: Metric | None = None) -> dict[str, Any]:
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


def _check(
    rule: Rule, condition: Condition | None, task: str, metric: str, answer: Assessment, **numbers: Any
) -> Check:
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
