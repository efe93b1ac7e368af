"""Reads what EvalHub says of a job: the job resource, and the results that an adapter reports.

The resource (``GET /api/v1/evaluations/jobs/{id}``) has the state and a flat ``metrics`` mapping per benchmark; an adapter's
``JobResults`` has the number of documents and the standard error as well (``pkg/api`` and ``evalhub.adapter`` of the
project). A benchmark that was asked for and reported nothing is in the result, empty, so that a gate cannot miss it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from airflow_provider_lmeval.errors import DamagedResultError, ResultNotFoundError
from airflow_provider_lmeval.results.readers.bundle import (
    SUCCEEDED,
    Data,
    Evidence,
    Files,
    candidates,
    content,
    count,
    loads,
    mapping,
    number,
    result_of,
    sha,
    text,
    without_scores,
)

KIND = "EvalHub job"
Directions = dict[str, dict[str, bool]]
"""Whether higher is better, by benchmark and metric."""
STATES: dict[str, Data] = {
    "completed": SUCCEEDED,
    "failed": {"state": "Complete", "reason": "Failed", "cause": "internal"},
    "partially_failed": {"state": "Complete", "reason": "Failed", "cause": "internal"},
    "cancelled": {"state": "Cancelled", "reason": "Cancelled", "cause": "cancelled"},
}
"""How EvalHub's ends are called here."""
LIMITS = ("num_examples", "limit")
"""Parameters of a benchmark that restrict it to a part of its documents."""


def read(files: Files) -> Evidence | None:
    """Return the evidence of a job; None if there is none.

    :raises ResultNotFoundError: the job has not ended. :raises DamagedResultError: documents of several jobs.
    """
    found = {name: data for name in _names(files) if (data := _document(files, name)) is not None}
    jobs = [data for data in found.values() if _is_job(data)]
    reports = [data for data in found.values() if _is_report(data)]
    if not jobs and not reports:
        return None
    ids = {_job_id(data) for data in (*jobs, *reports)}
    if len(ids) > 1 or len(jobs) > 1:
        raise DamagedResultError(f"{files.place} holds several jobs of EvalHub ({', '.join(sorted(ids))}); name one")
    job = jobs[0] if jobs else {}
    directions = {str(each.get("id")): _direction(each) for each in _requested(job)}
    reported = {str(each["benchmark_id"]) for each in reports}
    tasks = {name: task for name, task in _of_job(job, directions).items() if name not in reported}
    tasks |= _of_reports(reports, directions)
    limit = next((limit for each in (*_requested(job), *map(_settings, reports)) if (limit := _limit(each))), None)
    parts = {
        **(_state(job, files.place) if job else SUCCEEDED),
        "model": _model(job, reports),
        "tasks": tasks,
        "config": {"limit": limit},
        "fingerprint": {"schema_version": 1, "limit": limit},
    }
    return Evidence(result_of(files.place, f"evalhub-{ids.pop()}", parts), without_scores, KIND)


def _names(files: Files) -> Iterator[str]:
    """Yield the JSON files that were asked for, or that lie at the top of the bundle."""
    return (name for name in candidates(files) if name.endswith(".json") and (files.chosen or "/" not in name))


def _document(files: Files, name: str) -> Data | None:
    """Return a document of EvalHub, None for any other file beside it."""
    try:
        data = loads(content(files, name), f"{files.place}: {PurePosixPath(name).name}")
    except DamagedResultError:
        if files.chosen:
            raise
        return None
    return data if isinstance(data, dict) and (_is_job(data) or _is_report(data)) else None


def _is_job(data: Data) -> bool:
    return text(mapping(data.get("resource")).get("id")) is not None and isinstance(data.get("status"), dict)


def _is_report(data: Data) -> bool:
    return text(data.get("benchmark_id")) is not None and isinstance(data.get("results", data.get("metrics")), list)


def _job_id(data: Data) -> str:
    return str(mapping(data.get("resource")).get("id") or data.get("job_id") or data.get("id") or sha(data)[:16])


