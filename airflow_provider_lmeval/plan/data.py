"""One's own data and task sources in the driver's words."""

from __future__ import annotations

from typing import Any

from airflow_provider_lmeval.errors import SpecError
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.spec.data import DEFAULT_METRICS, DataSource, OwnData
from airflow_provider_lmeval.spec.sources import ConfigMapSource, DirectorySource, GitSource
from airflow_provider_lmeval.wire_data import OwnTask, Source

MOUNTED = "/opt/lmeval-tasks"
PROMPT = "Question: {question}\nAnswer:"
PROMPT_WITH_CONTEXT = "{context}\n\nQuestion: {question}\nAnswer:"


def own_task(data: OwnData) -> OwnTask:
    """Return what the driver makes a task of, with all defaults filled in."""
    chooses = data.output_type == "multiple_choice"
    columns: dict[str, Any] = data.columns.model_dump(mode="json", exclude_none=True)
    if chooses:
        columns.setdefault("choices", "choices")
    elif data.columns.answers:
        del columns["answer"]
    return OwnTask(
        name=data.name,
        output_type=data.output_type,
        source=_source(data),
        columns=columns,
        answer_is=data.answer_is or "index",
        prompt=data.prompt or (PROMPT_WITH_CONTEXT if data.columns.context else PROMPT),
        metrics=[_metric(data, name) for name in data.metrics or DEFAULT_METRICS[data.output_type]],
        num_fewshot=data.num_fewshot if data.fewshot else 0,
        fewshot=_source(data.fewshot) if data.fewshot else None,
        until=[] if chooses else list(data.until),
        max_gen_toks=data.max_gen_toks,
    )


def task_directories(spec: EvalSpec, *, in_pod: bool = False) -> list[str]:
    """Return the directories of task files that are there when the run starts.

    :param in_pod: ConfigMaps are mounted, see :func:`config_maps`.
    :raises SpecError: there are none to mount them, and no directory stands for one.
    """
    found = dict.fromkeys(spec.include_paths)
    for source in spec.task_sources:
        if isinstance(source, DirectorySource):
            found[source.path] = None
        elif isinstance(source, ConfigMapSource):
            found[_mounted(source) if in_pod else _instead(source)] = None
    return list(found)


def config_maps(spec: EvalSpec) -> dict[str, str]:
    """Return the names of ConfigMaps with task files, by the directory where a pod mounts them.

    The spec has no say in where: a volume may hide any directory of the image, Python's own among them.
    """
    return {_mounted(source): source.name for source in spec.task_sources if isinstance(source, ConfigMapSource)}


def _mounted(source: ConfigMapSource) -> str:
    return f"{MOUNTED}/{source.name}"


def _instead(source: ConfigMapSource) -> str:
    if source.path is None:
        raise SpecError(
            f"task_sources: the ConfigMap {source.name!r} is only there in Kubernetes; for other runs give a path with "
            "the same files"
        )
    return source.path


def git_sources(spec: EvalSpec) -> list[dict[str, str]]:
    """Return the repositories that the run has to fetch: ``url``, ``ref`` and ``path``."""
    return [source.model_dump(exclude={"type"}) for source in spec.task_sources if isinstance(source, GitSource)]


def git_hosts(spec: EvalSpec) -> frozenset[str]:
    """Return the hosts of the repositories."""
    return frozenset(source.host for source in spec.task_sources if isinstance(source, GitSource))


def _source(data: DataSource) -> Source:
    names = ("path", "uri", "dataset", "config", "split", "revision", "sha256")
    return Source(**{name: getattr(data, name) for name in names}, format=data.file_format)


def _metric(data: OwnData, name: str) -> dict[str, Any]:
    """Return an entry of lm-eval's ``metric_list``; aggregation and direction are lm-eval's own."""
    options = {key: True for key in ("ignore_case", "ignore_punctuation") if getattr(data, key)}
    return {"metric": name} | (options if name == "exact_match" else {})
