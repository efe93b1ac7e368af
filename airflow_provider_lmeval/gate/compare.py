"""Tells whether two results measured the same thing.

A difference of two scores means something only if both models answered the same questions in the same way. What that
takes is the table of :class:`Field` below; everything else may differ and is reported, because the reader will want to
know. What a fingerprint does not say counts as different.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from airflow_provider_lmeval.gate.verdict import Difference
from airflow_provider_lmeval.results.model import Fingerprint, ModelInfo, Part, TaskFingerprint


class Need(StrEnum):
    """Whether a field may differ between two results that are compared."""

    MUST_MATCH = "must match"
    MAY_DIFFER = "may differ"
    UNLESS_EXPLAINED = "must match unless chat template or system instruction differ"
    UNLESS_SAME_CONTENT = "must match unless documents, targets and prompts do"
    UNLESS_ZERO_SHOT = "must match unless no task has few-shot examples"


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the fingerprint.

    :param name: as reported.
    :param path: where it is in the fingerprint, or in a task's part of it.
    :param nullable: null is a value ("no limit", "generates nothing"); otherwise null means unknown.
    """

    name: str
    path: tuple[str | int, ...]
    need: Need
    nullable: bool = False


def _field(name: str, need: Need, *, nullable: bool = False, path: tuple[str | int, ...] | None = None) -> Field:
    return Field(name, path or tuple(name.split(".")), need, nullable)


TASK_FIELDS = (
    _field("documents", Need.MUST_MATCH),
    _field("targets", Need.MUST_MATCH),
    _field("version", Need.MUST_MATCH),
    _field("num_fewshot", Need.MUST_MATCH),
    _field("generation_kwargs", Need.MUST_MATCH, nullable=True),
    _field("filters", Need.MUST_MATCH),
    _field("dataset.fingerprint", Need.UNLESS_SAME_CONTENT, nullable=True),
    _field("prompts", Need.UNLESS_EXPLAINED),
    _field("task_hash", Need.MAY_DIFFER),
    _field("dataset.path", Need.MAY_DIFFER),
    _field("dataset.name", Need.MAY_DIFFER),
)
"""What is compared for each task. ``task_hash`` covers prompts, so a chat template changes it. The fingerprint that the
``datasets`` library gives to local files changes with their path and time of writing, so equal content outweighs it."""

RUN_FIELDS = (
    _field("limit", Need.MUST_MATCH, nullable=True),
    _field("samples", Need.MUST_MATCH, nullable=True),
    _field("fewshot_seed", Need.UNLESS_ZERO_SHOT, nullable=True, path=("seeds", 3)),
    _field("seeds", Need.MAY_DIFFER),
    _field("lm_eval", Need.MAY_DIFFER),
    _field("checkpoint", Need.MAY_DIFFER),
    _field("model.type", Need.MAY_DIFFER),
    _field("model.identity", Need.MAY_DIFFER),
    _field("model.dtype", Need.MAY_DIFFER),
    _field("chat_template", Need.MAY_DIFFER),
    _field("system_instruction", Need.MAY_DIFFER),
    _field("batch_size", Need.MAY_DIFFER),
    _field("device", Need.MAY_DIFFER),
    _field("image", Need.MAY_DIFFER),
    _field("task_sources", Need.MAY_DIFFER, nullable=True),
)
"""What is compared once for the whole run."""


STRICT = frozenset({Need.MUST_MATCH, Need.UNLESS_SAME_CONTENT, Need.UNLESS_ZERO_SHOT})
"""What neither side knows is not taken to match."""

REMEDY = "; evaluate the baseline as the candidate was"

EXPLAINING = ("chat_template", "system_instruction")
"""Fields whose difference accounts for different prompts to the same documents."""


