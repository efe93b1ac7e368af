"""### Evaluate without network, after fetching what is needed once.

`warm_up` has network and no GPU: it fills the claim `lmeval-models` with the datasets, tokenizer and weights that the spec
needs and leaves a manifest with their digests. `evaluate` has a GPU and no network: it compares the claim with the manifest
before anything is loaded, and names what is missing. Later evaluations of the same spec need no warm-up; give it
`skip_warm_up`.

That there is no network is for the cluster to enforce: `networkpolicy-offline` closes all pods of evaluations, and
`networkpolicy-hub` opens those of warm-ups (both in `docker/kubernetes`).
"""

from __future__ import annotations

from airflow.sdk import Param, dag, task

from airflow_provider_lmeval.operators.lmeval import LMEvalOperator
from airflow_provider_lmeval.operators.warmup import LMEvalWarmupOperator

CACHE = "/models"
POD = {"cache": {"claim": "lmeval-models", "path": CACHE, "read_only": True}, "gpu": 1}
SPEC = {
    "model": {"type": "hf", "pretrained": "{{ params.model }}", "revision": "{{ params.revision }}"},
    "tasks": ["suite:open-llm-leaderboard-v1"],
    "batch_size": "auto",
    "offline": {"cache": CACHE},
}
PARAMS = {
    "model": Param("EleutherAI/pythia-160m", type="string", description="A model of the Hugging Face Hub."),
    "revision": Param("main", type="string", description="Branch, tag or commit."),
    "skip_warm_up": Param(False, type="boolean", description="The claim has everything already."),
}


@dag(schedule=None, params=PARAMS, tags=["lmeval"], doc_md=__doc__)
def offline():
    @task.short_circuit(ignore_downstream_trigger_rules=False)
    def needed(params: dict | None = None) -> bool:
        """Whether there is something to fetch."""
        return not (params or {})["skip_warm_up"]

    warm_up = LMEvalWarmupOperator(task_id="warm_up", spec=SPEC, backend="kubernetes", kubernetes=POD, retries=3)
    evaluate = LMEvalOperator(
        task_id="evaluate", spec=SPEC, backend="kubernetes", kubernetes=POD, trigger_rule="none_failed"
    )
    needed() >> warm_up >> evaluate


offline()
