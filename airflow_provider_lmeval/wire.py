"""The protocol between Airflow's side and the driver, which both import.

The driver runs where neither Airflow nor pydantic exist, possibly in an older or newer copy than the one that started it,
so everything that crosses the border is named here: the request, the status, the events between the driver's two
processes, the layout of a run directory, exit codes. Standard library only. ``PROTOCOL`` changes when a reader of the old
version would misread a document; unknown keys are ignored by readers and never change it.

The vocabulary of states and reasons is LMEvalJob's (``api/lmes/v1alpha1`` of the TrustyAI service operator): *Complete*
means "ended", and the reason tells how.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from airflow_provider_lmeval.errors import ProtocolError
from airflow_provider_lmeval.wire_files import (
    KEPT_FILES,
    MARKER_NAME,
    RESULT_NAME,
    STORED_DIRECTORIES,
    RunDir,
    dump,
    file_digest,
    safe_name,
    write_atomic,
)
from airflow_provider_lmeval.wire_process import process_start

__all__ = [  # what the protocol consists of, wherever it is written
    "CLUSTER_CAUSES", "DRIVER_HEADER", "EVALUATE_KEYS", "EXIT_CODES", "KEPT_FILES", "MARKER_NAME", "PROTOCOL", "RESULT_NAME",
    "RETRYABLE", "STORED_DIRECTORIES", "TOKEN_HEADER", "Cause", "Document", "Phase", "Reason", "Request", "RunDir", "State",
    "Status", "dump", "file_digest", "is_env_reference", "process_start", "safe_name", "write_atomic",
]  # fmt: skip

PROTOCOL = 1
"""Version of every document in this file."""

TOKEN_HEADER = "X-LMEval-Token"  # noqa: S105 - the name of a header
"""Carries the run's token. Not ``Authorization``: the Kubernetes API server's proxy does not forward that header."""
DRIVER_HEADER = "X-LMEval-Driver"
"""Marks every answer of the driver, so that a proxy's 401 or 503 is not mistaken for the driver's."""
GIT_MAX_BYTES = 256 * 1024 * 1024
"""What a fetch of task definitions may bring unless the administrator says otherwise: all files of a commit, packed."""


class State(StrEnum):
    """States of a run, as LMEvalJob names them. *Complete* means ended; the reason tells how."""

    NEW = "New"
    SCHEDULED = "Scheduled"
    RUNNING = "Running"
    COMPLETE = "Complete"
    CANCELLED = "Cancelled"
    SUSPENDED = "Suspended"

    @property
    def ended(self) -> bool:
        """Whether a run in this state will not change any more."""
        return self in (State.COMPLETE, State.CANCELLED)


class Reason(StrEnum):
    """How a run ended, as LMEvalJob names it."""

    NO_REASON = "NoReason"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"


class Cause(StrEnum):
    """Why a run did not succeed. Decides whether a retry can help; see ``RETRYABLE``."""

    BAD_SPEC = "bad_spec"
    UNKNOWN_TASK = "unknown_task"
    DATASET = "dataset"
    MODEL_LOAD = "model_load"
    ENDPOINT = "endpoint"
    OUT_OF_MEMORY = "out_of_memory"
    HUNG = "hung"
    DEADLINE = "deadline"
    CODE_DENIED = "code_denied"
    ONLINE_DENIED = "online_denied"
    STORAGE = "storage"
    KILLED = "killed"
    CANCELLED = "cancelled"
    INTERNAL = "internal"
    EVICTED = "evicted"
    PREEMPTED = "preempted"
    NODE_LOST = "node_lost"
    UNSCHEDULABLE = "unschedulable"
    CLAIM_PENDING = "claim_pending"
    IMAGE = "image"
    NOT_STARTED = "not_started"
    QUOTA = "quota"
    POD_REJECTED = "pod_rejected"
    FORBIDDEN = "forbidden"


CLUSTER_CAUSES = frozenset(
    {
        Cause.EVICTED, Cause.PREEMPTED, Cause.NODE_LOST, Cause.UNSCHEDULABLE, Cause.CLAIM_PENDING, Cause.IMAGE,
        Cause.NOT_STARTED, Cause.QUOTA, Cause.POD_REJECTED, Cause.FORBIDDEN,
    }
)  # fmt: skip
"""Causes that a cluster gives, and no driver ever ends with."""

EXIT_CODES: dict[Cause, int] = {
    Cause.INTERNAL: 1,
    Cause.BAD_SPEC: 2,
    Cause.UNKNOWN_TASK: 3,
    Cause.DATASET: 4,
    Cause.MODEL_LOAD: 5,
    Cause.ENDPOINT: 6,
    Cause.OUT_OF_MEMORY: 7,
    Cause.HUNG: 8,
    Cause.DEADLINE: 9,
    Cause.CODE_DENIED: 10,
    Cause.ONLINE_DENIED: 11,
    Cause.STORAGE: 12,
    Cause.KILLED: 137,
    Cause.CANCELLED: 143,
}
"""Exit status of the driver by cause; 0 is success. 137 and 143 are what a shell reports for SIGKILL and SIGTERM."""

RETRYABLE = frozenset(
    {Cause.ENDPOINT, Cause.OUT_OF_MEMORY, Cause.HUNG, Cause.STORAGE, Cause.KILLED, Cause.INTERNAL, Cause.DATASET}
) | (CLUSTER_CAUSES - {Cause.POD_REJECTED, Cause.FORBIDDEN})
"""Causes that another try may cure. A bad spec, a denied permission or a model that cannot load stays what it is."""


class Phase(StrEnum):
    """What a running driver is doing, in this order."""

    PREPARING = "preparing"
    PREFLIGHT = "preflight"
    LOADING_TASKS = "loading tasks"
    WARMING_UP = "warming up"
    CHECKING_ENDPOINT = "checking endpoint"
    LOADING_MODEL = "loading model"
    EVALUATING = "evaluating"
    AGGREGATING = "aggregating"
    SAVING = "saving"


class Document:
    """A dataclass that is a JSON object on the wire; readers ignore keys they do not know."""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data, ``protocol`` included."""
        return {"protocol": PROTOCOL, **dataclasses.asdict(self)}  # type: ignore[call-overload]

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """Build the document from decoded JSON.

        :param data: what ``json.loads`` returned.
        :raises ProtocolError: not an object, another protocol version, or a field is missing.
        """
        if not isinstance(data, dict):
            raise ProtocolError(f"{cls.__name__}: expected a JSON object, found {type(data).__name__}")
        if data.get("protocol") != PROTOCOL:
            raise ProtocolError(
                f"{cls.__name__}: protocol {data.get('protocol')!r} is not supported; this version speaks {PROTOCOL}. "
                "Use the same release of airflow-provider-lmeval in Airflow and in the evaluation image."
            )
        known = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
        try:
            return cls(**{k: v for k, v in data.items() if k in known})
        except TypeError as error:
            raise ProtocolError(f"{cls.__name__}: {error}") from error


