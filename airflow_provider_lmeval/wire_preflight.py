"""What a run finds out before a GPU is asked for: the checks, what each is worth, and the report that carries them.

The report is part of the preflight's result document and so comes back as a result does. Like ``wire``, shared with the
driver: standard library only. ``plan/preflight_rules.py`` adds these checks to the rules that need no run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from airflow_provider_lmeval.errors import ProtocolError
from airflow_provider_lmeval.wire import RETRYABLE, Cause, Document

CHECKS: dict[str, str] = {
    "packages": "Use an image that has the package, or another model type or precision.",
    "model-files": "Correct the path or name, mount the volume that holds it, or make it readable (`fs_group`).",
    "cache-files": "Warm the cache up with `LMEvalWarmupOperator`, or set `allow_online` and have it granted.",
    "tasks-load": "Correct the task that the message names, or where it is looked for.",
    "datasets-load": "Correct the data that the message names, warm the cache up, or have online access granted.",
    "tokenizer-load": "Complete the model's directory or cache, or give its tokenizer as `model.tokenizer`.",
    "chat-template": "Evaluate a model whose tokenizer has a chat template, or drop `apply_chat_template`.",
    "endpoint-answers": "Do what the message says about address, key, name of the model or its server.",
    "gpu-share": "Ask for a number of GPUs that the message allows, or choose another `gpu.strategy`.",
    "gpu-memory": "Ask for a larger GPU or more of them, a smaller `dtype`, or a quantized model.",
}
"""Remedy by id, in the order in which they are made. An id never changes."""


class Finding(StrEnum):
    """What came of a check."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check that was made, or why it was not.

    :param id: one of :data:`CHECKS`. :param finding: a :class:`Finding`. :param found: for people.
    :param cause: a :class:`~airflow_provider_lmeval.wire.Cause` if it failed.
    """

    id: str
    finding: Finding
    found: str
    cause: Cause | None = None

    @property
    def remedy(self) -> str | None:
        """What to do; None where there is nothing to do."""
        return CHECKS.get(self.id) if self.finding is Finding.FAILED else None

    def to_json(self) -> dict[str, Any]:
        """Return plain data, the remedy included."""
        told = {"id": self.id, "finding": self.finding.value, "found": self.found}
        return told | {"cause": self.cause.value if self.cause else None, "remedy": self.remedy}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read :meth:`to_json`.

        :raises ProtocolError: it is not that.
        """
        try:
            cause = Cause(data["cause"]) if data.get("cause") else None
            return cls(id=data["id"], finding=Finding(data["finding"]), found=data["found"], cause=cause)
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise ProtocolError(f"preflight: not a check: {error!r}") from error

    def __str__(self) -> str:
        """Return one line for a log, or more if the finding has more."""
        remedy = f" {self.remedy}" if self.remedy else ""
        return f"{self.id}: {self.finding}: {self.found.rstrip()}{remedy}"


@dataclass(frozen=True, kw_only=True)
class Report(Document):
    """What a preflight has found.

    :param checks: as :meth:`Check.to_json` gives them, in the order of :data:`CHECKS`.
    """

    checks: list[dict[str, Any]] = field(default_factory=list)

    def all(self) -> list[Check]:
        """Return the checks.

        :raises ProtocolError: one of them is none.
        """
        return [Check.from_json(each) for each in self.checks]

    def failed(self) -> list[Check]:
        """Return the checks that failed."""
        return [check for check in self.all() if check.finding is Finding.FAILED]

    @property
    def cause(self) -> Cause | None:
        """The cause of the whole: one that no other try cures, if there is such a one; None if nothing failed."""
        causes = [check.cause or Cause.INTERNAL for check in self.failed()]
        return next((cause for cause in causes if cause not in RETRYABLE), causes[0] if causes else None)

    @property
    def message(self) -> str:
        """What failed: all ids in the first line, since the end of a long message may be cut off."""
        failed = self.failed()
        names = ", ".join(check.id for check in failed)
        lines = [f"{check.found.rstrip()} {check.remedy} [{check.id}]" for check in failed]
        return "\n".join([f"{len(failed)} of {len(self.checks)} checks failed: {names}", *lines])
