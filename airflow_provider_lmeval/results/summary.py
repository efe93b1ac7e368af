"""What a finished evaluation leaves in XCom, where the next task and the UI look first.

Small, plain and complete: every score of every task under lm-eval's own names, and where the whole document lies.
MMLU's 61 entries with their fingerprint come to just under 50 kB, which Airflow's database backend takes; a larger suite
gets a larger value, never a shortened one. Texts, per-document scores and configurations stay in the store.
"""

from __future__ import annotations

from typing import Any

from airflow_provider_lmeval.results.model import EvalResult, TaskResult

SCHEMA_VERSION = 1
"""Version of the XCom value."""


def summary(result: EvalResult, *, backend: str, result_uri: str | None) -> dict[str, Any]:
    """Return the XCom ``return_value`` of an evaluation.

    Scores of a run that did not succeed are left out, so that nobody downstream takes a part for the whole; what it had
    finished is in the document.

    :param result: the result document.
    :param backend: the backend that ran it: ``local``, ``kubernetes``, ``lmevaljob`` …
    :param result_uri: where the document is stored; None if it is nowhere.
    """
    tasks = result.tasks if result.succeeded else {}
    return {
        "schema_version": SCHEMA_VERSION,
        "run_id": result.run_id,
        "backend": backend,
        "state": result.state.value,
        "reason": result.reason.value,
        "cause": result.cause,
        "results": {name: _scores(task) for name, task in tasks.items()},
        "higher_is_better": {name: _directions(task) for name, task in tasks.items()},
        "n_samples": {name: task.n_samples.model_dump() for name, task in tasks.items() if task.n_samples},
        "result_uri": result_uri,
        "fingerprint": result.fingerprint.model_dump(mode="json", exclude_unset=True),
        "seconds": result.timings.seconds,
    }


def _scores(task: TaskResult) -> dict[str, float | None]:
    """Return values and standard errors keyed as ``lm_eval`` keys its ``results``."""
    scores: dict[str, float | None] = {}
    for key, metric in task.metrics.items():
        name, _, filter_name = key.partition(",")
        scores[key] = metric.value
        scores[f"{name}_stderr,{filter_name}"] = metric.stderr
    return scores


def _directions(task: TaskResult) -> dict[str, bool | None]:
    return {key.partition(",")[0]: metric.higher_is_better for key, metric in task.metrics.items()}
