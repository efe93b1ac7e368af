"""The A/A test: a model against itself, to see how much of a verdict would be chance.

Two evaluations of one model, varied in what should not matter (few-shot examples, batch size), give every score's noise.
From the same documents gates are simulated in which nothing is wrong with the candidate: each draws the documents anew and
decides by lot, task by task, which of the two evaluations is the candidate's; the lot is the task's, because few-shot
examples move all of its documents together. Sources: Kohavi, Tang & Xu 2020, "Trustworthy Online Controlled Experiments",
chapter 19 (A/A tests by re-randomising one data set); Efron & Tibshirani 1993, "An Introduction to the Bootstrap",
chapters 6 and 15. Documents' own chance is in the two evaluations and again in the drawing, so the rates are rather too
high than too low. Seeded.

Floors, ceilings and required improvements are left out: they block the same model for a reason.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from airflow_provider_lmeval.errors import GateError
from airflow_provider_lmeval.gate import samples
from airflow_provider_lmeval.gate.calibration import Calibration
from airflow_provider_lmeval.gate.cases import Examined, cases, examine
from airflow_provider_lmeval.gate.compare import compare, compare_models
from airflow_provider_lmeval.gate.decide import action
from airflow_provider_lmeval.gate.evidence import Evidence, ScoreTables
from airflow_provider_lmeval.gate.examine import judge_condition
from airflow_provider_lmeval.gate.noise import Noise, measure
from airflow_provider_lmeval.gate.rules import Condition, Rule, RuleSet
from airflow_provider_lmeval.gate.samples import Member
from airflow_provider_lmeval.gate.settle import Open
from airflow_provider_lmeval.gate.stats.levels import level_of
from airflow_provider_lmeval.gate.stats.multiplicity import holm
from airflow_provider_lmeval.gate.stats.noninferiority import Answer, Sample, judge
from airflow_provider_lmeval.gate.suspicion import different_models
from airflow_provider_lmeval.gate.verdict import Difference, Outcome
from airflow_provider_lmeval.results.model import EvalResult, Fingerprint

GATES = 400
"""Simulated gates: a rate of 5 % is known to about one percentage point."""
MOST_GATES = 1000
SEED = 20_260_701
VARIED = frozenset({"fewshot_seed", "prompts"})
"""What comparable results must share, and the two evaluations of an A/A test need not."""
DROPS = (Condition.MAX_DROP, Condition.MAX_RELATIVE_DROP)


def calibrate(
    rules: RuleSet,
    first: EvalResult,
    second: EvalResult,
    scores: ScoreTables,
    *,
    run_id: str,
    at: float,
    gates: int = GATES,
) -> Calibration:
    """Return what two evaluations of one model show of its noise, and how often a gate would block it against itself.

    :param rules: the gate's. :param first: an evaluation. :param second: another one, of the same model.
    :param scores: returns score tables, those of ``first`` as the baseline's and of ``second`` as the candidate's.
    :param run_id: the baseline's run. :param at: POSIX time, seconds. :param gates: to simulate, at most 1,000.
    :raises GateError: they are not two evaluations of one model that can be compared document by document.
    """
    if not 1 <= gates <= MOST_GATES:
        raise GateError(f"gates: {gates} must be between 1 and {MOST_GATES:,}")
    differences = _checked(first, second)
    evidence = Evidence(_aligned(second, first), first, scores)
    noise = _noise(rules, evidence)
    asked, left_out = _asked(rules, evidence)
    actions = _simulated(rules, asked, gates) if asked else Counter[str]()
    simulated = sum(actions.values())
    return Calibration(
        run_id=run_id,
        identity=first.model.identity,
        kind="varied"
        if any(each.discordance for table in noise.values() for each in table.values())
        else "deterministic",
        at=at,
        confidence=rules.confidence,
        gates=simulated,
        false_blocks=actions["block"],
        asks=actions["ask"],
        false_block_rate=actions["block"] / simulated if simulated else None,
        noise=noise,
        runs=(first.run_id, second.run_id),
        settings={each.field: [each.baseline, each.candidate] for each in differences if each.task is None},
        rules=rules.to_data(),
        left_out=tuple(left_out),
    )


def _checked(first: EvalResult, second: EvalResult) -> list[Difference]:
    """Return how the two evaluations differ.

    :raises GateError: in more than they may.
    """
    for result in (first, second):
        if not result.succeeded:
            raise GateError(f"run {result.run_id} ended as {result.reason}; evaluate the baseline again")
    if first.run_id == second.run_id:
        raise GateError(f"both evaluations are run {first.run_id}; the baseline has to be evaluated twice")
    if different_models(second, first):
        raise GateError(f"{first.run_id} and {second.run_id} are of different models; evaluate the baseline twice")
    tasks = [name for name, entry in first.tasks.items() if entry.kind == "task" and name in second.tasks]
    found = [*compare(second.fingerprint, first.fingerprint, tasks), *compare_models(second.model, first.model)]
    if wrong := [each.message for each in found if not each.allowed and each.field not in VARIED]:
        raise GateError("the two evaluations measured different things: " + "; ".join(wrong[:5]))
    return found


def _aligned(second: EvalResult, first: EvalResult) -> EvalResult:
    """Return the second evaluation as if it had had the first one's few-shot examples, so that a gate compares them."""
    theirs, ours = first.fingerprint, second.fingerprint
    shared = {name: theirs.tasks[name] for name in ours.tasks if name in theirs.tasks}
    tasks = {
        name: task.model_copy(update={"prompts": shared[name].prompts}) if name in shared else task
        for name, task in ours.tasks.items()
    }
    aligned: Fingerprint = ours.model_copy(update={"tasks": tasks, "seeds": theirs.seeds})
    return second.model_copy(update={"fingerprint": aligned})


