"""Reads ``results.yml`` of NVIDIA NeMo Evaluator (``nemo-evaluator`` and its launcher).

One file per benchmark: ``results.tasks.<task>.metrics.<metric>.scores.<score>.{value, stats}``, beside the configuration and
target of the run (``nemo_evaluator.api.api_dataclasses``). It holds no documents, so it can be held against floors and
ceilings, while a comparison with a baseline needs the files of the harness behind it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

import yaml

from airflow_provider_lmeval.errors import DamagedResultError
from airflow_provider_lmeval.results.readers.bundle import (
    SUCCEEDED,
    Data,
    Evidence,
    Files,
    candidates,
    content,
    count,
    mapping,
    number,
    result_of,
    sha,
    text,
    without_scores,
)

KIND = "NeMo Evaluator results"
NAMES = ("results.yml", "results.yaml")
GENERATION = ("temperature", "top_p", "max_new_tokens")


def read(files: Files) -> Evidence | None:
    """Return the evidence of all results files; None if there is none.

    :raises DamagedResultError: one is damaged, or they are of different models.
    """
    names = [name for name in candidates(files) if PurePosixPath(name).name in NAMES]
    if not names:
        return None
    documents = [_document(files, name) for name in names]
    models = [_model(document) for document in documents]
    if any(model != models[0] for model in models):
        raise DamagedResultError(f"{files.place} holds results of several models; name one of {', '.join(names)}")
    tasks: Data = {}
    for name, document in zip(names, documents, strict=True):
        for task, entry in _tasks(document):
            if task in tasks:
                raise DamagedResultError(
                    f"{files.place}: {name} has {task}, which another results file has too; name one"
                )
            tasks[task] = entry
    limits = {number(_params(document).get("limit_samples")) for document in documents}
    parts = {
        "model": models[0],
        "tasks": tasks,
        "config": _config(limits),
        "fingerprint": _fingerprint(documents, limits),
    }
    result = result_of(f"{files.place}: {names[0]}", f"nemo-{sha([documents])[:16]}", SUCCEEDED | parts)
    return Evidence(result, without_scores, KIND)


def _document(files: Files, name: str) -> Data:
    where = f"{files.place}: {name}"
    try:
        data = yaml.safe_load(content(files, name))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DamagedResultError(f"{where} is not valid YAML: {error}") from None
    found = mapping(data).get("results")
    if not isinstance(found, Mapping) or not (mapping(found.get("tasks")) or mapping(found.get("groups"))):
        raise DamagedResultError(
            f"{where} is not a result of NeMo Evaluator: it has no results.tasks or results.groups"
        )
    return dict(data)


def _params(document: Data) -> Mapping[str, Any]:
    return mapping(mapping(document.get("config")).get("params"))


def _model(document: Data) -> Data:
    endpoint = mapping(mapping(document.get("target")).get("api_endpoint"))
    return {"name": text(endpoint.get("model_id")), "args": {"base_url": text(endpoint.get("url"))}}


def _tasks(document: Data) -> Iterator[tuple[str, Data]]:
    """Yield tasks, and groups that are no task, too. What a group consists of is not said, so it counts as a task."""
    results, fewshot = document["results"], count(mapping(_params(document).get("extra")).get("num_fewshot"))
    tasks = mapping(results.get("tasks"))
    groups = {name: entry for name, entry in _groups(results) if name not in tasks}
    for task, entry in {**groups, **tasks}.items():
        metrics = dict(_metrics(mapping(entry)))
        counts = {metric["n"] for metric in metrics.values()}
        n = counts.pop() if len(counts) == 1 else 0
        yield (
            str(task),
            {
                "kind": "task",
                "num_fewshot": fewshot,
                "metrics": metrics,
                "n_samples": {"original": n, "effective": n} if n else None,
            },
        )


def _groups(part: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, entry in mapping(part.get("groups")).items():
        yield name, entry
        yield from _groups(mapping(entry))


def _metrics(entry: Mapping[str, Any]) -> Iterator[tuple[str, Data]]:
    for metric, found in mapping(entry.get("metrics")).items():
        for score, value in mapping(mapping(found).get("scores")).items():
            stats = mapping(mapping(value).get("stats"))
            yield (
                metric_key(str(metric), str(score)),
                {
                    "value": number(mapping(value).get("value")),
                    "stderr": number(stats.get("stderr")),
                    "n": _n(stats),
                    "higher_is_better": None,
                },
            )


def metric_key(metric: str, score: str) -> str:
    """Return ``metric,filter`` for a metric and one of its scores.

    For lm-eval's own ``exact_match,strict-match`` both are ``exact_match__strict-match``; other harnesses have several
    scores per metric, such as ``score`` and ``micro``.
    """
    name, _, filter_name = metric.partition("__")
    if score in (metric, name):
        return f"{name},{filter_name or 'none'}"
    return f"{metric},{score}"


def _n(stats: Mapping[str, Any]) -> int:
    """Return the number of documents behind a score, 0 if it cannot be known.

    ``stddev`` is that of the population (``ScoreStats``) and ``stderr`` the mean's: their ratio is the square root of n - 1.
    """
    if (counted := count(stats.get("count"))) is not None:
        return counted
    stddev, stderr = number(stats.get("stddev")), number(stats.get("stderr"))
    if not stddev or not stderr:
        return 0
    ratio = (stddev / stderr) ** 2
    return round(ratio) + 1 if math.isclose(ratio, round(ratio), rel_tol=1e-6) else 0


def _config(limits: set[float | None]) -> Data:
    """Return the settings that decide whether all documents were evaluated: the strictest of all benchmarks'."""
    known = [limit for limit in limits if limit is not None]
    return {"limit": min(known, default=None)}


def _fingerprint(documents: list[Data], limits: set[float | None]) -> Data:
    found: Data = {"schema_version": 1, "tasks": {}}
    if len(limits) == 1:
        found["limit"] = next(iter(limits))
    for document in documents:
        params = _params(document)
        generation = sha({key: params.get(key) for key in GENERATION})
        fewshot = count(mapping(params.get("extra")).get("num_fewshot"))
        print_ = {"generation_kwargs": generation, **({} if fewshot is None else {"num_fewshot": fewshot})}
        found["tasks"] |= {task: print_ for task, _ in _tasks(document)}
    return found
