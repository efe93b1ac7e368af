"""Warns of an evaluation that its gate will not be able to decide on, before a GPU is paid for it.

How many documents there will be follows from a past evaluation of the same tasks, or at most from the spec's limit. How
often two models differ is not known yet and is assumed; ``airflow lmeval power`` takes it from two past evaluations.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

from airflow_provider_lmeval.catalog import catalog
from airflow_provider_lmeval.errors import MetricNotFoundError, UnknownTaskError
from airflow_provider_lmeval.gate.assess import margin
from airflow_provider_lmeval.gate.planning import DISCORDANCE, Known, Plan, plan
from airflow_provider_lmeval.gate.rules import Condition, Rule, RuleSet
from airflow_provider_lmeval.gate.rulesets import NO_REGRESSION
from airflow_provider_lmeval.gate.stats.levels import POWER
from airflow_provider_lmeval.gate.targets import leaves, score_name, targets
from airflow_provider_lmeval.plan.suites import referenced, split_tasks
from airflow_provider_lmeval.results.model import EvalResult
from airflow_provider_lmeval.spec import EvalSpec

DROPS = (Condition.MAX_DROP, Condition.MAX_RELATIVE_DROP)


def preflight(spec: EvalSpec, rules: RuleSet | None = None, past: EvalResult | None = None) -> list[str]:
    """Return a warning for each rule that an evaluation is too small for; rules that only inform are left out.

    :param rules: the gate's; default: ``no_regression``.
    :param past: an evaluation of the same tasks, such as the baseline's.
    """
    chosen = rules or RuleSet.parse(NO_REGRESSION)
    sizes = _sizes(spec, past)
    return list(
        dict.fromkeys(
            _warning(rule, found, allowed, exact=past is not None)
            for rule in chosen.rules
            if rule.tier != "info"
            for names, allowed in _asked(rule, sizes, past)
            if (found := _plan(names, sizes, allowed, rule.confidence or chosen.confidence)).chance < POWER
        )
    )


def _sizes(spec: EvalSpec, past: EvalResult | None) -> dict[str, int]:
    """Return how many documents each task will have, at most; empty where nothing is known."""
    try:
        named = [task.name for task in catalog().expand(referenced(*split_tasks(spec)))]
    except UnknownTaskError:
        named = []
    if past is None:
        most = spec.limit if isinstance(spec.limit, int) else None
        unitxt = [recipe.task_name for recipe in spec.unitxt]
        return dict.fromkeys([*named, *unitxt], most) if most else {}
    known = {
        name: entry.n_samples.original for name, entry in past.tasks.items() if entry.kind == "task" and entry.n_samples
    }
    return {name: _restricted(spec, name, n) for name, n in known.items() if n and (not named or name in named)}


def _restricted(spec: EvalSpec, task: str, n: int) -> int:
    """Return how many of a task's documents are evaluated."""
    if spec.samples is not None and task in spec.samples:
        return len(spec.samples[task])
    if spec.limit is None:
        return n
    return min(n, spec.limit if isinstance(spec.limit, int) else math.ceil(n * spec.limit))


def _asked(rule: Rule, sizes: Mapping[str, int], past: EvalResult | None) -> Iterator[tuple[list[str], float]]:
    """Yield what a rule compares: tasks whose documents count together, and the damage allowed to them."""
    matched = targets(rule.task, past) if past else [name for name in sizes if fnmatchcase(name, rule.task)]
    groups = [matched] if rule.pool else [[name] for name in matched]
    for names in groups:
        known = [leaf for leaf in (leaves(names, past) if past else names) if leaf in sizes]
        for condition in DROPS:
            if known and condition in rule.conditions:
                allowed = _allowed(rule, condition, names[0], past)
                if allowed:
                    yield known, allowed


def _allowed(rule: Rule, condition: Condition, task: str, past: EvalResult | None) -> float | None:
    """Return the margin in the metric's own unit; None where it depends on a score that nobody knows."""
    threshold = rule.conditions[condition]
    if condition is Condition.MAX_DROP:
        return threshold
    try:
        score = past.metric(task, score_name(task, rule.metric, past)).value if past and not rule.pool else None
    except MetricNotFoundError:
        score = None
    return None if score is None else margin(condition, threshold, score, rule.relative_guard_below)


def _plan(names: list[str], sizes: Mapping[str, int], allowed: float, confidence: float) -> Plan:
    n = sum(sizes[name] for name in names)
    (found,) = plan({", ".join(names): Known(n, DISCORDANCE)}, allowed, confidence=confidence)
    return found


def _warning(rule: Rule, found: Plan, allowed: float, *, exact: bool) -> str:
    most = "" if exact else "at most "
    what = "" if rule.pool else f" {found.name}"
    remedy = "no reachable number of documents would do" if found.needed is None else f"about {found.needed:,} would do"
    return (
        f"rule {rule.label!r}{what}: {most}{found.n:,} documents, on which a model without damage is proved less than "
        f"{allowed:.4g} worse in {100 * found.chance:.0f} % of cases and the smallest drop to be seen is "
        f"{found.detectable:.2g}, if models disagree on {100 * DISCORDANCE:.0f} % of them; {remedy}"
    )
