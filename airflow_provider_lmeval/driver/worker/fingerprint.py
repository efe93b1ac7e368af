"""Says what a result depends on, so that two results are compared only where they may be.

Hashes instead of texts: documents, prompts and instructions may be large or confidential. Lists of documents are hashed
sorted, so that the order in which they were evaluated does not matter.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from platform import python_version
from typing import Any

from airflow_provider_lmeval import __version__
from airflow_provider_lmeval.driver.worker.plain import plain
from airflow_provider_lmeval.driver.worker.settings import Settings
from airflow_provider_lmeval.wire import Request

SCHEMA_VERSION = 1
PACKAGES = ("lm_eval", "transformers", "torch", "datasets")


def sha(value: Any) -> str:
    """Return the SHA-256 of a text, or of the canonical JSON of anything else, in hexadecimal."""
    text = value if isinstance(value, str) else json.dumps(plain(value), sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def versions(request: Request) -> dict[str, str]:
    """Return the versions of what computed the scores; packages that are not installed are left out."""
    found = {"python": python_version(), "airflow_provider_lmeval": __version__}
    for package in (*PACKAGES, *(["unitxt"] if request.unitxt else [])):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def task_fingerprint(
    task: Any,
    rows: list[dict[str, Any]],
    task_hash: str,
    task_version: Any,
    origin: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return one task's part.

    :param task: lm-eval's task object, evaluated. :param rows: its sample rows, one per document and filter.
    :param task_hash: lm-eval's own. :param task_version: of the task's definition.
    :param origin: ``path``, ``name`` and ``fingerprint`` of the data, if lm-eval read them from a copy.
    """
    generation = task.get_config("generation_kwargs") if task.get_config("output_type") == "generate_until" else None
    return {
        "version": plain(task_version),
        "task_hash": task_hash,
        "documents": _together(row["doc_hash"] for row in rows),
        "targets": _together(row["doc_hash"] + row["target_hash"] for row in rows),
        "prompts": _together(row["doc_hash"] + row["prompt_hash"] for row in rows),
        "num_fewshot": plain(task.get_config("num_fewshot")),
        "generation_kwargs": sha(generation) if generation else None,
        "filters": sorted({row["filter"] for row in rows}),
        "dataset": dict(origin)
        if origin
        else {
            "path": plain(getattr(task, "DATASET_PATH", None)),
            "name": plain(getattr(task, "DATASET_NAME", None)),
            "fingerprint": plain(getattr(task.eval_docs, "_fingerprint", None)),
        },
    }


def run_fingerprint(
    request: Request,
    settings: Settings,
    model: Mapping[str, Any],
    tasks: Mapping[str, Any],
    chat_template: str | None,
    batch_size: Any,
    sources: list[dict[str, str]],
) -> dict[str, Any]:
    """Return the whole fingerprint.

    :param model: the result's ``model`` part. :param tasks: what :func:`task_fingerprint` returned, by name.
    :param chat_template: hash of the template, if one is applied.
    :param batch_size: of all tasks, or ``mixed``.
    :param sources: repositories that task files came from, with their commits.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "spec_hash": request.spec_hash,
        "lm_eval": version("lm_eval"),
        "checkpoint": request.checkpoint,
        "model": {key: model.get(key) for key in ("type", "identity", "dtype")},
        "tasks": dict(tasks),
        "seeds": settings.seeds,
        "limit": settings.limit,
        "samples": sha(settings.samples) if settings.samples else None,
        "chat_template": chat_template,
        "system_instruction": sha(settings.system_instruction) if settings.system_instruction else None,
        "batch_size": batch_size,
        "device": model.get("device"),
        "task_sources": sources,
        "image": os.environ.get("LMEVAL_IMAGE"),
    }


def _together(hashes: Iterable[str]) -> str:
    return sha(sorted(set(hashes)))
