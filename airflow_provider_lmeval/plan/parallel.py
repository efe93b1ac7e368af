"""How several accelerators share one evaluation: what a strategy means to each of lm-eval's model types.

``data``: each device has the whole model and evaluates a share of the documents; ``model``: each has some of the layers,
one works at a time; ``tensor``: each has a part of every layer, all work at once. lm-eval has no common switch for these:
one type wants a launcher, another an argument, a third has nothing of the kind. The table is taken from the constructors
in ``lm_eval/models/`` of lm-eval 0.4.13, whose own ``lm-eval run`` is launched in the same way.

The arguments are no part of the spec and of no fingerprint: where an evaluation runs does not decide what it measures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_lmeval.plan.checks import Problem
from airflow_provider_lmeval.spec import EvalSpec

if TYPE_CHECKING:  # its models are built where somebody asks for devices, not in every DAG file
    from airflow_provider_lmeval.spec.pod_parts import Gpu

COUNT = "COUNT"
"""Stands for the number of devices."""


@dataclass(frozen=True)
class Way:
    """What lm-eval wants for one strategy.

    :param model_args: further model arguments; :data:`COUNT` stands for the number of devices.
    :param launcher: who starts one process per device when ``lm-eval run`` is used by hand; None: one process.
    :param package: what has to be installed for it beside the model type's own packages.
    :param heads: the entry of the model's ``config.json`` that the number of devices must divide.
    """

    model_args: Mapping[str, Any] = field(default_factory=dict)
    launcher: str | None = None
    package: str | None = None
    heads: str | None = None


_HF = {
    "data": Way(launcher="accelerate", package="accelerate"),
    "model": Way({"parallelize": True}, package="accelerate"),
}
_TENSOR_HF = Way({"tp_plan": "auto"}, launcher="torchrun", heads="num_key_value_heads")
_VLLM = {
    "data": Way({"data_parallel_size": COUNT}, package="ray"),
    "tensor": Way({"tensor_parallel_size": COUNT}, heads="num_attention_heads"),
}
_DEVICES = {"devices": COUNT}

WAYS: dict[str, dict[str, Way]] = {
    **dict.fromkeys(("hf", "hf-auto", "huggingface"), _HF | {"tensor": _TENSOR_HF}),
    **dict.fromkeys(("hf-multimodal", "hf-audiolm-qwen", "hf-mistral3", "steered"), _HF),
    **dict.fromkeys(("vllm", "vllm-vlm"), _VLLM),
    "sglang": {
        "data": Way({"dp_size": COUNT}),
        "tensor": Way({"tp_size": COUNT}, heads="num_attention_heads"),
    },
    "trtllm": {"tensor": Way({"tensor_parallel_size": COUNT}, heads="num_attention_heads")},
    "megatron_lm": {
        "data": Way(_DEVICES, launcher="torchrun"),
        "tensor": Way({**_DEVICES, "tensor_model_parallel_size": COUNT}, launcher="torchrun"),
    },
    "nemo_lm": {
        "data": Way(_DEVICES, launcher="torchrun"),
        "model": Way({**_DEVICES, "pipeline_model_parallel_size": COUNT}, launcher="torchrun"),
        "tensor": Way({**_DEVICES, "tensor_model_parallel_size": COUNT}, launcher="torchrun"),
    },
}
"""By model type and strategy."""
NEEDS_GPU = frozenset({"vllm", "vllm-vlm", "sglang", "trtllm", "megatron_lm", "nemo_lm"})
"""Model types that run on accelerators only."""
_TORCH_CUDA = ("nvidia.com/", "amd.com/")
"""Vendors whose devices torch shows as CUDA devices."""


def way(model_type: str, gpu: Gpu | None) -> Way | None:
    """Return what lm-eval wants, or None where one device, or the spec itself, decides."""
    if gpu is None or gpu.strategy is None or gpu.count == 1:
        return None
    return WAYS.get(model_type, {}).get(gpu.strategy)


def plan_parallel(model_type: str, gpu: Gpu | None, *, required: bool) -> dict[str, Any] | None:
    """Return ``Request.parallel``.

    :param required: the devices have been asked for, so that it is an error if they are not seen.
    """
    if gpu is None:
        return None
    found = way(model_type, gpu) or Way()
    return {
        "count": gpu.count,
        "strategy": gpu.strategy,
        "processes": gpu.count if found.launcher else 1,
        "launcher": found.launcher,
        "model_args": {name: gpu.count if value == COUNT else value for name, value in found.model_args.items()},
        "package": found.package,
        "heads": found.heads,
        "required": required and gpu.resource_name.startswith(_TORCH_CUDA),
    }


def launch_prefix(parallel: Mapping[str, Any] | None) -> list[str]:
    """Return what stands before ``run`` in the equivalent command."""
    count = str(parallel["processes"]) if parallel else "1"
    match parallel and parallel["launcher"]:
        case "accelerate":
            return ["accelerate", "launch", "--num_processes", count, "-m", "lm_eval"]
        case "torchrun":
            return ["torchrun", "--nproc-per-node", count, "-m", "lm_eval"]
    return ["lm-eval"]


def check_parallel(spec: EvalSpec, gpu: Gpu | None) -> list[Problem]:
    """Return what is wrong between a model and the accelerators it is to get, worst first."""
    kind = spec.model.type
    if gpu is None:
        text = f"gpu: model type {kind} runs on GPUs only, and none is asked for; set gpu, or name a node that has one."
        return [Problem("no-gpu", "warning", text)] if kind in NEEDS_GPU else []
    return [*_impossible(spec, gpu), *_idle(spec, gpu)]


def _impossible(spec: EvalSpec, gpu: Gpu) -> Iterator[Problem]:
    kind, known = spec.model.type, WAYS.get(spec.model.type, {})
    if gpu.strategy is None:
        return
    if spec.model.api:
        text = f"gpu.strategy: a model of type {kind} runs where it is served; drop gpu."
        yield Problem("strategy", "error", text)
    elif gpu.strategy not in known:
        offer = f"it has {' and '.join(known)}" if known else "set what it takes in model.args, without a strategy"
        text = f"gpu.strategy: lm-eval's model type {kind} has no {gpu.strategy!r} parallelism: {offer}."
        yield Problem("strategy", "error", text)
    found = way(kind, gpu)
    given = spec.model.lm_eval_args()
    for name in sorted(given.keys() & (found.model_args if found else {}).keys()):
        text = f"model.{name}: gpu.strategy {gpu.strategy!r} sets it; drop it there, or gpu.strategy."
        yield Problem("strategy", "error", text)
    if found and found.launcher and spec.device and ":" in spec.device:
        text = f"device: {spec.device!r} is one device, gpu.strategy {gpu.strategy!r} uses {gpu.count}; drop device."
        yield Problem("strategy", "error", text)


def _idle(spec: EvalSpec, gpu: Gpu) -> Iterator[Problem]:
    """Warn of devices that nothing will use."""
    arguments = {name for each in WAYS.get(spec.model.type, {}).values() for name in each.model_args}
    if gpu.count > 1 and gpu.strategy is None and not arguments & spec.model.lm_eval_args().keys():
        known = " or ".join(WAYS.get(spec.model.type, {}))
        remedy = f"set gpu.strategy to {known}" if known else "ask for fewer, or say in model.args how they are used"
        text = f"gpu.count {gpu.count} without gpu.strategy: one of them evaluates, the others are idle; {remedy}."
        yield Problem("idle-gpu", "warning", text)