def _state(job: Data, place: str) -> Data:
    state = text(mapping(job["status"]).get("state"))
    if state not in STATES:
        raise ResultNotFoundError(f"{place}: the job is {state!r} and has no result yet; wait until it has ended")
    said = mapping(mapping(job["status"]).get("message")).get("message")
    return STATES[state] | ({} if state == "completed" else {"message": text(said)})


def _model(job: Data, reports: list[Data]) -> Data:
    model = mapping(job.get("model"))
    names = {text(model.get("name")), *(text(each.get("model_name")) for each in reports)} - {None}
    return {"name": min(names, default=None, key=str), "args": {"base_url": text(model.get("url"))}}


def _requested(job: Data) -> list[Data]:
    collection = mapping(job.get("collection")).get("benchmarks")
    found = job.get("benchmarks") or collection
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _settings(report: Data) -> Data:
    return {"parameters": mapping(mapping(report.get("evaluation_metadata")).get("benchmark_config"))}


def _limit(benchmark: Data) -> float | None:
    parameters = mapping(benchmark.get("parameters"))
    return next((value for key in LIMITS if (value := number(parameters.get(key)))), None)


def _of_job(job: Data, directions: Directions) -> Data:
    """Return the tasks of the resource. It never says how many documents there were."""
    reported = mapping(job.get("results")).get("benchmarks")
    found = [each for each in (reported if isinstance(reported, list) else []) if isinstance(each, dict)]
    tasks: Data = {str(each.get("id")): {"kind": "task"} for each in (*_requested(job), *found)}
    for benchmark in found:
        name, lm_eval = str(benchmark.get("id")), str(benchmark.get("provider_id")).startswith("lm")
        scored: Data = {}
        for said, value in mapping(benchmark.get("metrics")).items():
            task, metric = _split(said, name) if lm_eval else (name, said)
            better = _better(directions, name, said, metric)
            _add(scored, task, f"{metric},none", {"value": number(value), "n": 0, "higher_is_better": better})
        _replace(tasks, name, scored)
    return tasks


def _of_reports(reports: list[Data], directions: Directions) -> Data:
    tasks: Data = {}
    for report in reports:
        benchmark, scored = str(report["benchmark_id"]), Data()
        for entry in report["results"] if "results" in report else report["metrics"]:
            said, about = mapping(entry), mapping(mapping(entry).get("metadata"))
            name = str(said.get("metric_name"))
            task, metric = _split(name, benchmark)
            score = {
                "value": number(said.get("metric_value")),
                "stderr": number(about.get("stderr")),
                "n": count(said.get("num_samples")) or 0,
                "higher_is_better": _better(directions, benchmark, name, metric),
            }
            key = f"{about.get('metric', metric)},{about.get('filter', 'none')}"
            _add(scored, str(about.get("task", task)), key, score)
        tasks.setdefault(benchmark, {"kind": "task"})
        _replace(tasks, benchmark, scored)
    return tasks


def _direction(benchmark: Data) -> dict[str, bool]:
    primary = mapping(benchmark.get("primary_score"))
    metric = text(primary.get("metric"))
    return {metric: not primary.get("lower_is_better", False)} if metric else {}


def _better(directions: Directions, benchmark: str, *names: str) -> bool | None:
    """Return the direction of a metric. Only that of a benchmark's primary score is known."""
    known = directions.get(benchmark, {})
    return next((known[name] for name in names if name in known), None)


def _split(said: str, benchmark: str) -> tuple[str, str]:
    """Return task and metric of ``task.metric``, as adapters of lm-eval write it; a benchmark may be several tasks."""
    task, dot, metric = said.rpartition(".")
    return (task, metric) if dot and task and not metric.isdigit() else (benchmark, said)


def _add(tasks: Data, task: str, key: str, score: Data) -> None:
    """Add a score. A benchmark evaluates all its documents unless it is limited, so what was evaluated is what there is."""
    entry = tasks.setdefault(task, {"kind": "task"})
    entry.setdefault("metrics", {})[key] = score
    if score["n"]:
        entry["n_samples"] = {"original": score["n"], "effective": score["n"]}


def _replace(tasks: Data, benchmark: str, scored: Data) -> None:
    """Put a benchmark's scored tasks in its place; without any it stays, empty."""
    if scored:
        tasks.pop(benchmark, None)
        tasks |= scored
