"""Reads the bundles of ``nel eval run``, NeMo Evaluator's newer command: ``eval-*.json`` with ``results.jsonl`` beside it.

One pair per benchmark (``nemo_evaluator.engine.artifacts``). A row has a position, an expected answer and a reward, but no
question. Documents that cannot be recognised cannot be paired by content, so there are no score tables; the rows tell how
many there are and how many failed and were scored 0 all the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from airflow_provider_lmeval.errors import DamagedResultError
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
    text,
    without_scores,
)

KIND = "NeMo Evaluator bundle"
ROWS = "results.jsonl"


def read(files: Files) -> Evidence | None:
    """Return the evidence of all bundles; None if there is none.

    :raises DamagedResultError: one is damaged, or they do not belong together.
    """
    names = [name for name in candidates(files) if _named(PurePosixPath(name).name)]
    bundles = {name: _bundle(files, name) for name in names}
    if not bundles:
        return None
    configs = [mapping(bundle.get("config")) for bundle in bundles.values()]
    models = [{"name": text(each.get("model")), "args": {"base_url": text(each.get("model_url"))}} for each in configs]
    tasks = {bundle["benchmark"]["name"]: _task(files, name, bundle) for name, bundle in bundles.items()}
    if len(tasks) < len(bundles) or any(model != models[0] for model in models):
        raise DamagedResultError(
            f"{files.place} holds several evaluations of a benchmark, or of several models; name one of {', '.join(names)}"
        )
    config = {
        "limit": min((limit for each in configs if (limit := count(each.get("max_problems")))), default=None),
        "samples": next((shard for each in configs if (shard := each.get("shard_range"))), None),
    }
    run_id = str(next(iter(bundles.values())).get("run_id") or names[0])
    parts = {"model": models[0], "tasks": tasks, "config": config, "fingerprint": {"schema_version": 1}}
    return Evidence(result_of(f"{files.place}: {names[0]}", run_id, SUCCEEDED | parts), without_scores, KIND)


def _named(name: str) -> bool:
    return name.startswith("eval-") and name.endswith(".json")


def _bundle(files: Files, name: str) -> Data:
    where = f"{files.place}: {name}"
    data = loads(content(files, name), where)
    benchmark = mapping(mapping(data).get("benchmark"))
    if not text(benchmark.get("name")) or not isinstance(benchmark.get("scores"), dict):
        raise DamagedResultError(
            f"{where} is not a bundle of NeMo Evaluator: it has no benchmark.name or benchmark.scores"
        )
    return dict(data)


def _task(files: Files, name: str, bundle: Data) -> Data:
    benchmark = bundle["benchmark"]
    n = count(benchmark.get("samples")) or 0
    rows = str(PurePosixPath(name).parent / ROWS)
    return {
        "kind": "task",
        "n_samples": {"original": n, "effective": n} if n else None,
        "failed": _failed(files, rows, count(bundle.get("n_results"))) if rows in files.names else None,
        "metrics": dict(_metrics(benchmark["scores"], n)),
    }


def _metrics(scores: Data, n: int) -> Iterator[tuple[str, Data]]:
    """Yield rewards, and what is made of them; both are better when higher. The rest are statistics of the run."""
    for metric, score in scores.items():
        if isinstance(score, dict) and "value" in score:
            value = number(score["value"])
            yield f"{metric},none", {"value": value, "stderr": None, "n": n, "higher_is_better": True}


def _failed(files: Files, name: str, expected: int | None) -> int:
    """Return how many documents have a row without an answer.

    :raises DamagedResultError: a row is damaged, or there are fewer or more than the bundle says.
    """
    where, number_of_rows, failed = f"{files.place}: {name}", 0, set()
    with files.open(name) as stream:
        for number_of_rows, line in enumerate(stream, start=1):
            row = loads(line, f"{where}, line {number_of_rows},")
            if mapping(mapping(row).get("scoring_details")).get("error_category"):
                failed.add(_position(row, where, number_of_rows))
    if expected is not None and number_of_rows != expected:
        raise DamagedResultError(f"{where} has {number_of_rows} rows, its bundle says {expected}; evaluate again")
    return len(failed)


def _position(row: Any, where: str, line: int) -> int:
    position = count(row.get("problem_idx"))
    if position is None:
        raise DamagedResultError(f"{where}, line {line}: problem_idx is missing or no number")
    return position
