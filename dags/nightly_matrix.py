"""### Every model on every suite, every night.

One mapped task per pair. The pool `gpu` says how many evaluate at once, deferred ones included
(`airflow pools set gpu 4 "GPUs" --include-deferred`); the others wait their turn. What fails leaves the rest alone, and the
last task tells it: with the scores of all that succeeded in XCom `scores`, it fails if anything is missing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, task

from airflow_provider_lmeval.operators.lmeval import LMEvalOperator

log = logging.getLogger(__name__)
POOL = "gpu"
PARAMS = {
    "models": Param(
        [],
        type="array",
        items={"type": "string"},
        description="Directories or names of models; without any nothing runs.",
    ),
    "suites": Param(
        {"leaderboard": ["suite:open-llm-leaderboard-v1"]},
        type="object",
        description="Tasks of each suite, in lm-eval's names.",
    ),
    "options": Param({"batch_size": "auto"}, type="object", description="Further fields of every evaluation's spec."),
}


@dag(schedule="0 1 * * *", catchup=False, params=PARAMS, max_active_runs=1, tags=["lmeval"], doc_md=__doc__)
def nightly_matrix():
    @task
    def matrix(params: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """Return one spec per model and suite."""
        given = params or {}
        return [
            {"model": {"type": "hf", "pretrained": model}, "tasks": tasks, **given["options"]}
            for model in given["models"]
            for tasks in given["suites"].values()
        ]

    @task(trigger_rule="all_done")
    def table(specs: list[dict[str, Any]], summaries: Iterable[dict[str, Any]], ti: Any = None) -> None:
        """Leave the scores by model and task; fail if an evaluation is missing among them."""
        from airflow.sdk.exceptions import AirflowFailException

        from airflow_provider_lmeval.store import open_result

        succeeded = [summary for summary in summaries or () if summary["reason"] == "Succeeded"]
        scores: dict[str, dict[str, Any]] = {}
        for summary in succeeded:
            model = str(open_result(summary["result_uri"]).model.name)
            scores.setdefault(model, {}).update(summary["results"])
            log.info("%s: %s", model, summary["results"])
        ti.xcom_push(key="scores", value=scores)
        if len(succeeded) < len(specs):
            raise AirflowFailException(f"{len(specs) - len(succeeded)} of {len(specs)} evaluations did not succeed")

    specs = matrix()
    evaluate = LMEvalOperator.partial(
        task_id="evaluate",
        pool=POOL,
        kubernetes={"gpu": 1},
        retries=3,
        retry_delay=timedelta(minutes=1),
        execution_timeout=timedelta(hours=12),
        map_index_template="{{ task.spec['model']['pretrained'] }} {{ task.spec['tasks'] | join(' ') }}",
    ).expand(spec=specs)
    table(specs, evaluate.output)


nightly_matrix()
