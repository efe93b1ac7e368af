"""What a model must fulfil, as people write it down: in YAML beside the DAG, or in Python.

A rule that silently checks nothing is the most dangerous thing in a gate, so everything that smells of one is refused
here: unknown fields, no condition, a floor above its ceiling, a percentage where a fraction is meant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BeforeValidator, Field, PositiveInt, ValidationError, model_validator
from pydantic_core import ErrorDetails

from airflow_provider_lmeval.errors import GateError
from airflow_provider_lmeval.gate.rulesets import NO_REGRESSION, ready
from airflow_provider_lmeval.gate.stats.levels import CONFIDENCE
from airflow_provider_lmeval.results.wording import place, problem, suggest
from airflow_provider_lmeval.spec.base import SpecModel
from airflow_provider_lmeval.spec.text import json_or_yaml


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"must be a number, found {value}; YAML reads yes, no, on and off as true and false")
    return value


Threshold = Annotated[float, BeforeValidator(_no_bool)]
Amount = Annotated[float, BeforeValidator(_no_bool), Field(ge=0)]
Fraction = Annotated[float, BeforeValidator(_no_bool), Field(ge=0, lt=1)]
Confidence = Annotated[float, BeforeValidator(_no_bool), Field(gt=0.5, lt=1)]
Text = Annotated[str, Field(min_length=1)]
Tier = Literal["block", "warn", "info"]


class Condition(StrEnum):
    """What a rule can ask of a score; also the name of the rule's field."""

    FLOOR = "floor"
    CEILING = "ceiling"
    MAX_DROP = "max_drop"
    MAX_RELATIVE_DROP = "max_relative_drop"
    MIN_IMPROVEMENT = "min_improvement"

    @property
    def compares(self) -> bool:
        """Whether it needs a baseline."""
        return self not in (Condition.FLOOR, Condition.CEILING)


class Rule(SpecModel):
    """Conditions on one metric of one or more tasks. Each condition that is set becomes a check of its own."""

    task: Text
    """Task or group as evaluated, a wildcard such as `mmlu_*`, or a tag or suite of lm-eval's. A group without scores of its
    own means its tasks."""
    metric: Text
    """Metric as lm-eval names it, `acc`; with its filter, `exact_match,strict-match`, where there are several; or
    `primary`, the one that stands for the task."""
    pool: bool = False
    """Take the documents of all tasks together as one suite, instead of checking each task by itself."""
    floor: Threshold | None = None
    """Lowest score allowed."""
    ceiling: Threshold | None = None
    """Highest score allowed, for perplexities and error rates."""
    max_drop: Amount | None = None
    """How much worse than the baseline it may be, in the metric's own unit: 0.01 is one point of accuracy. The candidate
    has to prove it."""
    max_relative_drop: Fraction | None = None
    """How much worse than the baseline it may be, as a fraction of the baseline: 0.05 is five percent."""
    relative_guard_below: Amount | None = None
    """A baseline below this is allowed the drop of a baseline at this value: of almost nothing, 5 % is noise."""
    min_improvement: Amount | None = None
    """How much better than the baseline it must be, in the metric's own unit. The candidate has to prove it."""
    direction: Literal["higher", "lower"] | None = None
    """Which scores are better; default: what the task says. Needed where it does not say, and to correct it."""
    tier: Tier = "block"
    """`block`: must hold. `warn`: the verdict says WARN. `info`: shown only. Broken evidence is an ERROR in any tier."""
    min_samples: PositiveInt | None = None
    """With fewer documents the check is INCONCLUSIVE."""
    max_error_rate: Fraction = 0.0
    """Largest share of documents without a score, because their requests failed, that is put up with."""
    confidence: Confidence | None = None
    """How sure a decision must be; default: the rule set's. A floor or ceiling is compared with the score itself unless
    this is set; then with its confidence bound."""
    clustered: bool = True
    """Of a group or pool, take subtasks for samples of its subject, so that their documents are no independent witnesses.
    `false`: these subtasks are all that matters."""
    allow_limit: bool = False
    """Accept scores of a part of the documents (`limit` or `samples`)."""
    name: Text | None = None
    """What to call the rule in the verdict; default: task and metric."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.conditions:
            wanted = ", ".join(Condition)
            raise ValueError(f"the rule for {self.task!r} has no condition, so it checks nothing; set one of {wanted}")
        if self.floor is not None and self.ceiling is not None and self.floor > self.ceiling:
            raise ValueError(f"floor {self.floor} is above ceiling {self.ceiling}: no score can satisfy both")
        if self.relative_guard_below is not None and self.max_relative_drop is None:
            raise ValueError("relative_guard_below does nothing without max_relative_drop")
        if self.pool and (self.floor is not None or self.ceiling is not None):
            raise ValueError("a pool has no score of its own: floor and ceiling need a rule without pool")
        return self

    @property
    def conditions(self) -> dict[Condition, float]:
        """The conditions that are set, with their thresholds."""
        return {each: value for each in Condition if (value := getattr(self, each)) is not None}

    @property
    def compares(self) -> bool:
        """Whether the rule needs a baseline."""
        return any(each.compares for each in self.conditions)

    @property
    def label(self) -> str:
        """The rule's name, or one made of task and metric."""
        return self.name or f"{self.task} {self.metric}"


