"""The result document, schema version 1, as its readers see it.

Every ended run has one, failed runs too; ``reason`` tells which is which, and nothing here lets a failed run pass for
a result. The driver may be newer than its reader, so unknown keys are kept and ignored, while a document of another
schema version, or one that contradicts itself, is refused: a number read wrongly is worse than no number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from airflow_provider_lmeval.errors import DamagedResultError, MetricNotFoundError
from airflow_provider_lmeval.results import strict
from airflow_provider_lmeval.results.wording import problems, suggest
from airflow_provider_lmeval.wire import Reason, State

SCHEMA_VERSION = 1
"""Version of the document; it changes when an old reader would misread a new document."""

Number = Annotated[float, Field(strict=True)]
Count = Annotated[int, Field(strict=True, ge=0)]


class Part(BaseModel):
    """Base of all parts of the document: immutable, finite numbers only, unknown keys kept and ignored.

    Validators are built when a document is first read: DAG files import this, and read none.
    """

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False, defer_build=True)


class Metric(Part):
    """One score of one task."""

    value: Number | None
    """The score; None where lm-eval had none (NaN, infinite, "N/A")."""
    stderr: Number | None = None
    """Its standard error, by lm-eval's formula or bootstrap; None where lm-eval gives none."""
    n: Count
    """Number of documents behind it."""
    higher_is_better: Annotated[bool, Field(strict=True)] | None = None
    """The direction; None where the task does not say."""


class SampleCount(Part):
    """How many documents a task has, and how many were evaluated."""

    original: Count
    """Documents in the data set's split."""
    effective: Count
    """Documents that were evaluated."""


class RequestCount(Part):
    """What became of a task's requests to the model."""

    total: Count
    """Requests that were made; of log-likelihoods one for each answer to choose from."""
    failed: Count
    """Requests that the model answered with nothing, which lm-eval takes for an empty answer."""
    repeated: Count | None = None
    """Requests that a server refused or broke off and that were sent again; None where nobody counted by task."""


class TaskResult(Part):
    """Everything known of one evaluated task or group."""

    kind: Literal["task", "group"]
    """A group's metrics are averages that lm-eval takes over its subtasks."""
    alias: str | None = None
    """Name for tables, as the task gives it."""
    output_type: str | None = None
    """Kind of requests: `multiple_choice`, `generate_until`, `loglikelihood`, `loglikelihood_rolling`."""
    version: JsonValue = None
    """Version of the task's definition."""
    num_fewshot: Count | None = None
    """Examples in each prompt."""
    n_samples: SampleCount | None = None
    """Documents there are and documents evaluated, of a group those of its tasks."""
    failed: Count | None = None
    """Documents whose requests failed and that were scored all the same; None where nobody counted."""
    requests: RequestCount | None = None
    """Requests made, failed and repeated; None where nobody counted, and of groups."""
    metrics: dict[str, Metric] = {}
    """Scores by `metric,filter`."""
    subtasks: tuple[str, ...] = ()
    """Tasks and groups a group consists of."""
    task_hash: str | None = None
    """lm-eval's hash over the task's documents, prompts and targets."""
    scores: str | None = None
    """Path of the score table, relative to the run."""
    samples: str | None = None
    """Path of the samples with their texts, relative to the run."""
    seconds: Number | None = None
    """Time it took."""


class ModelInfo(Part):
    """The evaluated model."""

    type: str | None = None
    """lm-eval's model type."""
    args: dict[str, JsonValue] = {}
    """Model arguments as requested; secrets are references."""
    name: str | None = None
    """What people call it: a path, a hub name, a served model's name."""
    identity: str | None = None
    """Digest of the weights (`sha256:…`) or hub commit; of a served model what the spec declares. None: not known."""
    parameters: Count | None = None
    """Number of parameters."""
    dtype: str | None = None
    """Precision it was evaluated in."""
    device: str | None = None
    """Device it was evaluated on."""


class ModelFingerprint(Part):
    """The model, as far as it decides whether two results may be compared."""

    type: str | None = None
    identity: str | None = None
    dtype: str | None = None


class DatasetFingerprint(Part):
    """The data a task was read from."""

    path: str | None = None
    name: str | None = None
    fingerprint: str | None = None


class TaskFingerprint(Part):
    """One task, as far as it decides whether two results may be compared. Hashes are SHA-256."""

    version: JsonValue = None
    task_hash: str | None = None
    documents: str | None = None
    """Over the sorted document hashes."""
    targets: str | None = None
    prompts: str | None = None
    num_fewshot: Count | None = None
    generation_kwargs: str | None = None
    """None for tasks that generate nothing."""
    filters: tuple[JsonValue, ...] | None = None
    dataset: DatasetFingerprint = DatasetFingerprint()


class Fingerprint(Part):
    """What produced a result. A key that is absent is unknown, which is not the same as null."""

    schema_version: int | None = None
    spec_hash: str | None = None
    lm_eval: str | None = None
    checkpoint: str | None = None
    model: ModelFingerprint = ModelFingerprint()
    tasks: dict[str, TaskFingerprint] = {}
    seeds: tuple[int | None, ...] | None = None
    """Of Python, NumPy, torch and few-shot sampling."""
    limit: Number | None = None
    samples: str | None = None
    """Hash of the documents chosen by index; None when all were."""
    chat_template: str | None = None
    system_instruction: str | None = None
    batch_size: JsonValue = None
    device: str | None = None
    image: str | None = None
    task_sources: JsonValue = None
    """Repositories that task files came from: ``url``, ``path`` and the resolved ``commit``."""


