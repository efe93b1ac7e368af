"""One finished task on disk: a score table, the samples if asked for, and a document that says it is complete.

``result.json`` is written last, so its presence means that the task need not be evaluated again. Besides the document
that becomes part of the result it keeps lm-eval's own numbers, unrounded, from which groups are aggregated: a resumed
run gives the same groups as one that was never interrupted.
"""

from __future__ import annotations

import gzip
import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from airflow_provider_lmeval.driver.redact import Redactor
from airflow_provider_lmeval.driver.worker.fingerprint import sha, task_fingerprint
from airflow_provider_lmeval.driver.worker.plain import number, plain, score
from airflow_provider_lmeval.driver.worker.requests import request_counts
from airflow_provider_lmeval.driver.worker.unitxt_direction import directions
from airflow_provider_lmeval.wire import RESULT_NAME, RunDir, dump, file_digest, write_atomic

SCORES, SAMPLES = "scores.jsonl.gz", "samples.jsonl.gz"
Record = dict[str, Any]
"""Content of a task's ``result.json``: ``task``, ``settings``, ``batch_size``, ``document``, ``raw``, ``fingerprint``,
``config``, ``model``, ``chat_template`` (its hash) and ``files``, the digests of its tables.
"""


class Records:
    """The tasks' directories of one run.

    :param run: the run directory.
    :param redactor: takes secrets out of everything written; lm-eval copies model arguments into each task's metadata.
    :param log_samples: texts are kept beside the scores.
    """

    def __init__(self, run: RunDir, redactor: Redactor, *, log_samples: bool) -> None:
        self._run = run
        self._redactor = redactor
        self._log_samples = log_samples

    def any(self) -> bool:
        """Tell whether an earlier attempt finished any task."""
        return next(self._run.tasks.glob(f"*/{RESULT_NAME}"), None) is not None

    def finished(self, name: str, settings: str) -> Record | None:
        """Return a task's record if it was finished under the same settings.

        :param settings: hash of everything that decides the task's scores and files.
        """
        place = self._run.task(name)
        try:
            record: Record = json.loads((place / RESULT_NAME).read_bytes())
            same = isinstance(record, dict) and record.get("task") == name and record.get("settings") == settings
            return record if same and record.get("files") == self._tables(place) else None
        except (OSError, ValueError):
            return None

    def write(self, record: Record, rows: list[dict[str, Any]]) -> Record:
        """Write a finished task and return its record as it was written.

        :param rows: lm-eval's sample rows.
        :raises OSError: no space, no permission; then the task counts as not finished.
        """
        place = self._run.task(record["task"])
        place.mkdir(parents=True, exist_ok=True)
        (place / RESULT_NAME).unlink(missing_ok=True)
        names = {"scores": SCORES, "samples": SAMPLES if self._log_samples else None}
        self._table(place / SCORES, map(score_row, rows))
        if self._log_samples:
            self._table(place / SAMPLES, map(sample_row, rows))
        relative = {key: f"tasks/{place.name}/{file}" if file else None for key, file in names.items()}
        record = self._redactor.data({**record, "document": {**record["document"], **relative}})
        record["files"] = self._tables(place)
        write_atomic(place / RESULT_NAME, dump(record))
        return record

    def _tables(self, place: Path) -> dict[str, Any]:
        """Return the digests of a task's tables.

        :raises OSError: one is missing.
        """
        return {name: file_digest(place / name) for name in ([SCORES, SAMPLES] if self._log_samples else [SCORES])}

    def _table(self, path: Path, rows: Iterable[dict[str, Any]]) -> None:
        """Write rows as gzipped JSON lines, one at a time: samples may be larger than memory should hold twice."""
        draft = path.with_name(f".{path.name}.tmp")
        with open(draft, "wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as stream:
            for row in rows:
                line = json.dumps(self._redactor.data(row), ensure_ascii=False, allow_nan=False)
                stream.write(line.encode("utf-8", "replace") + b"\n")
        os.replace(draft, path)  # noqa: PTH105 - as wire.write_atomic does


def make_record(
    name: str,
    task: Any,
    results: Mapping[str, Any],
    *,
    settings: str,
    seconds: float,
    model: Mapping[str, Any],
    repeated: int | None = 0,
    origin: Mapping[str, Any] | None = None,
) -> Record:
    """Return the record of an evaluated task.

    :param task: lm-eval's task object. :param results: what ``lm_eval.evaluator.evaluate`` returned, samples included.
    :param settings: see :meth:`Records.finished`. :param seconds: what it took. :param model: the result's ``model``
        part.
    :param repeated: requests that had to be sent again; None where that is not known of this task alone.
    :param origin: where the data come from, if not from where lm-eval read them.
    """
    rows = results["samples"][name]
    metrics, direction = results["results"][name], directions(task, results["higher_is_better"].get(name) or {})
    task_hash = sha("".join(row["doc_hash"] + row["prompt_hash"] + row["target_hash"] for row in rows))
    version = results["versions"].get(name)
    requests, failed = request_counts(rows)
    document = {
        "kind": "task",
        "alias": metrics.get("alias", name),
        "output_type": task.OUTPUT_TYPE,
        "version": plain(version),
        "num_fewshot": plain(results["n-shot"].get(name)),
        "n_samples": plain(results["n-samples"][name]),
        "failed": failed,
        "requests": {**requests, "repeated": repeated},
        "metrics": metric_table(metrics, direction, _counts(rows)),
        "task_hash": task_hash,
        "seconds": round(seconds, 3),
    }
    return {
        "schema_version": 1,
        "task": name,
        "settings": settings,
        "document": plain(document),
        "raw": {"metrics": exact_metrics(metrics), "higher_is_better": plain(direction)},
        "fingerprint": task_fingerprint(task, rows, task_hash, version, origin),
        "config": plain(results["configs"].get(name) or {}),
        "model": dict(model),
    }


def metric_table(
    metrics: Mapping[str, Any], direction: Mapping[str, Any], counts: Mapping[str, int]
) -> dict[str, dict[str, Any]]:
    """Return ``{"metric,filter": {"value", "stderr", "n", "higher_is_better"}}`` of lm-eval's flat results.

    :param metrics: ``"metric,filter"`` and ``"metric_stderr,filter"`` keys among others.
    :param direction: higher-is-better by metric name. :param counts: documents by ``"metric,filter"``.
    """
    table = {}
    for key, value in metrics.items():
        metric, comma, filter_name = key.partition(",")
        if not comma or (metric.endswith("_stderr") and f"{metric.removesuffix('_stderr')},{filter_name}" in metrics):
            continue
        table[key] = {
            "value": number(value),
            "stderr": number(metrics.get(f"{metric}_stderr,{filter_name}")),
            "n": counts.get(key, metrics.get("sample_len")),
            "higher_is_better": plain(direction.get(metric)),
        }
    return table


def raw_metrics(record: Record) -> dict[str, Any]:
    """Return lm-eval's own metrics of a record, NaN and infinity included."""
    kept = record["raw"]["metrics"].items()
    return {key: _NOT_FINITE.get(value, value) if isinstance(value, str) else value for key, value in kept}


def score_row(row: dict[str, Any]) -> dict[str, Any]:
    """Return the row of the score table for one of lm-eval's sample rows: hashes and numbers, no text."""
    hashes = {key: row[key] for key in ("doc_id", "doc_hash", "prompt_hash", "target_hash", "filter")}
    found = {
        **hashes,
        "metrics": {name: score(row.get(name)) for name in row["metrics"]},
        "response_hash": sha(row["resps"]),
    }
    likelihoods = [_loglikelihood(responses) for responses in row["resps"]]
    return {**found, "loglikelihoods": likelihoods} if None not in likelihoods else found


def sample_row(row: dict[str, Any]) -> dict[str, Any]:
    """Return a sample row as lm-eval's own ``samples_*.jsonl`` holds it (``EvaluationTracker.save_results_samples``)."""
    arguments = {
        f"gen_args_{i}": {f"arg_{j}": part for j, part in enumerate(request)}
        for i, request in enumerate(row["arguments"])
    }
    texts = {key: _as_texts(row[key]) for key in ("resps", "filtered_resps")}
    return {
        key: plain(value)
        for key, value in {**row, **texts, "arguments": arguments, "target": str(row["target"])}.items()
    }


def _as_texts(value: Any) -> Any:
    return [_as_texts(item) for item in value] if isinstance(value, list | tuple) else str(value)


def _loglikelihood(responses: Any) -> float | None:
    """Return the log-likelihood in the first response: a number, or the first of ``(loglikelihood, is_greedy)``."""
    first = responses[0] if isinstance(responses, list | tuple) and responses else None
    return number(first[0] if isinstance(first, list | tuple) and first else first)


def _counts(rows: list[dict[str, Any]]) -> Counter[str]:
    return Counter(f"{metric},{row['filter']}" for row in rows for metric in row["metrics"])


_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def exact_metrics(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return metrics such that :func:`raw_metrics` gives the same numbers again, bit by bit."""
    return {key: json.dumps(float(value)) if _not_finite(value) else plain(value) for key, value in metrics.items()}


def _not_finite(value: Any) -> bool:
    return not isinstance(value, str | bool) and hasattr(value, "__float__") and not math.isfinite(value)