def compare(candidate: Fingerprint, baseline: Fingerprint, tasks: Iterable[str]) -> list[Difference]:
    """Return every difference between two fingerprints, for the tasks whose scores are to be compared.

    :param tasks: names of tasks, not of groups.
    """
    explained = any(_read(candidate, (key,)) != _read(baseline, (key,)) for key in EXPLAINING)
    excused = {Need.MAY_DIFFER} | ({Need.UNLESS_EXPLAINED} if explained else set())
    nothing = TaskFingerprint()
    both = {task: (candidate.tasks.get(task, nothing), baseline.tasks.get(task, nothing)) for task in tasks}
    bare = {Need.UNLESS_ZERO_SHOT} if all(_zero_shot(*pair) for pair in both.values()) else set()
    found = [*_differences(RUN_FIELDS, candidate, baseline, None, excused | bare)]
    for task, (one, other) in both.items():
        same = {Need.UNLESS_SAME_CONTENT} if _same_content(one, other) else set()
        found += _differences(TASK_FIELDS, one, other, task, excused | same)
    return found


WHERE = frozenset({"pretrained", "model", "path", "base_url", "tokenizer", "revision"})
"""Model arguments that say where the model is, which every candidate has to itself; its identity says which it is."""


def compare_models(candidate: ModelInfo, baseline: ModelInfo) -> list[Difference]:
    """Return how the two models were loaded differently: quantisation, adapters, devices. All of it may differ.

    Secrets are references to variables and are left out all the same.
    """
    names = sorted({*candidate.args, *baseline.args} - WHERE)
    both = [(name, candidate.args.get(name), baseline.args.get(name)) for name in names]
    return [
        Difference(
            field=f"model.args.{name}",
            candidate=one,
            baseline=other,
            allowed=True,
            message=f"model.args.{name} differs: {one} for the candidate, {other} for the baseline",
        )
        for name, one, other in both
        if one != other and not isinstance(one, dict) and not isinstance(other, dict)
    ]


def _same_content(one: TaskFingerprint, other: TaskFingerprint) -> bool:
    """Whether both models were asked the same, few-shot examples included, whatever file it came from."""
    pairs = ((one.documents, other.documents), (one.targets, other.targets), (one.prompts, other.prompts))
    return all(ours is not None and ours == theirs for ours, theirs in pairs)


def _zero_shot(one: TaskFingerprint, other: TaskFingerprint) -> bool:
    """Whether neither model was shown examples, so that the seed that would have chosen them changed nothing."""
    return one.num_fewshot == other.num_fewshot == 0


def _differences(
    fields: Iterable[Field], candidate: Part, baseline: Part, task: str | None, excused: set[Need]
) -> Iterator[Difference]:
    for field in fields:
        one, other = _read(candidate, field.path), _read(baseline, field.path)
        unknown = [side for side, value in (("candidate", one), ("baseline", other)) if _unknown(field, value)]
        if one == other and not (unknown and field.need in STRICT):
            continue
        allowed = field.need in excused or (field.need is Need.UNLESS_EXPLAINED and bool(unknown))
        yield Difference(
            field=field.name,
            task=task,
            candidate=_plain(one),
            baseline=_plain(other),
            allowed=allowed,
            message=_message(field, task, one, other, unknown) + ("" if allowed else REMEDY),
        )


def _message(field: Field, task: str | None, one: Any, other: Any, unknown: list[str]) -> str:
    what = f"{task}: {field.name}" if task else field.name
    if unknown:
        return f"{what} is not known of the {' and the '.join(unknown)}"
    return f"{what} differs: {_plain(one)} for the candidate, {_plain(other)} for the baseline"


class _Missing(StrEnum):
    """A value that a fingerprint does not have."""

    MISSING = "missing"


def _read(part: Any, path: tuple[str | int, ...]) -> Any:
    """Follow a path; a key that the document lacks is MISSING, which null is not."""
    for step in path:
        if isinstance(step, int):
            part = part[step] if isinstance(part, tuple) and len(part) > step else _Missing.MISSING
        elif isinstance(part, Part) and step in part.model_fields_set:
            part = getattr(part, step)
        else:
            return _Missing.MISSING
    return part


def _unknown(field: Field, value: Any) -> bool:
    return value is _Missing.MISSING or (value is None and not field.nullable)


def _plain(value: Any) -> Any:
    if value is _Missing.MISSING:
        return None
    return list(value) if isinstance(value, tuple) else value
