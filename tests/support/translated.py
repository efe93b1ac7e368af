"""LMEvalJobs of the documents, made to fit a test machine, translated, and evaluated by the local backend."""

from __future__ import annotations

import copy
import time
from pathlib import Path
from typing import Any

from airflow_provider_lmeval.backends.local import LocalBackend
from airflow_provider_lmeval.plan import Grants
from airflow_provider_lmeval.plan.checks import references
from airflow_provider_lmeval.plan.lmevaljob import read_lmevaljob
from airflow_provider_lmeval.results import EvalResult
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.wire import State
from tests.support.lmevaljobs import manifest
from tests.support.tiny import tiny_tasks

Json = dict[str, Any]
LONGEST_S = 120


def on_tiny(name: str, **arguments: str) -> Json:
    """Return a manifest with other model arguments; those not named stay."""
    job = copy.deepcopy(manifest(name))
    given = {item["name"]: item["value"] for item in job["spec"].get("modelArgs", [])} | arguments
    job["spec"]["modelArgs"] = [{"name": key, "value": value} for key, value in given.items()]
    return job


def translated(job: Json, tasks: Path | None = None) -> EvalSpec:
    """Return a job's spec; the tiny tasks lie in a directory of their own.

    :param tasks: another directory with task files.
    """
    changes = {"include_paths": (str(tasks or tiny_tasks()),), "device": "cpu"}
    return read_lmevaljob(job).spec.model_copy(update=changes)


def run_here(spec: EvalSpec, place: Path, run: str = "run-1") -> EvalResult:
    """Evaluate a spec with the local backend, which is permitted whatever the spec refers to."""
    backend = LocalBackend(directory=place / "runs", results_uri=str(place / "results"))
    names = frozenset(references(spec))
    granted = Grants(online=True, code_execution=True, env=names, data_roots=(str(place),))
    handle = backend.submit(spec, run, granted)
    deadline = time.monotonic() + LONGEST_S
    while not State(backend.status(handle).state).ended:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    result = backend.collect(handle)
    assert result.succeeded, result.message
    return result


def evaluated(job: Json, place: Path) -> tuple[EvalSpec, EvalResult]:
    """Translate a job and evaluate it."""
    spec = translated(job)
    return spec, run_here(spec, place)
