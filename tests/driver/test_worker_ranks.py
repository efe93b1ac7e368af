"""Several processes share one evaluation: the same scores, and an end with the cause of the first that fails."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_lmeval.plan.parallel import plan_parallel
from airflow_provider_lmeval.spec.pod_parts import Gpu
from airflow_provider_lmeval.wire import Request
from tests.support.tiny import tiny_model
from tests.support.worker import Worker, evaluate, start, tiny_request

pytestmark = pytest.mark.driver

TASKS = ("tiny_mc", "tiny_gen", "tiny_ppl", "tiny_fewshot")


def shared(*tasks: str, strategy: str = "data", count: int = 2, **changes: Any) -> Request:
    gpu = Gpu(count=count, strategy=strategy)
    return tiny_request(*tasks, parallel=plan_parallel("hf", gpu, required=False), **changes)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model that can be split by tensors, with four heads and two of keys and values."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    place = str(tmp_path_factory.mktemp("llama"))
    tokenizer = AutoTokenizer.from_pretrained(tiny_model())
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "max_position_embeddings": 256}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **sizes, **heads)).save_pretrained(place)
    tokenizer.save_pretrained(place)
    return place


def ranks(worker: Worker) -> list[int]:
    """Process ids of the other ranks."""
    children = Path(f"/proc/{worker.process.pid}/task/{worker.process.pid}/children").read_text().split()
    return [int(pid) for pid in children if b"driver.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Worker:
    return evaluate(tmp_path_factory.mktemp("alone"), tiny_request(*TASKS))


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Worker:
    return evaluate(tmp_path_factory.mktemp("together"), shared(*TASKS))


@pytest.mark.parametrize("task", [task for task in TASKS if task != "tiny_fewshot"])
def test_two_processes_give_the_scores_of_one(alone: Worker, together: Worker, task: str) -> None:
    expected, found = alone.evaluation["tasks"][task], together.evaluation["tasks"][task]
    assert found["n_samples"] == expected["n_samples"]
    assert found["task_hash"] == expected["task_hash"]
    for name, metric in expected["metrics"].items():
        assert found["metrics"][name]["value"] == pytest.approx(metric["value"], rel=1e-6)
        assert found["metrics"][name]["stderr"] == (metric["stderr"] and pytest.approx(metric["stderr"], rel=1e-6))


def test_examples_that_are_drawn_at_random_differ_and_the_fingerprint_says_so(alone: Worker, together: Worker) -> None:
    """lm-eval draws them document by document in each process, whoever launches it."""
    expected, found = (worker.evaluation["fingerprint"]["tasks"]["tiny_fewshot"] for worker in (alone, together))
    assert found["documents"] == expected["documents"]
    assert found["prompts"] != expected["prompts"]


def test_every_document_was_evaluated_once_and_is_in_its_place(alone: Worker, together: Worker) -> None:
    for task in TASKS:
        expected, found = alone.rows(task), together.rows(task)
        assert [row["doc_id"] for row in found] == [row["doc_id"] for row in expected]
        assert [row["response_hash"] for row in found if task == "tiny_gen"] == [
            row["response_hash"] for row in expected if task == "tiny_gen"
        ]


def test_only_the_first_rank_speaks_and_writes(together: Worker) -> None:
    assert together.evaluated == list(TASKS)
    assert [event["event"] for event in together.events].count("finished") == 1
    done = [event for event in together.events if event["event"] == "progress" and event["task"] == "tiny_mc"]
    assert 0 < done[-1]["total"] < len(together.rows("tiny_mc")) * 6
    assert not (together.run.scratch / "rank-1" / "tasks").exists()


def test_a_rank_that_is_killed_takes_the_evaluation_with_it(tmp_path: Path) -> None:
    worker = start(tmp_path, shared(*TASKS))
    worker.wait_for(lambda event: event.get("phase") == "loading tasks")
    (rank,) = ranks(worker)
    os.kill(rank, signal.SIGKILL)
    worker.finish()
    assert worker.status == -signal.SIGKILL
    assert "rank 1 of 2 was killed by SIGKILL" in worker.output


def test_the_ranks_end_with_the_first(tmp_path: Path) -> None:
    worker = start(tmp_path, shared(*TASKS))
    worker.wait_for(lambda event: event.get("phase") == "loading tasks")
    (rank,) = ranks(worker)
    worker.kill()
    deadline = 100
    while Path(f"/proc/{rank}").exists() and Path(f"/proc/{rank}/stat").read_text().split()[2] != "Z" and deadline:
        deadline -= 1
        signal.sigtimedwait([], 0.1)
    assert deadline


def test_a_resumed_run_goes_on_with_all_ranks(tmp_path: Path, alone: Worker) -> None:
    evaluate(tmp_path, tiny_request("tiny_mc"))
    worker = evaluate(tmp_path, shared("tiny_mc", "tiny_gen"))
    assert worker.evaluated == ["tiny_gen"]
    expected = alone.evaluation["tasks"]["tiny_gen"]["metrics"]
    assert worker.evaluation["tasks"]["tiny_gen"]["metrics"].keys() == expected.keys()


def test_a_task_with_too_few_documents_is_refused(tmp_path: Path) -> None:
    cause, message = evaluate(tmp_path, shared("tiny_mc", evaluate={"limit": 1})).failure
    assert cause == "bad_spec"
    assert "1 document(s) cannot be shared by 2 processes" in message


def test_a_model_split_by_tensors_gives_the_same_scores(tmp_path: Path, llama: str) -> None:
    whole = evaluate(tmp_path / "whole", tiny_request("tiny_mc", model_args={"pretrained": llama}))
    split = evaluate(tmp_path / "split", shared("tiny_mc", strategy="tensor", model_args={"pretrained": llama}))
    for expected, found in zip(whole.rows("tiny_mc"), split.rows("tiny_mc"), strict=True):
        assert found["loglikelihoods"] == pytest.approx(expected["loglikelihoods"], rel=1e-4)
    assert split.evaluated == ["tiny_mc"]
    assert split.evaluation["fingerprint"]["model"] == whole.evaluation["fingerprint"]["model"]


def test_devices_that_do_not_divide_the_heads_are_refused_before_anything_is_loaded(tmp_path: Path, llama: str) -> None:
    worker = evaluate(tmp_path, shared("tiny_mc", strategy="tensor", model_args={"pretrained": llama}, count=4))
    cause, message = worker.failure
    assert cause == "bad_spec"
    assert "4 devices do not divide the 2 num_key_value_heads" in message
    assert "ask for 1, 2" in message
    assert all(event.get("phase") != "loading model" for event in worker.events)


def test_a_gpu_that_torch_does_not_see_is_an_error(tmp_path: Path) -> None:
    parallel = plan_parallel("hf", Gpu(), required=True)
    cause, message = evaluate(tmp_path, tiny_request("tiny_mc", parallel=parallel)).failure
    assert cause == "model_load"
    assert "torch for CPUs" in message


def test_a_strategy_whose_package_is_missing_is_refused(tmp_path: Path) -> None:
    parallel = plan_parallel("vllm", Gpu(count=2, strategy="data"), required=False)
    cause, message = evaluate(tmp_path, tiny_request("tiny_mc", model="vllm", parallel=parallel)).failure
    assert cause == "bad_spec"
    assert "'ray'" in message
