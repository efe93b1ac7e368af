"""### Compare the model in production with itself.

Whenever a model is promoted it is evaluated once more, with other few-shot examples and another batch size, which should
change nothing. What changes all the same is kept with the baseline, and every later verdict says which margins are within
that noise.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import dag, task

from airflow_provider_lmeval.operators.calibrate import LMEvalCalibrateOperator, second_evaluation
from airflow_provider_lmeval.operators.lmeval import LMEvalOperator
from airflow_provider_lmeval.operators.promote import baseline_asset

NAME, SUITE = "chat", "post_training"
SPEC = {
    "model": {"type": "hf", "pretrained": "the promoted one is put here"},
    "tasks": ["arc_easy", "hellaswag"],
    "batch_size": 16,
}
"""How this suite is evaluated."""
RULES = "no_regression"


@dag(schedule=[baseline_asset(NAME, SUITE)], catchup=False, tags=["lmeval"], doc_md=__doc__)
def calibrate_baseline():
    @task
    def evaluation() -> dict[str, Any]:
        """Describe the second evaluation of the promoted model."""
        return second_evaluation(NAME, SUITE, SPEC)

    again = LMEvalOperator(task_id="evaluate_again", spec=evaluation())
    LMEvalCalibrateOperator(task_id="calibrate", name=NAME, suite=SUITE, second=again.output, rules=RULES)


calibrate_baseline()