@dataclass(frozen=True, kw_only=True)
class Request(Document):
    """Everything the driver needs to know; written by ``plan/``, holds references to secrets and never their values.

    Wherever a JSON object consists of the single key ``env`` (``{"env": "NAME"}``) in ``model_args`` or ``env``, the
    driver puts the value of its own environment variable ``NAME``, provided ``NAME`` is in ``allowed_env``.

    :param run_id: name of the run: letters, digits, ``.``, ``_`` and ``-``.
    :param spec_hash: content hash of the spec (``EvalSpec.content_hash``), part of the fingerprint.
    :param model: lm-eval's model type, as ``lm-eval run --model`` takes it.
    :param model_args: lm-eval's ``--model_args`` as a mapping; values of any JSON type.
    :param model_digest: what the spec declares a served model's weights to be (``sha256:…``); the run cannot see them.
    :param tasks: names of tasks, groups and tags, and wildcards; resolved by the driver against what lm-eval offers.
    :param inline_tasks: lm-eval task or group configurations (what a task YAML holds).
    :param unitxt: unitxt recipes, each ``{"task": name, "recipe": {...}, "artifacts": {...}}``.
    :param families: directories below ``lm_eval/tasks`` that hold those of ``tasks`` that the catalogue knows; empty means
        index everything, and so does a name that is found neither there nor in ``include_paths``.
    :param catalog_version: the lm-eval version ``families`` was computed for; another version indexes everything.
    :param include_paths: further directories with task YAML files (``--include_path``).
    :param data: tasks made of rows (``wire_data.OwnTask``).
    :param git_sources: repositories with task YAML files, each ``{"url", "ref", "path"}``; fetched when the run starts.
    :param git_hosts: hosts they may be fetched from (the administrator's list).
    :param git_max_bytes: what a fetch from one of them may bring, as git packs it.
    :param data_roots: directories that data files may be read from, besides the run's, the model's and ``include_paths``.
    :param evaluate: keyword arguments of the evaluation, under lm-eval's names; see ``EVALUATE_KEYS``.
    :param checkpoint: ``task`` evaluates and keeps one task at a time; ``none`` sends all in one call as lm-eval does.
    :param env: the child's further environment variables: literal strings or ``{"env": "NAME"}``.
    :param allowed_env: names of environment variables that may be referred to (the administrator's list).
    :param allow_online: downloads and endpoints beyond this machine are allowed.
    :param allow_code_execution: tasks that run model-generated or task-supplied code are allowed.
    :param offline: where models and data lie, ``{"cache", "check", "source"}``: a directory or None, one of
        ``wire_offline.CHECKS``, and what to copy there first (``{"protocol", "place", "options"}`` or None).
    :param warm_up: fetch what the evaluation needs into that directory, and evaluate nothing.
    :param preflight: look whether the evaluation can work, load no weights and evaluate nothing: ``{"device", "memory",
        "processes"}``: name of the device that will be asked for, bytes that one of them has or None, processes that will
        share the documents (``wire_preflight`` has the report).
    :param store: where to copy results: ``{"url": fsspec URL, "options": {...}}``, or None to leave them where they are.
    :param status_server: ``{"host", "port", "token_sha256"}`` to serve the status over HTTP, or None; with ``tls``, which is
        ``{"certificate", "key", "client_ca"}``, names of files, over HTTPS. With ``client_ca`` callers need a certificate.
    :param slots: ``{"directory", "count"}``: wait as *New* until one of ``count`` lock files is free, or None.
    :param parallel: how devices share it: ``{"count", "strategy", "processes", "launcher", "model_args", "package", "heads",
        "required"}`` (``plan/parallel.py``), or None if nobody has asked for any.
    :param timeout_s: end the evaluation after so many seconds (cause ``deadline``), or None.
    :param no_progress_s: end it after so many seconds without any progress (cause ``hung``), or None.
    :param grace_s: seconds between SIGTERM and SIGKILL.
    :param report_s: seconds after which progress is worth another line in the run's log.
    :param log_limit_bytes: cap of each kept log; the middle is left out.
    :param equivalent_command: ``lm-eval run …`` that gives the same scores; logged, never executed.
    """

    run_id: str
    spec_hash: str
    model: str
    model_args: dict[str, Any]
    model_digest: str | None = None
    tasks: list[str] = field(default_factory=list)
    inline_tasks: list[dict[str, Any]] = field(default_factory=list)
    unitxt: list[dict[str, Any]] = field(default_factory=list)
    families: list[str] = field(default_factory=list)
    catalog_version: str | None = None
    include_paths: list[str] = field(default_factory=list)
    data: list[dict[str, Any]] = field(default_factory=list)
    git_sources: list[dict[str, Any]] = field(default_factory=list)
    git_hosts: list[str] = field(default_factory=list)
    git_max_bytes: int = GIT_MAX_BYTES
    data_roots: list[str] = field(default_factory=list)
    evaluate: dict[str, Any] = field(default_factory=dict)
    checkpoint: str = "task"
    env: dict[str, Any] = field(default_factory=dict)
    allowed_env: list[str] = field(default_factory=list)
    allow_online: bool = False
    allow_code_execution: bool = False
    offline: dict[str, Any] | None = None
    warm_up: bool = False
    preflight: dict[str, Any] | None = None
    store: dict[str, Any] | None = None
    status_server: dict[str, Any] | None = None
    slots: dict[str, Any] | None = None
    parallel: dict[str, Any] | None = None
    timeout_s: float | None = None
    no_progress_s: float | None = None
    grace_s: float = 10.0
    report_s: float = 10.0
    log_limit_bytes: int = 4 * 1024 * 1024
    equivalent_command: list[str] = field(default_factory=list)


