"""The gate's answer, with everything that led to it.

A verdict is read by a person who wants to know why, by a branch in a DAG, and by an auditor long after. So every check
carries its numbers and a sentence, nothing has to be looked up elsewhere, and the document has a schema version.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, Literal

from pydantic import JsonValue

from airflow_provider_lmeval.gate.rules import Condition, Tier
from airflow_provider_lmeval.results.model import EvalResult, Number, Part
from airflow_provider_lmeval.results.wording import short_name


class Outcome(StrEnum):
    """What a check, a finding or a whole verdict comes to; ordered from good to bad.

    ERROR outranks FAIL: where the evidence is broken, a failed check proves nothing about the model.
    """

    PASS = "PASS"  # noqa: S105
    WARN = "WARN"
    INCONCLUSIVE = "INCONCLUSIVE"
    FAIL = "FAIL"
    ERROR = "ERROR"

    @property
    def rank(self) -> int:
        """Position in the order, 0 for PASS."""
        return list(Outcome).index(self)

    def __lt__(self, other: str) -> bool:
        return self.rank < Outcome(other).rank

    def __le__(self, other: str) -> bool:
        return self.rank <= Outcome(other).rank

    def __gt__(self, other: str) -> bool:
        return self.rank > Outcome(other).rank

    def __ge__(self, other: str) -> bool:
        return self.rank >= Outcome(other).rank


def counted(found: Outcome, tier: Tier) -> Outcome:
    """Return what a check counts for: a tier softens what scores say, never that evidence or rule is broken."""
    if found is Outcome.ERROR or tier == "block":
        return found
    return min(found, Outcome.WARN if tier == "warn" else Outcome.PASS)


class Finding(Part):
    """Something about the evidence, found before any score was read."""

    id: str
    """Which health check: a stable, hyphenated name."""
    severity: Outcome
    subject: str
    """`candidate` or `baseline`, with the task where it concerns one."""
    message: str
    """What was found, and what to do."""


class Difference(Part):
    """A field in which the two fingerprints differ, or that one of them lacks."""

    field: str
    task: str | None = None
    """None for what concerns the whole run."""
    candidate: JsonValue = None
    baseline: JsonValue = None
    allowed: bool
    """Whether scores may be compared all the same."""
    message: str


class Flip(Part):
    """A document that the two models scored differently."""

    task: str
    doc_id: int
    """Position in the split; with the task it finds prompts and answers in the samples."""
    doc_hash: str
    candidate: Number
    baseline: Number


class Flips(Part):
    """Documents on which the models differ; of right-or-wrong answers those that flipped."""

    worse: int
    """From right to wrong, or to a lower score; documents, all of them counted."""
    better: int
    documents: tuple[Flip, ...] = ()
    """Some of either kind, the largest differences first."""


class Statistics(Part):
    """How a comparison was decided. *Damage* is how much worse the candidate is, negative for better."""

    methods: tuple[str, ...]
    paired: bool
    """Document by document; otherwise by the two standard errors."""
    n: int
    clusters: int
    """Subtasks that counted as samples of their subject; 0 for none."""
    confidence: Number
    margin: Number
    """Most damage allowed; negative where an improvement is required."""
    damage: Number
    stderr: Number | None
    lower: Number | None
    """Confidence bounds of the damage, each by itself at `confidence`; None for no bound."""
    upper: Number | None
    p_within: Number
    """P-value of "less damage than the margin"."""
    p_beyond: Number
    """P-value of "more damage than the margin", Holm-adjusted over `family`."""
    p_worse: Number
    """P-value of "any damage at all", Holm-adjusted over `family`."""
    family: int
    """Comparisons that the same condition of the same rule made."""
    design_effect: Number | None
    """Clustered over unclustered variance."""
    minimum_detectable_effect: Number | None
    """Smallest true drop that these documents would show as a drop with 80 % probability."""
    n_to_decide: int | None = None
    """Documents that would decide with 80 % probability, if the difference seen is the true one; None if it is decided, or
    where no reachable number would."""
    noise_band: Number | None = None
    """How far two evaluations of the baseline itself may lie apart, by its calibration; None where it has none."""
    flips: Flips | None = None
    """None where there are no per-document scores."""


class Check(Part):
    """One condition of one rule on one task."""

    rule: str
    """The rule's name."""
    condition: Condition | None
    """None where the rule matched nothing to check."""
    task: str
    metric: str
    """With its filter, where it was found."""
    pooled: tuple[str, ...] = ()
    """Tasks whose documents were taken together; `task` is then what the rule calls them. None of them: no pool."""
    tier: Tier
    found: Outcome
    """What the evidence says."""
    outcome: Outcome
    """What it counts for, given the tier."""
    value: Number | None = None
    stderr: Number | None = None
    interval: tuple[Number, Number] | None = None
    """Confidence bounds of `value`, each by itself at the rule's confidence."""
    n: int | None = None
    baseline: Number | None = None
    difference: Number | None = None
    """Candidate minus baseline, in the metric's own unit."""
    threshold: Number | None = None
    statistics: Statistics | None = None
    """How a comparison with the baseline was decided."""
    blocked_by: tuple[str, ...] = ()
    """Findings (by id) and differences (by field) because of which the score was not read."""
    message: str
    """The check in one sentence."""

    @property
    def label(self) -> str:
        """What people are shown: what a tier softens must not read as if it held."""
        return str(self.found) if self.found is self.outcome else f"{self.found} ({self.tier})"