class RuleSet(SpecModel):
    """All rules of a gate, and what to do when they cannot be answered."""

    rules: Annotated[tuple[Rule, ...], Field(min_length=1)]
    """Every blocking rule must hold. A rule that matches no evaluated task is an error."""
    confidence: Confidence = CONFIDENCE
    """How sure decisions must be, each by itself: of models at the margin at most one minus this pass."""
    on_error: Literal["block", "ask"] = "block"
    """Evidence that is missing, damaged or not comparable: `block`, or `ask` a person."""
    on_inconclusive: Literal["ask", "block", "warn"] = "ask"
    """Evidence too thin to decide: `ask` a person, `block`, or `warn` and go on."""
    on_warn: Literal["allow", "ask", "block"] = "allow"
    """Something worth knowing, such as weights that nobody can tell, or a rule of tier `warn` that fails: `allow` (go on),
    `ask` a person, or `block`."""
    on_missing_baseline: Literal["warn", "ask", "block"] = "warn"
    """No baseline to compare with, as in a first run: `warn` and go on, `ask` (INCONCLUSIVE), or `block` (ERROR)."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        for rule in self.rules:
            lowest = max((other.floor for other in self._like(rule) if other.floor is not None), default=None)
            if lowest is not None and rule.ceiling is not None and lowest > rule.ceiling:
                both = f"must reach {lowest} and stay within {rule.ceiling}"
                raise ValueError(f"rules contradict each other: {rule.task} {rule.metric} {both}")
        return self

    def _like(self, rule: Rule) -> list[Rule]:
        """Return the rules that bear on the same score of one task at least: by its name, or by a wildcard for it."""
        return [
            other
            for other in self.rules
            if other.metric == rule.metric
            and (fnmatchcase(other.task, rule.task) or fnmatchcase(rule.task, other.task) or other.task == rule.task)
        ]

    @classmethod
    def parse(cls, data: Any) -> Self:
        """Validate rules.

        :param data: a rule set, a mapping with ``rules``, just the list of rules, or the name of a ready set such as
            ``no_regression``.
        :raises GateError: one line per problem: the field's path, what was found, near matches.
        """
        if isinstance(data, str):
            data = ready(data)
        if isinstance(data, list | tuple):
            data = {"rules": data}
        if not isinstance(data, Mapping | cls):
            raise GateError(
                f"rules must be a list or a mapping with `rules:`, or the name of a ready set, found {type(data).__name__}"
            )
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            lines = map(_line, _own(error.errors(include_url=False)))
            raise GateError("\n".join(dict.fromkeys(lines))) from None

    @classmethod
    def from_yaml(cls, text: str) -> Self:
        """Read rules from YAML or JSON.

        :raises GateError: not YAML, or see :meth:`parse`.
        """
        try:
            data = json_or_yaml(text)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise GateError(f"the rules are not valid YAML: {error}") from None
        return cls.parse(data)

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """Read rules from a YAML or JSON file.

        :raises GateError: the file cannot be read, or see :meth:`from_yaml`.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise GateError(f"cannot read the rules {str(path)!r}: {error}") from None
        return cls.from_yaml(text)

    def to_data(self) -> dict[str, Any]:
        """Return plain JSON data that :meth:`parse` turns into equal rules; defaults are left out."""
        return self.model_dump(mode="json", exclude_defaults=True)


def _own(found: list[ErrorDetails]) -> Iterable[ErrorDetails]:
    """Leave out what follows from other problems: pydantic misses rules that it has dropped for being wrong."""
    wrong = {item["loc"][0] for item in found if len(item["loc"]) > 1}
    return [item for item in found if not (item["type"] == "too_short" and item["loc"][0] in wrong)]


def _line(item: ErrorDetails) -> str:
    """Return the line for one problem; a misspelt field gets the fields there are."""
    if item["type"] == "too_short" and item["loc"] == ("rules",):
        return f"rules: there is none, so the gate would check nothing; give some, or a ready set such as {NO_REGRESSION!r}"
    if item["type"] != "extra_forbidden":
        return problem(item)
    fields = Rule.model_fields if len(item["loc"]) > 1 else RuleSet.model_fields
    return f"{place(item['loc'])}: there is no such field; {suggest(str(item['loc'][-1]), fields)}"
