"""``EvalSpec``: one evaluation, in lm-eval's vocabulary.

Every option of ``lm-eval run`` is a field here or is refused by name with a reason (``REFUSED``); a test holds both lists
against lm-eval's own parser. Everything that needs no catalogue is checked here, so a mistake in a DAG file is an import
error and not a failed GPU job.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import yaml
from pydantic import (
    Field,
    JsonValue,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from airflow_provider_lmeval.errors import SpecError
from airflow_provider_lmeval.spec.base import EnvName, EnvValue, SpecModel, check_no_literal_secret_env, check_text
from airflow_provider_lmeval.spec.data import OwnData
from airflow_provider_lmeval.spec.models import Model
from airflow_provider_lmeval.spec.offline import Offline
from airflow_provider_lmeval.spec.sources import TaskSource
from airflow_provider_lmeval.spec.text import json_or_yaml, locator, reason, with_lines
from airflow_provider_lmeval.spec.unitxt import UnitxtArtifacts, UnitxtRecipe
from airflow_provider_lmeval.spec.wording import describe

if TYPE_CHECKING:
    from airflow_provider_lmeval.spec.lmevaljob import LMEvalJobSettings

REFUSED: dict[str, str] = {
    "config": "write the options into the spec: lm-eval prints the whole file, secrets included",
    "output_path": "every run has a directory of its own in the store; set `results_uri` on the operator or connection",
    "cache_requests": "its cache key leaves out data and samples, so stale prompts would be scored",
    "verbosity": "deprecated by lm-eval; set LMEVAL_LOG_LEVEL in `env`",
    "show_config": "task configurations are in every result",
    "trust_remote_code": "set it on the model, as `model.trust_remote_code`",
    "confirm_run_unsafe_code": "set `allow_code_execution`, which the administrator has to allow as well",
    "wandb_args": "results go to the store first; the operator's `outputs` send them on, with the same arguments",
    "wandb_config_args": "results go to the store first; send them on from there in a task of their own",
    "trackio_args": "results go to the store first; send them on from there in a task of their own",
    "hf_hub_log_args": "results go to the store first; the operator's `outputs` write model cards and artifacts",
}
"""Options of ``lm-eval run`` that a spec does not take, and why."""

TaskName = Annotated[str, Field(min_length=1, max_length=512)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]


class EvalSpec(SpecModel):
    """What to evaluate, independent of where it runs.

    :raises pydantic.ValidationError: a field is wrong or fields contradict each other; :meth:`parse` raises
        :class:`~airflow_provider_lmeval.errors.SpecError` with one readable line per problem instead.
    """

    model: Model
    """The model to evaluate: lm-eval's model type and its arguments."""
    tasks: tuple[TaskName | dict[str, JsonValue], ...] = ()
    """Tasks, groups, tags or wildcards of lm-eval, `suite:NAME` for a ready suite, or inline task definitions."""
    unitxt: tuple[UnitxtRecipe, ...] = ()
    """unitxt recipes, each evaluated as a task of its own."""
    artifacts: UnitxtArtifacts = UnitxtArtifacts()
    """Custom unitxt artifacts that recipes refer to."""
    include_paths: tuple[str, ...] = ()
    """Directories with lm-eval task YAML files, as the run sees them."""
    data: tuple[OwnData, ...] = ()
    """Your own data, each a task of its own."""
    task_sources: tuple[TaskSource, ...] = ()
    """Further places with lm-eval task YAML files: git repositories, directories, ConfigMaps."""
    num_fewshot: NonNegativeInt | None = None
    """Examples in each prompt; default: what each task asks for."""
    limit: Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0, lt=1)] | None = None
    """Only the first so many documents of each task, or a fraction below 1. For trying out: the gate refuses limits."""
    samples: dict[TaskName, tuple[NonNegativeInt, ...]] | None = None
    """Documents to evaluate, by task and index; excludes `limit`."""
    batch_size: PositiveInt | Annotated[str, Field(pattern=r"^auto(:[1-9][0-9]*)?$")] | None = None
    """Requests at once: a number, `auto`, or `auto:N` to find the largest N times; default: what suits the device."""
    max_batch_size: PositiveInt | None = None
    """Largest batch that `auto` may try."""
    device: Annotated[str, Field(pattern=r"^(cpu|mps(:\d+)?|cuda(:\d+)?|xpu(:\d+)?|hpu|npu(:\d+)?)$")] | None = None
    """Device to load the model on; default: the first accelerator found, else the CPU."""
    gen_kwargs: dict[str, JsonValue] = {}
    """Generation arguments that override the tasks' own."""
    seed: Seed | tuple[Seed | None, Seed | None, Seed | None, Seed | None] = (0, 1234, 1234, 1234)
    """Seeds of Python, NumPy, torch and few-shot sampling; one number sets all four."""
    system_instruction: str | None = None
    """System message put before every prompt."""
    apply_chat_template: bool | Annotated[str, Field(min_length=1)] = False
    """Put prompts into the model's chat template, or into the one named."""
    fewshot_as_multiturn: bool | None = None
    """Give few-shot examples as turns of a conversation; default: yes with a chat template."""
    log_samples: bool = False
    """Keep prompts and answers too. Scores per document are always kept."""
    bootstrap_iters: NonNegativeInt = 1000
    """Resamples for the standard errors that need them; lm-eval's 100,000 can cost an hour of CPU."""
    predict_only: bool = False
    """Only collect answers, compute no metric. Such a result cannot be gated."""
    write_out: bool = False
    """Log the first prompt of each task."""
    check_integrity: bool = False
    """Run lm-eval's own checks of the tasks first."""
    use_cache: Annotated[str, Field(min_length=1)] | None = None
    """Path prefix of lm-eval's response cache; the model's identity is added, since lm-eval leaves it out of the key."""
    metadata: dict[str, JsonValue] = {}
    """Values some tasks need, such as `{"max_seq_lengths": [4096]}` for RULER."""
    env: dict[EnvName, EnvValue] = {}
    """Environment variables of the run: literal, or `{"env": "NAME"}` for a secret."""
    allow_online: bool = False
    """Let the run download models and datasets; the administrator has to allow it as well."""
    allow_code_execution: bool = False
    """Let the run execute code that models, tasks or datasets bring; the administrator has to allow it as well."""
    offline: Offline | None = None
    """Where models and data lie for a run without network, and how closely to look before it begins."""
    warm_up: bool = False
    """Fetch everything the evaluation needs into that place, with a manifest, and evaluate nothing; needs `allow_online`."""
    checkpoint: Literal["task", "none"] = "task"
    """`task`: finish and keep one task after another. `none`: all in one call, as lm-eval does; nothing to resume from."""
    timeout: PositiveFloat | None = None
    """Seconds after which the run is ended."""
    no_progress_timeout: PositiveFloat | None = 1800
    """Seconds without any finished request after which the run counts as hung and is ended."""

    @model_validator(mode="before")
    @classmethod
    def _before(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        check_text(data)
        for name in data.keys() & REFUSED.keys():
            raise ValueError(f"{name}: not an option here: {REFUSED[name]}")
        if isinstance(data.get("tasks"), str):
            data = data | {"tasks": [name.strip() for name in data["tasks"].split(",")]}
        return data

    @field_validator("tasks", mode="after")
    @classmethod
    def _check_tasks(cls, tasks: tuple[Any, ...]) -> tuple[Any, ...]:
        names = [task if isinstance(task, str) else task.get("task") for task in tasks]
        seen: set[str] = set()
        for index, name in enumerate(names):
            if not isinstance(name, str) or not name.strip():
                raise ValueError(f"tasks[{index}]: an inline task needs a name under 'task'")
            if name in seen:
                raise ValueError(f"tasks[{index}]: {name!r} is there twice; remove one")
            seen.add(name)
        return tasks

    @model_validator(mode="after")
    def _check_contradictions(self) -> Self:
        if not self.tasks and not self.unitxt and not self.data:
            raise ValueError(
                "tasks: nothing to evaluate; name a task, a suite (`suite:NAME`), a unitxt recipe or data of your own"
            )
        self._check_names()
        check_no_literal_secret_env(self.env)
        self._check_documents()
        self._check_batch()
        self._check_chat()
        self._check_warm_up()
        return self

    def _check_names(self) -> None:
        """Refuse two tasks of one name: of their results only one would be kept."""
        names = [task if isinstance(task, str) else str(task["task"]) for task in self.tasks]
        for name in [*(recipe.task_name for recipe in self.unitxt), *(data.name for data in self.data)]:
            if name in names:
                raise ValueError(f"two tasks are called {name!r}: give the recipe or the data another name")
            names.append(name)

    def _check_documents(self) -> None:
        if self.samples is not None and self.limit is not None:
            raise ValueError("samples and limit exclude each other: samples already names the documents; drop limit")
        for task, indices in (self.samples or {}).items():
            if not indices:
                raise ValueError(
                    f"samples.{task}: is empty, which lm-eval takes for 'all'; list indices or drop the task"
                )
            if list(indices) != sorted(set(indices)):
                raise ValueError(
                    f"samples.{task}: indices must be unique and ascending, or lm-eval mislabels documents"
                )

    def _check_batch(self) -> None:
        if self.max_batch_size and isinstance(self.batch_size, int) and self.batch_size > self.max_batch_size:
            raise ValueError(f"batch_size {self.batch_size} is above max_batch_size {self.max_batch_size}")

    def _check_chat(self) -> None:
        if self.model.type in ("local-chat-completions", "openai-chat-completions") and not self.apply_chat_template:
            raise ValueError(
                f"apply_chat_template: {self.model.type} sends messages, which lm-eval builds only with a chat template; "
                "set apply_chat_template: true"
            )
        if self.fewshot_as_multiturn and not self.apply_chat_template:
            raise ValueError("fewshot_as_multiturn needs a chat template; set apply_chat_template: true")

    def _check_warm_up(self) -> None:
        if self.warm_up and not self.allow_online:
            raise ValueError("warm_up: fetches models and data, so the run needs network; set allow_online: true")

    @classmethod
    def parse(cls, data: Any) -> Self:
        """Validate plain data.

        :param data: a mapping as YAML or JSON gives it, or a spec.
        :raises SpecError: one line per problem: the field's path, what was found, what to do.
        """
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise SpecError(describe(error, cls)) from None

    @classmethod
    def from_yaml(cls, text: str) -> Self:
        """Read a spec from YAML or JSON.

        :raises SpecError: not YAML, not a mapping, or not a valid spec: one line per problem, with the line of the text.
        """
        try:
            data = json_or_yaml(text)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise SpecError(f"the spec is not valid YAML: {reason(error)}") from None
        if not isinstance(data, dict):
            raise SpecError(f"the spec must be a mapping with `model` and `tasks`, found {type(data).__name__}")
        try:
            return cls.parse(data)
        except SpecError as error:
            raise SpecError(with_lines(str(error), locator(text))) from None

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """Read a spec from a YAML or JSON file.

        :raises SpecError: the file cannot be read, or see :meth:`from_yaml`.
        """
        return cls.from_yaml(read_text(path))

    @classmethod
    def from_lmevaljob(cls, manifest: Mapping[str, Any] | str) -> EvalSpec:
        """Translate an ``LMEvalJob`` of TrustyAI's operator.

        A Python warning names each field that is not part of a spec; ``plan.lmevaljob.read_lmevaljob`` returns those too.

        :param manifest: the resource, or YAML text that holds one.
        :raises ManifestError: one line per problem, with the field's path and line.
        """
        from airflow_provider_lmeval.plan.lmevaljob import spec_of

        return spec_of(manifest)

    def to_lmevaljob(self, job: LMEvalJobSettings | None = None) -> dict[str, Any]:
        """Return the ``LMEvalJob`` that evaluates this.

        :param job: its name, volumes, outputs: everything that is not the evaluation itself.
        :raises ManifestError: one line per field that LMEvalJob has no words for.
        """
        from airflow_provider_lmeval.plan.lmevaljob import write_lmevaljob

        return write_lmevaljob(self, job)

    def to_data(self) -> dict[str, Any]:
        """Return plain JSON data that :meth:`parse` turns into an equal spec; defaults are left out."""
        data = self.model_dump(mode="json", exclude_defaults=True)
        data["model"] = {"type": self.model.type} | data.get("model", {})
        return data

    @property
    def content_hash(self) -> str:
        """SHA-256 over the canonical JSON of what is set, so that a version that adds fields keeps the hashes.

        The order of keys does not count, except where it has a meaning: in unitxt recipes and artifacts.
        """
        data = self.to_data()
        ordered = [data[name] for name in ("unitxt", "artifacts") if name in data]
        text = json.dumps(data, sort_keys=True, separators=(",", ":"))
        text += "".join(json.dumps(part, separators=(",", ":")) for part in ordered)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def seeds(self) -> tuple[int | None, int | None, int | None, int | None]:
        """Seeds of Python, NumPy, torch and few-shot sampling."""
        return (self.seed,) * 4 if isinstance(self.seed, int) else self.seed


def read_text(path: str | Path) -> str:
    """Read a file.

    :raises SpecError: it is not there, or no text.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"cannot read the spec {str(path)!r}: {getattr(error, 'strerror', error)}") from None
