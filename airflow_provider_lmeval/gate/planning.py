"""What a suite can decide, before a GPU is paid for it.

A comparison's sharpness depends on two numbers: how many documents there are, and how much the two models' scores of a
document differ. The first follows from the spec, the second from any two past evaluations of such models. Without those it
has to be assumed; :data:`DISCORDANCE` is no measurement.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from airflow_provider_lmeval.errors import GateError
from airflow_provider_lmeval.gate.decide import decide
from airflow_provider_lmeval.gate.evidence import ScoreTables
from airflow_provider_lmeval.gate.rules import RuleSet
from airflow_provider_lmeval.gate.stats.levels import CONFIDENCE, POWER
from airflow_provider_lmeval.gate.stats.power import chance, detectable, required_n
from airflow_provider_lmeval.gate.verdict import Check
from airflow_provider_lmeval.results.model import EvalResult

SUITE = "all together"
DISCORDANCE = 0.1
"""Share of documents on which two models disagree, where nothing is known."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a task before it is evaluated.

    :param n: documents. :param variance: of one document's difference between the two models; of right-or-wrong answers the
        share on which they disagree.
    """

    n: int
    variance: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What a task or the whole suite can decide.

    :param name: the task, or :data:`SUITE`. :param n: documents. :param variance: as in :class:`Known`.
    :param detectable: smallest true drop that is seen as one with the power asked for.
    :param chance: probability that a model without damage passes.
    :param needed: documents with which it passes with the power asked for; None where no reachable number does.
    """

    name: str
    n: int
    variance: float
    detectable: float
    chance: float
    needed: int | None


def plan(
    tasks: Mapping[str, Known],
    margin: float,
    *,
    suite: Known | None = None,
    confidence: float = CONFIDENCE,
    power: float = POWER,
) -> list[Plan]:
    """Return what each task and, last, all of them together can decide.

    :param margin: most damage to be allowed, in the metric's own unit.
    :param suite: what is known of all documents together; None to take them for independent.
    :raises GateError: no task, no document, or a number that cannot be.
    """
    if not tasks or any(each.n < 1 or each.variance < 0 for each in tasks.values()) or margin <= 0:
        raise GateError("a plan needs tasks with documents, a discordance that is not negative and a margin above 0")
    n = sum(each.n for each in tasks.values())
    independent = sum(each.n * each.variance for each in tasks.values()) / n
    everything = {**tasks, SUITE: suite or Known(n, independent)} if len(tasks) > 1 else tasks
    return [_plan(name, each, margin, confidence, power) for name, each in everything.items()]


def _plan(name: str, known: Known, margin: float, confidence: float, power: float) -> Plan:
    error = (known.variance / known.n) ** 0.5
    return Plan(
        name=name,
        n=known.n,
        variance=known.variance,
        detectable=detectable(error, confidence, power),
        chance=chance(error, margin, confidence),
        needed=required_n(known.n, error, margin, confidence, power),
    )


def limit_for(tasks: Mapping[str, Known], needed: int | None) -> int | None:
    """Return the smallest ``limit`` per task with which the tasks together have enough documents; None if none does."""
    sizes = sorted(each.n for each in tasks.values())
    if needed is None or sum(sizes) < needed:
        return None
    for at, size in enumerate(sizes):
        rest = len(sizes) - at
        if needed <= size * rest:
            return -(-needed // rest)
        needed -= size
    return None


def measured(
    candidate: EvalResult, baseline: EvalResult, scores: ScoreTables, confidence: float = CONFIDENCE
) -> tuple[dict[str, Known], Known | None]:
    """Return what two past evaluations say about their tasks, and about all of them together.

    :raises GateError: they cannot be compared, or have no per-document scores.
    """
    one = {"task": "*", "metric": "primary", "max_drop": 0.01, "allow_limit": True}
    rules = RuleSet.parse({"rules": [one | {"tier": "info"}, one | {"pool": True}], "confidence": confidence})
    verdict = decide(rules, candidate, baseline, scores)
    leaves = {name for name, entry in candidate.tasks.items() if entry.kind == "task"}
    tasks = {check.task: known for check in verdict.checks if check.task in leaves and (known := _known(check))}
    if not tasks:
        raise GateError("the two evaluations say nothing about a third: " + "; ".join(verdict.reasons[:3]))
    return tasks, next((_known(check) for check in verdict.checks if check.task == "*"), None)


def _known(check: Check) -> Known | None:
    found = check.statistics
    if found is None or found.stderr is None or not found.paired:
        return None
    return Known(found.n, found.stderr**2 * found.n)
