"""The gate itself: rules and results in, a verdict out, and nothing else touched.

First the evidence is examined, then whether the two sides may be compared, and only then are scores read. Whatever
stops one check is an ERROR of that check and so of the verdict; there is no path from missing evidence to PASS.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import reduce
from typing import Any, Literal, TypeVar

from airflow_provider_lmeval.gate.assess import Assessment, Comparison, assess
from airflow_provider_lmeval.gate.compare import compare
from airflow_provider_lmeval.gate.health import check_pair, check_run, check_task
from airflow_provider_lmeval.gate.rules import Condition, Rule, RuleSet
from airflow_provider_lmeval.gate.verdict import Check, Difference, Finding, Outcome, Subject, Verdict, counted, explain
from airflow_provider_lmeval.results.model import EvalResult, Metric, Part
from airflow_provider_lmeval.results.wording import suggest

Action = Literal["allow", "ask", "block"]
AnyPart = TypeVar("AnyPart", bound=Part)


def decide(rules: RuleSet, candidate: EvalResult, baseline: EvalResult | None = None) -> Verdict:
    """Return whether the candidate fulfils the rules.

    :param rules: what it must fulfil. Their order does not matter.
    :param candidate: the evidence on the model in question.
    :param baseline: the evidence on the model to compare with; looked at only where a rule compares.
    :returns: PASS only if every finding, comparison and blocking check is in order.
    """
    findings = [*check_run(candidate, "candidate")]
    if baseline and any(rule.compares for rule in rules.rules):
        findings += [*check_run(baseline, "baseline"), *check_pair(candidate, baseline)]
    seen = _Seen((), tuple(findings), ())
    if not _stops(findings):
        for rule in rules.rules:
            seen += _apply(rule, rules, candidate, baseline)
    return _conclude(rules, seen, candidate, baseline)


def targets(pattern: str, result: EvalResult) -> list[str]:
    """Return the tasks and groups that a rule is about, in the result's order.

    A group that has no scores of its own stands for its tasks.

    :param pattern: a name, or a wildcard (``*``, ``?``, ``[…]``).
    """
    named = [pattern] if pattern in result.tasks else [name for name in result.tasks if fnmatchcase(name, pattern)]
    found: dict[str, None] = {}
    for name in named:
        entry = result.tasks[name]
        found |= dict.fromkeys(result.leaves(name) if entry.kind == "group" and not entry.metrics else [name])
    return list(found)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was found so far."""

    checks: tuple[Check, ...]
    findings: tuple[Finding, ...]
    differences: tuple[Difference, ...]

    def __add__(self, other: _Seen) -> _Seen:
        return _Seen(self.checks + other.checks, self.findings + other.findings, self.differences + other.differences)


@dataclass(frozen=True, slots=True)
class _Case:
    """One rule on one task."""

    rules: RuleSet
    rule: Rule
    task: str
    candidate: EvalResult
    baseline: EvalResult | None

    @property
    def key(self) -> str:
        """The metric with its filter, the same on both sides."""
        return self.candidate.metric_key(self.task, self.rule.metric)


def _apply(rule: Rule, rules: RuleSet, candidate: EvalResult, baseline: EvalResult | None) -> _Seen:
    cases = [_Case(rules, rule, task, candidate, baseline) for task in targets(rule.task, candidate)]
    if not cases:
        message = f"rule {rule.label!r} matches no evaluated task: {suggest(rule.task, candidate.tasks)}"
        return _Seen((_check(rule, None, rule.task, rule.metric, Assessment(Outcome.ERROR, message)),), (), ())
    return reduce(_Seen.__add__, map(_examine, cases))


def _examine(case: _Case) -> _Seen:
    """Examine the evidence, then check each of the rule's conditions that it supports."""
    metric, limit = case.rule.metric, case.rule.allow_limit
    own = [*check_task(case.candidate, "candidate", case.task, metric, allow_limit=limit)]
    stops = _stops(own)
    theirs, differences = _examine_baseline(case) if not stops else ([], [])
    more = _stops(theirs) | {each.message: each.field for each in differences if not each.allowed}
    checks = [
        _blocked(case, each, found) if (found := stops | more if each.compares else stops) else _judge(case, each)
        for each in case.rule.conditions
    ]
    return _Seen(tuple(checks), (*own, *theirs), tuple(differences))


