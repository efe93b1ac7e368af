"""### Train on a GPU, evaluate, gate, promote.

Like *post_training_gate*, for a cluster with GPUs: training and evaluation take a slot of the pool `gpu`, the candidate is
held against the model in production, and a promotion goes on the record. `train` fine-tunes the demo's tiny model; put
your own training in its place.

The pool has to exist, and to count deferred tasks, since an evaluation is deferred while it uses the GPU:
`airflow pools set gpu 4 "GPUs" --include-deferred`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, task

from airflow_provider_lmeval.operators.gate import LMEvalGateOperator
from airflow_provider_lmeval.operators.lmeval import LMEvalOperator
from airflow_provider_lmeval.operators.promote import LMEvalPromoteOperator
from lmeval_demo.places import root, run_directory
from lmeval_demo.questions import TASKS, write_tasks

POOL = "gpu"
NAME, SUITE = "heavier", "demo"
# The first candidate has no model to be compared with: its floors are checked, and the verdict is WARN.
RULES = [
    {"task": "demo_heavier", "metric": "acc", "floor": 0.85, "max_drop": 0.02},
    {"task": "demo_lighter", "metric": "exact_match", "floor": 0.80, "max_drop": 0.02},
]
# For the backend `kubernetes`, which has to see the models where the workers write them; other backends ignore it.
PODS = {"gpu": 1, "memory": "8Gi", "claims": [{"claim": "models", "path": str(root()), "read_only": True}]}
PARAMS = {"device": Param("cuda", enum=["cuda", "cpu"], description="What to evaluate on.")}


@dag(schedule=None, params=PARAMS, max_active_runs=4, tags=["lmeval"], doc_md=__doc__)
def gate_on_gpu():
    @task(pool=POOL)
    def train(run_id: str | None = None) -> str:
        """Fine-tune the candidate, and return its directory."""
        from lmeval_demo import training

        place = run_directory(run_id)
        training.make_base(place / "base")
        training.fine_tune(place / "base", place / "candidate", training.CANDIDATE_STEPS["good"])
        return str(place / "candidate")

    @task
    def describe(model: str, run_id: str | None = None, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the spec of the candidate's evaluation, with the held-out questions beside the model."""
        questions = run_directory(run_id) / "tasks"
        write_tasks(questions)
        return {
            "model": {"type": "hf", "pretrained": model},
            "tasks": list(TASKS),
            "include_paths": [str(questions)],
            "batch_size": 50,
            "device": (params or {})["device"],
        }

    evaluate = LMEvalOperator(
        task_id="evaluate",
        spec=describe(train()),
        pool=POOL,
        kubernetes=PODS,
        retries=3,
        retry_delay=timedelta(minutes=1),
        execution_timeout=timedelta(hours=6),
    )
    gate = LMEvalGateOperator(
        task_id="gate", candidate=evaluate.output, baseline=f"promoted:{NAME}/{SUITE}", rules=RULES
    )
    LMEvalPromoteOperator(task_id="promote", name=NAME, suite=SUITE, candidate=evaluate.output, verdict=gate.output)


gate_on_gpu()