EVALUATE_KEYS = (
    "num_fewshot", "limit", "samples", "batch_size", "max_batch_size", "device", "gen_kwargs", "system_instruction",
    "apply_chat_template", "fewshot_as_multiturn", "bootstrap_iters", "log_samples", "predict_only", "write_out",
    "check_integrity", "use_cache", "random_seed", "numpy_seed", "torch_seed", "fewshot_seed", "trust_remote_code",
    "metadata",
)  # fmt: skip
"""Keys of ``Request.evaluate``, lm-eval's own names (``lm_eval/_cli/run.py``, ``simple_evaluate``)."""


@dataclass(frozen=True, kw_only=True)
class Status(Document):
    """What a run is doing now: the content of ``status.json`` and of ``GET /v1/status``.

    :param state: a :class:`State`; ``reason``: a :class:`Reason`; ``cause``: a :class:`Cause` or None.
    :param message: for people: the exception's own words, or what is being waited for.
    :param phase: a :class:`Phase`, or None before and after.
    :param progress: ``{"done", "total", "rate" (requests/s), "eta_s", "task", "tasks_done", "tasks_total"}``.
    :param started: POSIX time, seconds, of the driver's start; ``updated``: of this document; ``ended``: of the end.
    :param pid: of the driver; ``pid_start``: its start time as the operating system counts it, so that a reused pid is
        not mistaken for it; ``host``: where it runs.
    """

    run_id: str
    state: str = State.NEW
    reason: str = Reason.NO_REASON
    cause: str | None = None
    message: str | None = None
    phase: str | None = None
    progress: dict[str, Any] = field(default_factory=dict)
    started: float | None = None
    updated: float | None = None
    ended: float | None = None
    pid: int | None = None
    pid_start: str | None = None
    host: str | None = None


def is_env_reference(value: Any) -> bool:
    """Whether ``value`` refers to an environment variable: ``{"env": "NAME"}`` and nothing else."""
    return isinstance(value, dict) and set(value) == {"env"} and isinstance(value["env"], str)
