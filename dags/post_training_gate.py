"""### Fine-tune, evaluate, gate, promote.

A tiny GPT-2 is fine-tuned on the spot to tell which of two animals is heavier, and evaluated on pairs it has never
seen. Only a candidate that answers well, and no worse than the model of before, is promoted.

Trigger it with `candidate: good` to see a promotion, with `candidate: undertrained` to see the gate hold.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow.sdk import Param, dag, task

from airflow_provider_lmeval.operators.gate import LMEvalGateOperator
from airflow_provider_lmeval.operators.lmeval import LMEvalOperator
from lmeval_demo.places import promote as move_production_link
from lmeval_demo.places import run_directory
from lmeval_demo.questions import TASKS, write_tasks

PARAMS = {
    "candidate": Param(
        "good",
        enum=["good", "undertrained"],
        values_display={"good": "good: trained to the end", "undertrained": "under-trained: stopped far too early"},
        description="Which candidate to train.",
    ),
}
RULES = [
    {"task": "demo_heavier", "metric": "acc", "floor": 0.85, "max_drop": 0.02},
    {"task": "demo_lighter", "metric": "exact_match", "floor": 0.80, "max_drop": 0.02},
]


def evaluation_of(model: Any, task_files: Any) -> dict[str, Any]:
    """Describe the evaluation of a model; baseline and candidate differ in nothing else."""
    return {
        "model": {"type": "hf", "pretrained": model},
        "tasks": list(TASKS),
        "include_paths": [task_files],
        "batch_size": 50,
        "device": "cpu",
        "log_samples": True,  # so that the report shows questions and both answers
    }


@dag(schedule=None, params=PARAMS, tags=["lmeval", "demo"], doc_md=__doc__)
def post_training_gate():
    @task
    def write_questions(run_id: str | None = None) -> str:
        """Write the held-out questions as lm-eval tasks."""
        place = run_directory(run_id) / "tasks"
        write_tasks(place)
        return str(place)

    @task
    def make_base_model(run_id: str | None = None) -> str:
        """Make the GPT-2 that both models are fine-tuned from."""
        from lmeval_demo import training

        place = run_directory(run_id) / "base"
        training.make_base(place)
        return str(place)

    @task
    def train_baseline(base: str, run_id: str | None = None) -> str:
        """Fine-tune the model of before: it does middling well."""
        from lmeval_demo import training

        place = run_directory(run_id) / "baseline"
        training.fine_tune(Path(base), place, training.BASELINE_STEPS)
        return str(place)

    @task
    def train_candidate(base: str, run_id: str | None = None, params: dict[str, Any] | None = None) -> str:
        """Fine-tune the model that wants to be promoted."""
        from lmeval_demo import training

        kind = (params or {})["candidate"]
        place = run_directory(run_id) / f"candidate-{kind}"
        training.fine_tune(Path(base), place, training.CANDIDATE_STEPS[kind])
        return str(place)

    @task
    def promote(model: str) -> str:
        """Make the candidate the model in production."""
        return f"{move_production_link(Path(model))} -> {model}"

    questions, base = write_questions(), make_base_model()
    baseline, candidate = train_baseline(base), train_candidate(base)
    of_baseline = LMEvalOperator(task_id="evaluate_baseline", spec=evaluation_of(baseline, questions))
    of_candidate = LMEvalOperator(task_id="evaluate_candidate", spec=evaluation_of(candidate, questions))
    gate = LMEvalGateOperator(
        task_id="gate", candidate=of_candidate.output, baseline=of_baseline.output, rules=RULES, on_fail="fail"
    )
    gate >> promote(candidate)


post_training_gate()
