"""unitxt recipes and custom artifacts, as LMEvalJob's ``taskRecipes`` and ``custom`` know them, in lm-eval's spelling.

A recipe becomes one task, run by lm-eval's own unitxt task. Artifacts are plain JSON with a ``__type__``; they become files
of a local catalogue next to the run, so nothing in them is ever pasted into another document. Cards are code (an operator
may call any importable function), so the driver checks each ``__type__`` against an allow-list before unitxt sees it.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Self

from pydantic import Field, JsonValue, NonNegativeInt, PositiveInt, StringConstraints, field_validator, model_validator

from airflow_provider_lmeval.spec.base import SpecModel

MAX_ARTIFACT_BYTES = 1_000_000
"""Largest custom artifact, in bytes of JSON: a request has to fit where Kubernetes keeps it."""

CatalogId = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*$", max_length=256),
    Field(examples=["cards.wnli"]),
]
"""Id of a catalogue artifact: words joined by dots, such as ``cards.wnli``."""
_PATHLIKE = re.compile(r"\.\.")


def _artifact_size(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    size = len(json.dumps(value).encode())
    if size > MAX_ARTIFACT_BYTES:
        raise ValueError(
            f"artifact of {size:,} bytes; the limit is {MAX_ARTIFACT_BYTES:,}: keep data in a file or dataset"
        )
    return value


class UnitxtRecipe(SpecModel):
    """One unitxt recipe: a card with a template, and what the card's task leaves open."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$")] | None = None
    """Name of the task in results; default: made from card and template."""
    card: CatalogId | dict[str, JsonValue]
    """Catalogue id of the card, or the card itself as JSON."""
    template: CatalogId | dict[str, JsonValue] | None = None
    """Catalogue id of the template, or the template itself; default: the card's first."""
    task: CatalogId | dict[str, JsonValue] | None = None
    """Another task than the card's own."""
    metrics: tuple[CatalogId, ...] | None = None
    """Other metrics than the task's own."""
    format: CatalogId | None = None
    """Prompt format, such as `formats.llama3`."""
    system_prompt: CatalogId | None = None
    """System prompt, by id of the catalogue or of a custom artifact."""
    loader_limit: PositiveInt | None = None
    """Most instances read from the dataset."""
    num_demos: NonNegativeInt | None = None
    """Few-shot examples in each prompt."""
    demos_pool_size: PositiveInt | None = None
    """How many examples the few-shot ones are drawn from; required with `num_demos`."""

    @field_validator("card", "template", "task", "metrics", "format", "system_prompt", mode="after")
    @classmethod
    def _no_path(cls, value: Any) -> Any:
        for text in (value,) if isinstance(value, str) else (value if isinstance(value, tuple) else ()):
            if _PATHLIKE.search(text):
                raise ValueError(f"{text!r} is not a catalogue id; '..' is not allowed")
        if isinstance(value, dict):
            _artifact_size(value)
        return value

    @model_validator(mode="after")
    def _pool_for_demos(self) -> Self:
        if self.num_demos and not self.demos_pool_size:
            raise ValueError("num_demos needs demos_pool_size: how many examples the few-shot ones are drawn from")
        return self

    @property
    def task_name(self) -> str:
        """Name of the lm-eval task this recipe becomes."""
        if self.name:
            return self.name
        parts = [self.card if isinstance(self.card, str) else "custom_card"]
        if isinstance(self.template, str):
            parts.append(self.template)
        return "unitxt." + "-".join(part.removeprefix("cards.").removeprefix("templates.") for part in parts)


Artifacts = dict[CatalogId, dict[str, JsonValue]]


class UnitxtArtifacts(SpecModel):
    """Custom artifacts, by the id recipes refer to."""

    cards: Artifacts = {}
    """Cards: dataset, preprocessing and task in one."""
    templates: Artifacts = {}
    """Templates: how an instance becomes a prompt."""
    system_prompts: dict[CatalogId, str | dict[str, JsonValue]] = {}
    """System prompts: the text itself, or an artifact."""
    metrics: Artifacts = {}
    """Metrics."""
    tasks: Artifacts = {}
    """Tasks: fields and metrics."""

    @model_validator(mode="after")
    def _sizes_and_types(self) -> Self:
        for kind in ("cards", "templates", "metrics", "tasks"):
            for name, artifact in getattr(self, kind).items():
                _artifact_size(artifact)
                if not isinstance(artifact.get("__type__"), str):
                    raise ValueError(f"{kind}.{name}: a unitxt artifact needs '__type__', such as 'task_card'")
        return self
