"""Spells a rule out: on which score of which tasks it bears, and whether the evidence for it may be read.

A rule with a wildcard is one case per task; a pool is one case over all of them. Either way a case ends in findings and
differences, and in members: tasks whose documents can be compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from airflow_provider_lmeval.errors import MetricNotFoundError
from airflow_provider_lmeval.gate.compare import compare, compare_models
from airflow_provider_lmeval.gate.evidence import Evidence
from airflow_provider_lmeval.gate.health import check_task
from airflow_provider_lmeval.gate.rules import Rule, RuleSet
from airflow_provider_lmeval.gate.samples import Member
from airflow_provider_lmeval.gate.targets import leaves, score_name, targets
from airflow_provider_lmeval.gate.verdict import Difference, Finding, Outcome
from airflow_provider_lmeval.results.model import EvalResult, Metric


@dataclass(frozen=True, slots=True)
class Case:
    """One rule on one task, group or pool.

    :param tasks: the task or group; of a pool all its tasks.
    """

    rules: RuleSet
    rule: Rule
    tasks: tuple[str, ...]
    evidence: Evidence

    @property
    def name(self) -> str:
        """What the checks call it."""
        return self.rule.task if self.rule.pool else self.tasks[0]

    @property
    def confidence(self) -> float:
        """How sure its decisions must be."""
        return self.rule.confidence or self.rules.confidence

    @property
    def compares(self) -> bool:
        """Whether there is something to compare and something to compare it with."""
        return self.rule.compares and self.evidence.baseline is not None

    @property
    def parts(self) -> list[Metric]:
        """The candidate's scores of the single tasks that it is made of."""
        result = self.evidence.candidate
        found = [
            result.tasks[task].metrics.get(self.metric(task))
            for task in leaves(self.tasks, result)
            if task in result.tasks
        ]
        return [score for score in found if score is not None]

    def metric(self, task: str) -> str:
        """Return which score of a task it bears on; as the rule has it, where there is no such score."""
        try:
            result = self.evidence.candidate
            return result.metric_key(task, score_name(task, self.rule.metric, result))
        except MetricNotFoundError:
            return self.rule.metric


@dataclass(slots=True)
class Examined:
    """A case whose evidence was looked at.

    :param own: findings on the candidate's evidence; ``shared`` on the baseline's, or on both.
    :param differences: between the two fingerprints. :param members: tasks to compare, where that is possible.
    """

    case: Case
    own: list[Finding] = field(default_factory=list)
    shared: list[Finding] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    members: tuple[Member, ...] = ()

    def stops(self, *, compares: bool) -> dict[str, str]:
        """Return the messages, with their ids, that forbid reading a score.

        :param compares: the baseline's is to be read too.
        """
        found = stops(self.own)
        if compares:
            found |= stops(self.shared) | {each.message: each.field for each in self.differences if not each.allowed}
        return found


def stops(findings: Iterable[Finding]) -> dict[str, str]:
    """Return the messages, with their ids, of findings that forbid reading a score."""
    return {finding.message: finding.id for finding in findings if finding.severity is Outcome.ERROR}


def cases(rule: Rule, rules: RuleSet, evidence: Evidence) -> list[Case]:
    """Return the cases of a rule; none if it matches no evaluated task."""
    names = targets(rule.task, evidence.candidate)
    if rule.pool and names:
        return [Case(rules, rule, tuple(leaves(names, evidence.candidate)), evidence)]
    return [Case(rules, rule, (name,), evidence) for name in names]


def not_evaluated(rule: Rule, evidence: Evidence) -> Iterable[Finding]:
    """Yield that a wildcard finds tasks in the baseline that the candidate was not evaluated on.

    Whoever drops the task that got worse must not get the same verdict as a model that kept it.
    """
    if evidence.baseline is None or not rule.compares or rule.task in evidence.candidate.tasks:
        return
    theirs = leaves(targets(rule.task, evidence.baseline), evidence.baseline)
    gone = [task for task in theirs if task not in evidence.candidate.tasks]
    if gone:
        message = (
            f"only the baseline was evaluated on {', '.join(gone)}: the verdict says nothing about "
            f"{'it' if len(gone) == 1 else 'them'}; evaluate the candidate on the same tasks"
        )
        yield Finding(id="task-not-evaluated", severity=Outcome.WARN, subject="candidate", message=message)


def examine(case: Case) -> Examined:
    """Look at the evidence for a case, as far as it goes without an error."""
    found = Examined(case)
    for task in case.tasks:
        found.own += _check(case, "candidate", case.evidence.candidate, task)
    if stops(found.own):
        return found
    for task in leaves(case.tasks, case.evidence.candidate):
        found.own += case.evidence.alone(task, case.metric(task))
    if case.compares and case.evidence.baseline is not None:
        _examine_baseline(found, case.evidence.baseline)
    return found


def _examine_baseline(found: Examined, baseline: EvalResult) -> None:
    case, candidate = found.case, found.case.evidence.candidate
    for task in case.tasks:
        found.shared += _check(case, "baseline", baseline, task)
    if stops(found.shared):
        return
    tasks = dict.fromkeys([*leaves(case.tasks, candidate), *leaves(case.tasks, baseline)])
    found.differences += compare(candidate.fingerprint, baseline.fingerprint, tasks)
    found.differences += compare_models(candidate.model, baseline.model)
    if not found.stops(compares=True):
        found.members = tuple(_members(case, baseline, list(tasks)))
        found.shared += [finding for each in found.members for finding in each.pairs.findings]
        found.shared += _left_out(case, list(tasks), found.members)


def _check(case: Case, side: str, result: EvalResult, task: str) -> list[Finding]:
    limit, failures = case.rule.allow_limit, case.rule.max_error_rate
    return [*check_task(result, side, task, case.metric(task), allow_limit=limit, max_error_rate=failures)]


def _members(case: Case, baseline: EvalResult, tasks: Sequence[str]) -> Iterable[Member]:
    """Yield the tasks whose scores can be compared: those that both sides report, and of a pool those that can be pooled."""
    for task in tasks:
        key = case.metric(task) if case.rule.pool else case.metric(case.name)
        ours, theirs = (
            side.tasks[task].metrics.get(key) if task in side.tasks else None
            for side in (case.evidence.candidate, baseline)
        )
        if ours is None or theirs is None:
            continue
        higher = case.rule.direction == "higher" if case.rule.direction else ours.higher_is_better
        if higher is None or ours.value is None or theirs.value is None:
            continue
        pairs = case.evidence.pairs(task, key, case.rule.max_error_rate)
        member = Member(task, key, higher, ours, theirs, pairs)
        if member.poolable or not case.rule.pool:
            yield member


def _left_out(case: Case, tasks: Sequence[str], members: Sequence[Member]) -> Iterable[Finding]:
    """Yield that tasks are not in the pool: nobody should take it for all of them."""
    out = [task for task in tasks if task not in {each.task for each in members}]
    if case.rule.pool and out:
        message = (
            f"{', '.join(out)}: not in the pool {case.name!r}, whose documents must score between 0 and 1 in a known "
            "direction; give these tasks rules of their own"
        )
        yield Finding(id="not-pooled", severity=Outcome.WARN, subject=case.name, message=message)
