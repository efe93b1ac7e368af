"""The DAGs for GPUs, in a real Airflow without one: the pool, the mapping and the record of promotions are the same."""

from __future__ import annotations

import pytest

from airflow_provider_lmeval.store.baselines import Baselines
from airflow_provider_lmeval.store.store import Store
from tests.support.airflow_api import ENDED, wait_until
from tests.support.airflow_env import AirflowEnv
from tests.support.tiny import tiny_model, tiny_tasks, untrained_model


@pytest.fixture(scope="module")
def gpu_pool(airflow: AirflowEnv) -> dict:
    """A pool with one slot, which deferred tasks keep."""
    return airflow.api.call("POST", "pools", json={"name": "gpu", "slots": 1, "include_deferred": True})


@pytest.mark.usefixtures("gpu_pool")
def test_every_model_meets_every_suite_one_at_a_time_and_what_is_missing_fails_the_night(airflow):
    api = airflow.api
    models = [str(tiny_model()), str(untrained_model()), "/no/such/model"]
    options = {"include_paths": [str(tiny_tasks())], "device": "cpu", "batch_size": 20}
    run = api.trigger("nightly_matrix", {"models": models, "suites": {"tiny": ["tiny_mc"]}, "options": options})

    pools = []

    def over() -> bool:
        pools.append(api.call("GET", "pools/gpu"))
        return api.run_state("nightly_matrix", run) in ENDED

    wait_until(over, "the night is over", 240)
    assert api.run_state("nightly_matrix", run) == "failed"
    assert max(pool["occupied_slots"] for pool in pools) == 1
    assert any(pool["deferred_slots"] for pool in pools), "a deferred evaluation keeps its slot"
    scores = api.xcom("nightly_matrix", run, "table", key="scores")
    assert set(scores) == set(models[:2])
    assert scores[models[0]]["tiny_mc"]["acc,none"] > 0.5 > scores[models[1]]["tiny_mc"]["acc,none"]


@pytest.mark.usefixtures("gpu_pool")
def test_a_candidate_is_trained_evaluated_gated_and_promoted_on_the_record(airflow):
    api = airflow.api
    run = api.trigger("gate_on_gpu", {"device": "cpu"})

    assert api.wait_run("gate_on_gpu", run) == "success"
    assert api.xcom("gate_on_gpu", run, "gate")["outcome"] == "WARN", "floors are reached, and there is no baseline yet"
    promoted = Baselines(Store(str(airflow.home / "lmeval" / "results"))).current("heavier", "demo")
    assert promoted is not None
    assert promoted.run_id == api.xcom("gate_on_gpu", run, "evaluate")["run_id"]
