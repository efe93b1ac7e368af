"""What a strategy means to each model type of lm-eval, and what is refused before anything starts."""

from __future__ import annotations

import inspect
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_lmeval.plan import equivalent_command
from airflow_provider_lmeval.plan.parallel import WAYS, check_parallel, plan_parallel
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.spec.pod import PodSettings
from airflow_provider_lmeval.spec.pod_parts import Gpu

API = {"type": "local-completions", "model": "m", "base_url": "http://m/v1/completions", "tokenizer": "t"}


def spec(kind: str = "hf", **model: Any) -> EvalSpec:
    weights = {"type": kind, "pretrained": "/models/m"} if kind in ("hf", "vllm") else {"type": kind}
    return EvalSpec.parse({"model": weights | model, "tasks": ["arc_easy"]})


def gpu(count: int = 2, strategy: str | None = "data", **fields: Any) -> Gpu:
    return Gpu(count=count, strategy=strategy, **fields)


def problems(evaluation: EvalSpec, asked: Gpu | None) -> list[tuple[str, str]]:
    return [(problem.id, problem.level) for problem in check_parallel(evaluation, asked)]


@pytest.mark.parametrize(
    ("kind", "strategy", "processes", "arguments"),
    [
        ("hf", "data", 4, {}),
        ("hf", "model", 1, {"parallelize": True}),
        ("hf", "tensor", 4, {"tp_plan": "auto"}),
        ("vllm", "data", 1, {"data_parallel_size": 4}),
        ("vllm", "tensor", 1, {"tensor_parallel_size": 4}),
        ("megatron_lm", "tensor", 4, {"devices": 4, "tensor_model_parallel_size": 4}),
    ],
)
def test_a_strategy_becomes_processes_and_arguments(
    kind: str, strategy: str, processes: int, arguments: dict[str, Any]
) -> None:
    found = plan_parallel(kind, gpu(4, strategy), required=True)
    assert found is not None
    assert (found["processes"], found["model_args"]) == (processes, arguments)


def test_one_device_needs_no_strategy() -> None:
    found = plan_parallel("vllm", gpu(1, "tensor"), required=True)
    assert found is not None
    assert (found["processes"], found["model_args"]) == (1, {})
    assert plan_parallel("hf", None, required=True) is None


def test_arguments_of_the_table_are_lm_evals() -> None:
    """Every argument stands in the constructor of lm-eval's class, read from its source: most need packages to import."""
    package = find_spec("lm_eval")
    if package is None:
        pytest.skip("lm-eval is not installed")
    assert package.origin is not None
    models = Path(package.origin).parent / "models"
    files = {"vllm": "vllm_causallms", "sglang": "sglang_causallms", "trtllm": "trtllm_causallms", "hf": "huggingface"}
    files |= {"megatron_lm": "megatron_lm", "nemo_lm": "nemo_lm"}
    for kind, file in files.items():
        source = (models / f"{file}.py").read_text(encoding="utf-8")
        for way in WAYS[kind].values():
            assert [name for name in way.model_args if not re.search(rf"^        {name}: ", source, re.MULTILINE)] == []


def test_the_documented_table_is_the_one_in_force() -> None:
    page = (Path(inspect.getfile(PodSettings)).parents[2] / "docs" / "gpus.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1:-1] for line in page.splitlines() if line.startswith("| `")]
    known = {name: [cell.strip() for cell in row[1:]] for row in rows for name in re.findall(r"`([^`]+)`", row[0])}
    for kind, ways in WAYS.items():
        assert [
            strategy for strategy, cell in zip(("data", "model", "tensor"), known[kind], strict=True) if cell != "-"
        ] == [strategy for strategy in ("data", "model", "tensor") if strategy in ways]


@pytest.mark.parametrize(
    ("evaluation", "asked"),
    [
        (EvalSpec.parse({"model": API, "tasks": ["arc_easy"]}), gpu()),
        (spec("vllm"), gpu(strategy="model")),
        (spec("gguf"), gpu()),
        (spec("hf", parallelize=True), gpu(strategy="model")),
        (spec("vllm", tensor_parallel_size=2), gpu(strategy="tensor")),
        (spec().model_copy(update={"device": "cuda:1"}), gpu()),
    ],
)
def test_what_cannot_be_is_refused(evaluation: EvalSpec, asked: Gpu) -> None:
    assert problems(evaluation, asked) == [("strategy", "error")]


def test_idle_and_missing_gpus_are_warned_of() -> None:
    assert problems(spec(), gpu(2, None)) == [("idle-gpu", "warning")]
    assert problems(spec("vllm", tensor_parallel_size=2), gpu(2, None)) == []
    assert problems(spec("vllm"), None) == [("no-gpu", "warning")]
    assert problems(spec(), None) == []


def test_the_equivalent_command_has_launcher_and_arguments() -> None:
    launched = equivalent_command(spec(), plan_parallel("hf", gpu(), required=True))
    assert launched[:7] == ["accelerate", "launch", "--num_processes", "2", "-m", "lm_eval", "run"]
    tensor = equivalent_command(spec(), plan_parallel("hf", gpu(strategy="tensor"), required=True))
    assert tensor[:3] == ["torchrun", "--nproc-per-node", "2"]
    assert '"tp_plan": "auto"' in tensor[tensor.index("--model_args") + 1]
    assert equivalent_command(spec())[:2] == ["lm-eval", "run"]


def test_the_strategy_is_no_part_of_the_spec() -> None:
    assert plan_parallel("hf", gpu(), required=True) is not None
    assert "strategy" not in str(spec().to_data())