class Subject(Part):
    """Whose evidence it is."""

    run_id: str
    model: str | None = None
    identity: str | None = None

    @classmethod
    def of(cls, result: EvalResult) -> Subject:
        """Return the subject of a result."""
        return cls(run_id=result.run_id, model=result.model.name, identity=result.model.identity)

    @property
    def name(self) -> str:
        """What to call it in a sentence: the model, a directory by the end of its path; without a model the run."""
        return short_name(self.model) if self.model else self.run_id


class Calibrated(Part):
    """What comparing the baseline with itself showed, as far as a verdict rests on it."""

    kind: Literal["deterministic", "varied"]
    """`deterministic`: every document scored the same in both evaluations."""
    runs: tuple[str, ...]
    """The two evaluations of the baseline."""
    gates: int
    """Simulated gates of the baseline against itself."""
    false_block_rate: Number | None
    """Share of them that blocked; None where no rule could."""


class Verdict(Part):
    """The gate's answer. Checks, findings and differences are sorted, so equal evidence gives equal documents."""

    schema_version: Literal[1] = 1
    outcome: Outcome
    action: Literal["allow", "ask", "block"]
    """What the rule set's policies make of it: go on, ask a person, or stop."""
    candidate: Subject
    baseline: Subject | None = None
    reasons: tuple[str, ...] = ()
    """Why it is not PASS, the worst first."""
    checks: tuple[Check, ...] = ()
    findings: tuple[Finding, ...] = ()
    differences: tuple[Difference, ...] = ()
    calibration: Calibrated | None = None
    """None where the baseline was never compared with itself."""

    @property
    def blocks(self) -> bool:
        """Whether the model must not go on by itself."""
        return self.action != "allow"

    def to_data(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return self.model_dump(mode="json")


def explain(checks: Iterable[Check], findings: Iterable[Finding], differences: Iterable[Difference]) -> tuple[str, ...]:
    """Return the sentences that keep a verdict from being PASS, the worst first, each once."""
    said = [(each.severity, each.message) for each in findings]
    said += [(Outcome.ERROR, each.message) for each in differences if not each.allowed]
    said += [(each.outcome, each.message) for each in checks if not each.blocked_by]
    worst_first = sorted(said, key=lambda pair: -pair[0].rank)
    return tuple(dict.fromkeys(message for outcome, message in worst_first if outcome > Outcome.PASS))