def _examine_baseline(case: _Case) -> tuple[list[Finding], list[Difference]]:
    """Examine the other side's evidence, and whether it is of the same kind."""
    if case.baseline is None or not case.rule.compares:
        return [], []
    found = [*check_task(case.baseline, "baseline", case.task, case.key, allow_limit=case.rule.allow_limit)]
    if _stops(found):
        return found, []
    leaves = dict.fromkeys((*case.candidate.leaves(case.task), *case.baseline.leaves(case.task)))
    return found, compare(case.candidate.fingerprint, case.baseline.fingerprint, leaves)


def _stops(findings: Iterable[Finding]) -> dict[str, str]:
    """Return the messages, with their ids, of findings that forbid reading a score."""
    return {finding.message: finding.id for finding in findings if finding.severity is Outcome.ERROR}


def _blocked(case: _Case, condition: Condition, stops: dict[str, str]) -> Check:
    """Return the ERROR of a check that the evidence does not allow."""
    message = f"{case.task} {case.rule.metric}: {condition} was not checked: {'; '.join(stops)}"
    blocked_by = tuple(dict.fromkeys(stops.values()))
    error = Assessment(Outcome.ERROR, message)
    return _check(case.rule, condition, case.task, case.rule.metric, error, blocked_by=blocked_by)


def _judge(case: _Case, condition: Condition) -> Check:
    """Check one condition on sound evidence."""
    metric = case.candidate.metric(case.task, case.key)
    reference = case.baseline.metric(case.task, case.key) if case.baseline and condition.compares else None
    return _check(
        case.rule,
        condition,
        case.task,
        case.key,
        _answer(case, condition, metric, reference),
        value=metric.value,
        stderr=metric.stderr,
        n=metric.n,
        baseline=reference.value if reference else None,
    )


def _answer(case: _Case, condition: Condition, metric: Metric, reference: Metric | None) -> Assessment:
    rule = case.rule
    if condition.compares and reference is None:
        policy = {"warn": Outcome.WARN, "ask": Outcome.INCONCLUSIVE, "block": Outcome.ERROR}
        message = f"{case.task} {rule.metric}: {condition} could not be checked: there is no baseline to compare with"
        return Assessment(policy[case.rules.on_missing_baseline], message)
    n = min(metric.n, reference.n) if reference else metric.n
    if rule.min_samples and n < rule.min_samples:
        message = f"{case.task} {rule.metric}: n={n} is too few for {condition}, the rule wants {rule.min_samples}"
        return Assessment(Outcome.INCONCLUSIVE, message)
    higher = rule.direction == "higher" if rule.direction else metric.higher_is_better
    return assess(Comparison(condition, rule.conditions[condition], case.task, case.key, metric, reference, higher))


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


def _conclude(rules: RuleSet, seen: _Seen, candidate: EvalResult, baseline: EvalResult | None) -> Verdict:
    findings, differences = _unique(seen.findings), _unique(seen.differences)
    checks = sorted(_unique(seen.checks), key=lambda check: -check.outcome.rank)
    outcomes = [*(finding.severity for finding in findings), *(check.outcome for check in checks)]
    return Verdict(
        outcome=max(outcomes, default=Outcome.ERROR),
        action=_action(rules, outcomes),
        candidate=Subject.of(candidate),
        baseline=Subject.of(baseline) if baseline else None,
        reasons=explain(checks, findings, differences),
        checks=tuple(checks),
        findings=findings,
        differences=differences,
    )


def _action(rules: RuleSet, outcomes: Iterable[Outcome]) -> Action:
    """Return the strictest of what the policies say to each outcome: a FAIL blocks beside an ERROR that would ask."""
    policy: dict[Outcome, Action] = {
        Outcome.PASS: "allow",
        Outcome.WARN: "allow",
        Outcome.INCONCLUSIVE: "allow" if rules.on_inconclusive == "warn" else rules.on_inconclusive,
        Outcome.FAIL: "block",
        Outcome.ERROR: rules.on_error,
    }
    order: tuple[Action, ...] = ("allow", "ask", "block")
    return max((policy[outcome] for outcome in outcomes), key=order.index, default="block")


def _unique(parts: Iterable[AnyPart]) -> tuple[AnyPart, ...]:
    """Drop repetitions and sort by content, so that the order of rules leaves no trace."""
    return tuple(dict(sorted((part.model_dump_json(), part) for part in parts)).values())