def _noise(rules: RuleSet, evidence: Evidence) -> dict[str, dict[str, Noise]]:
    """Return the noise of every score that follows from its documents.

    :raises GateError: none does.
    """
    table: defaultdict[str, dict[str, Noise]] = defaultdict(dict)
    for name, entry in evidence.candidate.tasks.items():
        for key, metric in entry.metrics.items():
            rule = {"task": name, "metric": key, "max_drop": 0.5, "allow_limit": True, "max_error_rate": 0.99}
            direction = {"direction": "higher"} if metric.higher_is_better is None else {}
            for opened in _opened(Rule.model_validate(rule | direction), rules, evidence):
                if isinstance(opened, Open) and opened.members:
                    table[name][key] = measure(_sample(opened, _damages(opened)).damage, rules.confidence)
    if not table:
        raise GateError("no score of the two evaluations can be compared document by document; keep the score tables")
    return dict(table)


def _opened(rule: Rule, rules: RuleSet, evidence: Evidence) -> Iterator[Open | str]:
    """Yield a rule's comparisons, or why one cannot be made."""
    for case in cases(rule, rules, evidence):
        examined: Examined = examine(case)
        for condition in (each for each in DROPS if each in rule.conditions):
            found = judge_condition(examined, condition)
            yield found if isinstance(found, Open) else found.message


def _asked(rules: RuleSet, evidence: Evidence) -> tuple[list[list[Open]], list[str]]:
    """Return the families of comparisons that can block, and what of them cannot be simulated.

    :raises GateError: a rule's evidence is broken, or it matches nothing.
    """
    families: defaultdict[tuple[int, Condition], list[Open]] = defaultdict(list)
    left_out = []
    for at, rule in enumerate(rules.rules):
        if rule.tier != "block" or not any(each in rule.conditions for each in DROPS):
            continue
        found = list(_opened(rule, rules, evidence))
        if not found:
            raise GateError(f"rule {rule.label!r} matches no evaluated task")
        for each in found:
            if isinstance(each, Open) and each.members:
                families[at, each.comparison.condition].append(each)
            else:
                left_out.append(each if isinstance(each, str) else f"{each.case.name}: has no per-document scores")
    return list(families.values()), left_out


def _simulated(rules: RuleSet, families: Sequence[Sequence[Open]], gates: int) -> Counter[str]:
    """Return how many simulated gates allow, ask and block."""
    import numpy as np

    known = {id(opened): _damages(opened) for family in families for opened in family}
    if not any(damage.any() for damages in known.values() for damage in damages):
        answers = [[_answer(opened, known[id(opened)]) for opened in family] for family in families]
        return Counter({action(rules, _outcomes(families, answers)): gates})
    counted: Counter[str] = Counter()
    for number in range(gates):
        draw = _Draw(np.random.Generator(np.random.PCG64([SEED, number])))
        answers = [
            [
                _answer(opened, [draw(*each) for each in zip(opened.members, known[id(opened)], strict=True)])
                for opened in family
            ]
            for family in families
        ]
        counted[action(rules, _outcomes(families, answers))] += 1
    return counted


class _Draw:
    """Draws documents of each task, the same ones for all of its scores, and which evaluation is the candidate's."""

    def __init__(self, rng: Any) -> None:
        self._rng = rng
        self._drawn: dict[tuple[str, int], tuple[Any, int]] = {}

    def __call__(self, member: Member, damage: Any) -> Any:
        key = member.task, len(damage)
        if key not in self._drawn:
            self._drawn[key] = self._rng.integers(0, len(damage), len(damage)), 1 - 2 * int(self._rng.integers(0, 2))
        rows, sign = self._drawn[key]
        return sign * damage[rows]


def _damages(opened: Open) -> list[Any]:
    return [samples.damage_of(each) for each in opened.members]


def _sample(opened: Open, damages: Sequence[Any]) -> Sample:
    return samples.joined(opened.members, damages, opened.weights, clustered=opened.case.rule.clustered)


def _answer(opened: Open, damages: Sequence[Any]) -> Answer:
    return judge(_sample(opened, damages), opened.comparison.margin, opened.comparison.confidence)


def _outcomes(families: Sequence[Sequence[Open]], answers: Sequence[Sequence[Answer]]) -> Iterable[Outcome]:
    """Yield what each comparison comes to, as :mod:`.examine` settles it."""
    for family, found in zip(families, answers, strict=True):
        beyond = holm([each.p_beyond for each in found])
        for opened, answer, p_beyond in zip(family, found, beyond, strict=True):
            level = level_of(opened.comparison.confidence)
            passed = answer.p_within <= level
            yield Outcome.PASS if passed else Outcome.FAIL if p_beyond <= level else Outcome.INCONCLUSIVE