class Timings(Part):
    """When and how long."""

    started: Number | None = None
    """POSIX time, seconds."""
    ended: Number | None = None
    """POSIX time, seconds."""
    seconds: Number | None = None
    """Of the whole run."""
    phases: dict[str, Number] = {}
    """Seconds by phase."""


class Files(Part):
    """Further files of the run, relative to it."""

    logs: tuple[str, ...] = ()


class EvalResult(Part):
    """The result document of one run.

    :raises pydantic.ValidationError: use :meth:`parse` or :meth:`from_json`, which raise
        :class:`~airflow_provider_lmeval.errors.DamagedResultError` instead.
    """

    schema_version: Literal[1]
    run_id: Annotated[str, Field(min_length=1)]
    state: State
    reason: Reason
    cause: str | None = None
    """Why it did not succeed: a :class:`~airflow_provider_lmeval.wire.Cause`, or one a newer driver knows."""
    message: str | None = None
    model: ModelInfo = ModelInfo()
    tasks: dict[str, TaskResult] = {}
    config: dict[str, JsonValue] = {}
    """Effective settings, under lm-eval's names."""
    versions: dict[str, str | None] = {}
    fingerprint: Fingerprint = Fingerprint()
    timings: Timings = Timings()
    files: Files = Files()
    equivalent_command: tuple[str, ...] = ()
    """`lm-eval run …` with the same scores."""

    @model_validator(mode="after")
    def _check_ending(self) -> Self:
        if not self.state.ended:
            raise ValueError(f"state: {self.state} is not an end; only ended runs have a result")
        if self.succeeded and (self.state is not State.COMPLETE or self.cause or not self.tasks):
            raise ValueError("reason: Succeeded contradicts the rest: it needs state Complete, no cause, and tasks")
        return self

    @classmethod
    def from_json(cls, raw: bytes | str) -> Self:
        """Read the document.

        :param raw: content of ``result.json``.
        :raises DamagedResultError: not strict JSON, or see :meth:`parse`.
        """
        try:
            data = strict.loads(raw)
        except ValueError as error:
            raise DamagedResultError(f"the result is not valid JSON: {error}") from None
        return cls.parse(data)

    @classmethod
    def parse(cls, data: Any) -> Self:
        """Validate decoded JSON.

        :param data: what ``json.loads`` returned.
        :raises DamagedResultError: another schema version, a field that is missing or wrong, or a contradiction.
        """
        if not isinstance(data, Mapping):
            raise DamagedResultError(f"the result must be a JSON object, found {type(data).__name__}")
        version = data.get("schema_version")
        if version != SCHEMA_VERSION or isinstance(version, bool):
            raise DamagedResultError(
                f"schema_version: {version!r} cannot be read, only {SCHEMA_VERSION}; "
                "use the release of airflow-provider-lmeval that wrote the result, or evaluate again"
            )
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise DamagedResultError("the result does not fit its schema: " + "; ".join(problems(error)[:5])) from None

    def to_data(self) -> dict[str, Any]:
        """Return plain JSON data that :meth:`parse` turns into an equal result, unknown keys included."""
        return self.model_dump(mode="json", exclude_unset=True)

    @property
    def succeeded(self) -> bool:
        """Whether the evaluation is complete. Nothing else in a result may be trusted without it."""
        return self.reason is Reason.SUCCEEDED

    def task(self, name: str) -> TaskResult:
        """Return a task or group.

        :raises MetricNotFoundError: it was not evaluated; near matches are named.
        """
        if name not in self.tasks:
            raise MetricNotFoundError(f"run {self.run_id} has no task {name!r}; {suggest(name, self.tasks)}")
        return self.tasks[name]

    def metric_key(self, task: str, name: str) -> str:
        """Return the full ``metric,filter`` for a metric with or without its filter.

        :raises MetricNotFoundError: no such task or metric, or several filters to choose from.
        """
        metrics = self.task(task).metrics
        if name in metrics:
            return name
        keys = [key for key in metrics if key.partition(",")[0] == name]
        if len(keys) > 1:
            raise MetricNotFoundError(f"{task}: {name!r} could be {' or '.join(map(repr, keys))}; name the filter too")
        if not keys:
            names = metrics if "," in name else {key.partition(",")[0] for key in metrics}
            raise MetricNotFoundError(f"{task} has no metric {name!r}; {suggest(name, names)}")
        return keys[0]

    def metric(self, task: str, name: str) -> Metric:
        """Return one score.

        :param name: ``acc,none``, or ``acc`` where only one filter reports it.
        :raises MetricNotFoundError: see :meth:`metric_key`.
        """
        key = self.metric_key(task, name)
        return self.tasks[task].metrics[key]

    def leaves(self, name: str) -> tuple[str, ...]:
        """Return the tasks a group consists of, in order, groups in groups resolved; a task is its own leaf.

        A subtask that the result does not hold is returned too, so that its absence can be noticed.
        """
        found: dict[str, None] = {}
        seen: set[str] = set()
        waiting = [name]
        while waiting:
            current = waiting.pop(0)
            entry = self.tasks.get(current)
            if entry is None or entry.kind == "task":
                found[current] = None
            elif current not in seen:
                waiting[:0] = entry.subtasks
            seen.add(current)
        return tuple(found)
