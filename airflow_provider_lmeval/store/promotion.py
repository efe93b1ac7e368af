"""The documents behind a baseline: who promoted which model, on what evidence, and who overruled the gate.

An auditor reads them long after, so each carries what it rests on: the verdict and its digest, the fingerprint, the scores,
and for an override a person, a reason and an end. Models only; where they are kept is :mod:`.baselines`' business.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, ValidationError

from airflow_provider_lmeval.errors import DamagedResultError, GateError
from airflow_provider_lmeval.results import EvalResult, Fingerprint
from airflow_provider_lmeval.results.model import Number, Part
from airflow_provider_lmeval.results.wording import problems
from airflow_provider_lmeval.wire import dump

Text = Annotated[str, Field(min_length=1, pattern=r"\S")]
AnyDocument = TypeVar("AnyDocument", bound=Part)


class Override(Part):
    """A person's decision to promote against the gate, on the record."""

    approver: Text
    """Who decided: a user name."""
    reason: Text
    """Why, in the approver's words."""
    at: Number
    """When, POSIX time, seconds."""
    expires: Number
    """Until when it may be used, POSIX time, seconds: an approval found a month later is no approval of today's model."""

    @classmethod
    def parse(cls, data: Any) -> Self:
        """Validate an override.

        :raises GateError: somebody, some reason or some time is missing.
        """
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise GateError("the override is not complete: " + "; ".join(problems(error))) from None


class JudgedBy(Part):
    """The gate's verdict, as far as a promotion rests on it."""

    outcome: str
    action: str
    digest: str
    """SHA-256 of the whole verdict."""

    @classmethod
    def of(cls, verdict: Mapping[str, Any]) -> Self:
        """Return what is kept of a verdict.

        :param verdict: :meth:`Verdict.to_data`, as the gate's XCom has it.
        :raises GateError: it is none.
        """
        digest = hashlib.sha256(dump(verdict)).hexdigest()
        try:
            return cls.model_validate({"outcome": verdict["outcome"], "action": verdict["action"], "digest": digest})
        except (KeyError, ValidationError) as error:
            raise GateError(f"that is not a verdict; pass the output of a gate task ({error!r})") from None


class PromotedModel(Part):
    """Which model it is."""

    name: str | None = None
    """What people call it."""
    identity: str | None = None
    """Digest of its weights or Hub commit; without one its stored results are never used again."""


class Promotion(Part):
    """One entry of a baseline's history."""

    schema_version: Literal[1] = 1
    id: str = ""
    """Name of the entry; not part of its content."""
    name: Text
    """What is promoted: a model's role, such as `chat`."""
    suite: Text
    """What it is measured by."""
    action: Literal["promote", "rollback"]
    run_id: Text
    uri: Text
    """Where the evidence is."""
    model: PromotedModel
    fingerprint: Fingerprint
    metrics: dict[str, dict[str, float | None]]
    """Scores by task, under lm-eval's names."""
    by: Text
    """Who or what did it: a user, or a DAG's task."""
    reason: Text
    at: Number
    """POSIX time, seconds."""
    verdict: JudgedBy | None = None
    override: Override | None = None
    replaces: str | None = None
    """The entry that was in force."""
    restores: str | None = None
    """Of a rollback, the promotion that is in force again."""
    nonce: str = ""
    """Makes each entry's content its own."""

    @property
    def origin(self) -> str:
        """The promotion that put this model in force; of a promotion its own id."""
        return self.restores or self.id


def permit(
    verdict: Mapping[str, Any] | None, override: Override | None, result: EvalResult, now: float
) -> JudgedBy | None:
    """Check that a model may be promoted, and return what is kept of the verdict.

    :param verdict: the gate's, as plain data. None if there was no gate, which only an override makes up for.
    :param result: the evidence on the model. :param now: POSIX time, seconds.
    :raises GateError: it may not: the evaluation failed, the verdict is another model's, or it does not allow it and nobody
        has overruled it in time.
    """
    if not result.succeeded:
        raise GateError(
            f"run {result.run_id} ended as {result.reason}; only an evaluation that succeeded can be promoted"
        )
    judged = JudgedBy.of(verdict) if verdict is not None else None
    if judged is not None and verdict is not None:
        _check_subject(verdict.get("candidate"), result)
    if override is not None and override.expires <= now:
        raise GateError(f"the override by {override.approver} has expired; ask again")
    if override is None and (judged is None or judged.action != "allow"):
        said = f"the verdict is {judged.outcome} ({judged.action})" if judged else "there is no verdict"
        raise GateError(f"run {result.run_id} may not be promoted: {said}, and nobody has overruled it on the record")
    return judged


def _check_subject(judged: Any, result: EvalResult) -> None:
    """Check that a verdict is about this evidence.

    :raises GateError: it is about another run, or the run was evaluated again with other weights since.
    """
    said = judged if isinstance(judged, Mapping) else {}
    if said.get("run_id") != result.run_id:
        raise GateError(
            f"the verdict is about run {said.get('run_id')!r}, not about {result.run_id!r}; gate the model to promote"
        )
    if "identity" in said and said["identity"] != result.model.identity:
        raise GateError(
            f"the verdict is about weights {said['identity']}, run {result.run_id} is by now of "
            f"{result.model.identity}; gate it again"
        )


def read_document(kind: type[AnyDocument], data: Any, where: str) -> AnyDocument:
    """Validate a stored document.

    :raises DamagedResultError: it does not fit its schema.
    """
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise DamagedResultError(f"{where} does not fit its schema: {'; '.join(problems(error)[:5])}") from None
