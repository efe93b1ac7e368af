"""Turns one rule into checks: examine the evidence, ask the statistics, and have settled what they say.

What stands in the way of a check is found here, case by case; :mod:`.settle` then takes all comparisons together.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

from airflow_provider_lmeval.gate import samples
from airflow_provider_lmeval.gate.assess import (
    Assessment,
    Bound,
    Comparison,
    as_mean,
    bound,
    margin,
    off_scale,
)
from airflow_provider_lmeval.gate.cases import Case, Examined, cases, examine, not_evaluated
from airflow_provider_lmeval.gate.evidence import Evidence
from airflow_provider_lmeval.gate.rules import Condition, Rule, RuleSet
from airflow_provider_lmeval.gate.samples import Member
from airflow_provider_lmeval.gate.settle import Open, checked, evidence_of, noisy, settle
from airflow_provider_lmeval.gate.stats.noninferiority import Answer, judge, judge_unpaired
from airflow_provider_lmeval.gate.verdict import Check, Difference, Finding, Outcome
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


def apply(rule: Rule, rules: RuleSet, evidence: Evidence) -> Seen:
    """Return what a rule comes to on the evidence."""
    found = cases(rule, rules, evidence)
    if not found:
        message = f"rule {rule.label!r} matches no evaluated task: {suggest(rule.task, evidence.candidate.tasks)}"
        return Seen((checked(rule, None, rule.task, rule.metric, Assessment(Outcome.ERROR, message)),))
    seen = Seen(findings=tuple(not_evaluated(rule, evidence)))
    families: defaultdict[Condition, list[Open]] = defaultdict(list)
    for case in found:
        examined = examine(case)
        outcomes = [judge_condition(examined, condition) for condition in rule.conditions]
        checks = tuple(each for each in outcomes if isinstance(each, Check))
        seen += Seen(checks, (*examined.own, *examined.shared), tuple(examined.differences))
        for each in outcomes:
            if isinstance(each, Open):
                families[each.comparison.condition].append(each)
    within_noise = tuple(noise for family in families.values() for each in family if (noise := noisy(each)))
    return seen + Seen(tuple(check for family in families.values() for check in settle(family)), within_noise)


def judge_condition(examined: Examined, condition: Condition) -> Check | Open:
    """Return a condition's check, or the comparison that becomes one."""
    case = examined.case
    if stops := examined.stops(compares=condition.compares):
        message = f"{case.name} {case.rule.metric}: {condition} was not checked: {'; '.join(stops)}"
        blocked_by = tuple(dict.fromkeys(stops.values()))
        error = Assessment(Outcome.ERROR, message)
        return checked(case.rule, condition, case.name, case.rule.metric, error, blocked_by=blocked_by)
    if not condition.compares:
        return _bounded(case, condition)
    if case.evidence.baseline is None:
        policy = {"warn": Outcome.WARN, "ask": Outcome.INCONCLUSIVE, "block": Outcome.ERROR}
        message = (
            f"{case.name} {case.rule.metric}: {condition} could not be checked: there is no baseline to compare with"
        )
        absent = Assessment(policy[case.rules.on_missing_baseline], message)
        return checked(case.rule, condition, case.name, case.metric(case.name), absent)
    return _pooled(examined, condition) if case.rule.pool else _single(examined, condition)


def _bounded(case: Case, condition: Condition) -> Check:
    key = case.metric(case.name)
    metric = case.evidence.candidate.metric(case.name, key)
    asked = Bound(condition, case.rule.conditions[condition], _what(case), metric, case.rule.confidence)
    answer = _unanswerable(case, condition, metric) or bound(asked)
    return checked(case.rule, condition, case.name, key, answer, **evidence_of(case, metric))


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
        return checked(
            case.rule, condition, case.name, key, Assessment(Outcome.ERROR, message), **evidence_of(case, ours)
        )
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
        return checked(case.rule, condition, case.name, case.rule.metric, Assessment(Outcome.ERROR, message))
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
    if unanswerable := _unanswerable(case, condition, ours, theirs):
        key, numbers = case.metric(case.name), evidence_of(case, ours, theirs)
        return checked(case.rule, condition, case.name, key, unanswerable, **numbers)
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


def _unanswerable(case: Case, condition: Condition, *scores: Metric) -> Assessment | None:
    """Return why the rule cannot be put to scores: its threshold is in percent, or the documents are too few for it."""
    found = off_scale(condition, case.rule.conditions[condition], *scores, *case.parts)
    if found is not None:
        return replace(found, message=f"{case.name} {case.rule.metric}: {found.message}")
    wanted, n = case.rule.min_samples, min(score.n for score in scores)
    if not wanted or n >= wanted:
        return None
    message = f"{case.name} {case.rule.metric}: n={n} is too few for {condition}, the rule wants {wanted}"
    return Assessment(Outcome.INCONCLUSIVE, message)


def _what(case: Case) -> str:
    if case.rule.pool:
        return f"the pool of {len(case.tasks)} task{'s' if len(case.tasks) > 1 else ''} at"
    return f"{case.name} {case.metric(case.name).removesuffix(',none')}"
