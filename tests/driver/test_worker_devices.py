"""Devices against what was asked for, and the batch that suits them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_lmeval.driver.worker.devices import (
    LARGEST_AUTO,
    MPS_BATCH,
    Devices,
    check_devices,
    check_documents,
    check_heads,
    detect,
    with_batch,
)
from airflow_provider_lmeval.driver.worker.model import with_batch as model_batch
from airflow_provider_lmeval.driver.worker.ranks import variables
from airflow_provider_lmeval.driver.worker.settings import Settings
from airflow_provider_lmeval.errors import RunFailedError
from airflow_provider_lmeval.plan.parallel import plan_parallel
from airflow_provider_lmeval.spec.pod_parts import Gpu
from airflow_provider_lmeval.wire import Request

TWO_GPUS = Devices("cuda", 2)


def request(model: str = "hf", *, required: bool = False, gpu: dict[str, Any] | None = None, **args: Any) -> Request:
    parallel = plan_parallel(model, Gpu(**gpu) if gpu else None, required=required)
    return Request(run_id="r", spec_hash="", model=model, model_args=args, parallel=parallel)


def batch(devices: Devices, model: str = "hf", **settings: Any) -> tuple[Any, Any]:
    found = model_batch(Settings(**settings), request(model), devices)
    return found.batch_size, found.max_batch_size


def test_the_batch_follows_the_device_where_the_spec_names_none() -> None:
    assert batch(TWO_GPUS) == ("auto", LARGEST_AUTO)
    assert batch(TWO_GPUS, max_batch_size=16) == ("auto", 16)
    assert batch(Devices("mps", 1)) == (MPS_BATCH, None)
    assert batch(Devices("mps", 1), max_batch_size=4) == (4, 4)
    assert batch(Devices("cpu", 1)) == (1, None)
    assert batch(TWO_GPUS, "vllm") == ("auto", None)
    assert batch(TWO_GPUS, "local-completions") == (1, None)


def test_the_specs_batch_is_the_specs() -> None:
    assert batch(TWO_GPUS, batch_size=3) == (3, None)
    chosen = Settings(batch_size="auto:4")
    assert with_batch(chosen, request(), TWO_GPUS, torch_model=True) == chosen


def test_fewer_devices_than_asked_for() -> None:
    check_devices(request(gpu={"count": 2, "strategy": "data"}), TWO_GPUS)
    with pytest.raises(RunFailedError, match="torch sees 2 cuda") as refused:
        check_devices(request(gpu={"count": 4, "strategy": "data"}), TWO_GPUS)
    assert refused.value.cause == "bad_spec"


def test_processes_may_share_a_cpu_where_no_gpu_was_reserved() -> None:
    check_devices(request(gpu={"count": 2, "strategy": "data"}), Devices("cpu", 1))
    with pytest.raises(RunFailedError):
        check_devices(request(gpu={"count": 2, "strategy": "data"}, required=True), Devices("cpu", 1))


def test_devices_that_torch_has_no_name_for_are_not_looked_for() -> None:
    check_devices(request(gpu={"resource": "habana.ai/gaudi"}, required=True), Devices("cpu", 1))


@pytest.mark.parametrize(
    ("config", "model", "count", "refused"),
    [
        ({"num_attention_heads": 32, "num_key_value_heads": 8}, "hf", 8, False),
        ({"num_attention_heads": 32, "num_key_value_heads": 8}, "hf", 16, True),
        ({"num_attention_heads": 32, "num_key_value_heads": 8}, "vllm", 16, False),
        ({"num_attention_heads": 28}, "vllm", 8, True),
        ({"text_config": {"num_attention_heads": 12}}, "sglang", 8, True),
        ({"n_head": 12}, "hf", 8, True),
        ({}, "hf", 8, False),
    ],
)
def test_heads_have_to_be_divided(
    tmp_path: Path, config: dict[str, Any], model: str, count: int, refused: bool
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    asked = request(model, gpu={"count": count, "strategy": "tensor"}, pretrained=str(tmp_path))
    if not refused:
        check_heads(asked)
        return
    with pytest.raises(RunFailedError, match="do not divide"):
        check_heads(asked)


def test_heads_of_a_model_on_the_hub_are_not_known_yet() -> None:
    check_heads(request(gpu={"count": 3, "strategy": "tensor"}, pretrained="org/model"))


class Task:
    def __init__(self, documents: int) -> None:
        self.eval_docs = range(documents)


@pytest.mark.parametrize("settings", [{"limit": 3}, {"limit": 0.1}, {"samples": {"t": [1, 2, 3]}}])
def test_each_rank_needs_a_document(settings: dict[str, Any]) -> None:
    check_documents({"t": Task(10)}, Settings(), 4)
    with pytest.raises(RunFailedError, match="cannot be shared by 4 processes"):
        check_documents({"t": Task(10)}, Settings(**settings), 4)


def test_ranks_know_each_other_and_share_the_cores() -> None:
    found = variables(2)
    assert (found["RANK"], found["WORLD_SIZE"], found["LOCAL_WORLD_SIZE"]) == ("0", "2", "2")
    assert int(found["MASTER_PORT"]) > 0


def test_this_machines_devices_are_found() -> None:
    import torch

    assert detect().kind == ("cuda" if torch.cuda.is_available() else "mps" if torch.mps.is_available() else "cpu")
