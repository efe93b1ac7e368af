"""From ``status.results`` to our result document. Pure.

The operator takes the last result file below the output directory for the job's own. On a shared volume that can be another
job's, so what the results say of model, tasks, limit and time is held against the job before anybody may decide on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_lmeval.backends.kubernetes.seen import posix
from airflow_provider_lmeval.catalog import catalog
from airflow_provider_lmeval.catalog.model import TaskInfo
from airflow_provider_lmeval.errors import DamagedResultError, RunFailedError
from airflow_provider_lmeval.results import EvalResult
from airflow_provider_lmeval.results.readers.bundle import loads, mapping, number, result_of, text
from airflow_provider_lmeval.results.readers.lmeval_document import build
from airflow_provider_lmeval.results.wording import shorten
from airflow_provider_lmeval.wire import Cause

_NAMED = ("pretrained", "model")
"""Arguments of lm-eval that name the model."""
SKEW_S = 300.0
"""By how much the clocks of a node and of the API server may differ."""


def result_of_job(job: Mapping[str, Any], run_id: str, recipes: Sequence[str] = (), spec_hash: str = "") -> EvalResult:
    """Return the result document of a job that has succeeded.

    :param job: decoded JSON. :param run_id: of the run.
    :param recipes: names of the spec's unitxt recipes; the operator numbers them.
    :param spec_hash: of the spec, if it was ours.
    :raises RunFailedError: the job has no results.
    :raises DamagedResultError: they cannot be read, or are not this job's.
    """
    meta, raw = job["metadata"], (job.get("status") or {}).get("results")
    what = f"the results of LMEvalJob {meta.get('namespace')}/{meta['name']}"
    if not raw:
        said = "it ended as Succeeded without any results; its pod found no result file. See the pod's log"
        raise RunFailedError(f"LMEvalJob {meta.get('namespace')}/{meta['name']}: {said}", Cause.STORAGE)
    data = loads(raw, what)
    if not isinstance(data, dict) or not isinstance(data.get("results"), dict) or not data["results"]:
        raise DamagedResultError(f"{what} are not those of lm-eval: they lack results")
    _check_own(data, job, what)
    named = _renamed({"configs": {}} | data, {f"tr_{index}": name for index, name in enumerate(recipes)})
    found = build(what, [named], str(meta.get("resourceVersion", "")), {}).to_data()
    found["fingerprint"] |= {"spec_hash": spec_hash} if spec_hash else {}
    own = {key: value for key, value in found.items() if key not in ("schema_version", "run_id")}
    result = result_of(what, run_id, own)
    if all(metric.value is None for task in result.tasks.values() for metric in task.metrics.values()):
        raise DamagedResultError(f"{what} hold no scores; found {shorten(data['results'])}")
    return result


def _check_own(data: Mapping[str, Any], job: Mapping[str, Any], what: str) -> None:
    """Refuse results of another job.

    :raises DamagedResultError: model, tasks, limit or time are not this job's.
    """
    spec, config = mapping(job.get("spec")), mapping(data.get("config"))
    why = _other_model(spec, config) or _other_tasks(mapping(spec.get("taskList")), data["results"])
    if why is None and "limit" in config and (config["limit"] is None) != (not spec.get("limit")):
        why = f"the limit is {config['limit']!r}, the job's is {spec.get('limit')!r}"
    written, created = number(data.get("date")), posix(job["metadata"].get("creationTimestamp"))
    if why is None and written is not None and created is not None and written + SKEW_S < created:
        why = f"they were written {created - written:.0f} s before the job was created"
    if why is not None:
        hint = "Jobs that share a volume must not share its output directory: give each its own outputs"
        raise DamagedResultError(f"{what} are another job's: {why}. {hint}")


def _other_model(spec: Mapping[str, Any], config: Mapping[str, Any]) -> str | None:
    asked = {each["name"]: each.get("value", "") for each in spec.get("modelArgs") or ()}
    asked["model type"] = spec.get("model")
    told = {"model type": text(config.get("model"))} | {name: _arguments(config).get(name) for name in _NAMED}
    for name in ("model type", *_NAMED):
        if name in asked and told[name] not in (None, asked[name]):
            return f"the {name} is {told[name]!r}, the job's is {asked[name]!r}"
    return None


def _other_tasks(tasks: Mapping[str, Any], results: Mapping[str, Any]) -> str | None:
    """Return what is missing: recipes, and names that can only be a single task's; groups and tags stand for others."""
    wanted = [f"tr_{index}" for index, _ in enumerate(tasks.get("taskRecipes") or ())]
    wanted += [name for name in tasks.get("taskNames") or () if isinstance(catalog().find(name), TaskInfo)]
    missing = [name for name in wanted if name not in results]
    return f"{', '.join(missing)} are missing" if missing else None


def _arguments(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the model arguments, which some releases keep as they were typed."""
    found = config.get("model_args")
    if isinstance(found, str):
        return dict(item.partition("=")[::2] for item in found.split(",") if item)
    return dict(mapping(found))


def _renamed(data: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return lm-eval's document with other names of tasks, wherever it sorts something by them."""
    return {
        key: {names.get(name, name): part for name, part in value.items()} if isinstance(value, dict) else value
        for key, value in data.items()
    }
