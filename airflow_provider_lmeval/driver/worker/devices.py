"""The devices there are, against those that were asked for; and the batch that suits them.

Looked at before weights are loaded: a pod whose GPU is not seen by torch would evaluate on the CPU for a week, and one whose
heads cannot be shared out would find out after reading a hundred gigabytes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from airflow_provider_lmeval.driver.worker.settings import Settings
from airflow_provider_lmeval.errors import RunFailedError
from airflow_provider_lmeval.wire import Cause, Request

LARGEST_AUTO = 64
"""Largest batch that is tried on a GPU when nobody names one: lm-eval's own ``max_batch_size``."""
MPS_BATCH = 8
"""A machine that shares its memory with the GPU starts swapping instead of saying that it is full."""
_HEAD_NAMES = {
    "num_attention_heads": ("num_attention_heads", "n_head"),
    "num_key_value_heads": ("num_key_value_heads",),
}


@dataclass(frozen=True)
class Devices:
    """What torch can compute on. :param kind: ``cuda``, ``mps`` or ``cpu``. :param count: of such devices."""

    kind: str
    count: int


def detect() -> Devices:
    """Look what there is."""
    import torch

    if torch.cuda.is_available():
        return Devices("cuda", torch.cuda.device_count())
    return Devices("mps" if torch.backends.mps.is_available() else "cpu", 1)


def check_launcher(request: Request) -> None:
    """Refuse a strategy that needs what is not installed.

    :raises RunFailedError: ``bad_spec``.
    """
    package = (request.parallel or {}).get("package")
    if package and find_spec(package) is None:
        raise RunFailedError(
            f"gpu.strategy {(request.parallel or {})['strategy']!r} of model type {request.model!r} needs the package "
            f"{package!r}, which the evaluation's Python does not have: use an image with it, or another strategy",
            Cause.BAD_SPEC,
        )


def check_heads(request: Request) -> None:
    """Refuse a number of devices over which the model's attention heads cannot be shared out, if its files are here.

    :raises RunFailedError: ``bad_spec``.
    """
    parallel = request.parallel or {}
    if not (wanted := parallel.get("heads")) or parallel["count"] == 1:
        return
    heads = _heads(request.model_args, wanted)
    if heads and heads % parallel["count"]:
        fitting = [str(count) for count in range(1, heads + 1) if heads % count == 0]
        raise RunFailedError(
            f"gpu.strategy 'tensor': {parallel['count']} devices do not divide the {heads} {wanted} of "
            f"{request.model_args['pretrained']!r}; ask for {', '.join(fitting)}, or use strategy 'data' or 'model'",
            Cause.BAD_SPEC,
        )


def _heads(model_args: Mapping[str, Any], wanted: str) -> int | None:
    try:
        config = json.loads((Path(str(model_args.get("pretrained"))) / "config.json").read_bytes())
    except (OSError, ValueError):
        return None  # on the Hub, or broken: whoever loads it will say so
    inner = config.get("text_config") if isinstance(config.get("text_config"), dict) else config
    names = (*_HEAD_NAMES[wanted], *_HEAD_NAMES["num_attention_heads"])
    return next((inner[name] for name in names if isinstance(inner.get(name), int)), None)


def check_devices(request: Request, devices: Devices) -> None:
    """Refuse to go on without the devices that were asked for.

    :raises RunFailedError: ``model_load``: torch does not see them; ``bad_spec``: there are fewer.
    """
    parallel = request.parallel
    if not parallel:
        return
    if parallel["required"] and devices.kind != "cuda":
        import torch

        built = torch.version.cuda or torch.version.hip
        remedy = (
            "look at the node's driver, and set runtime_class_name if its default runtime knows no GPUs"
            if built
            else "this is torch for CPUs, use an image with a CUDA or ROCm build"
        )
        raise RunFailedError(f"{parallel['count']} GPU(s) were asked for, torch sees none: {remedy}", Cause.MODEL_LOAD)
    shared = devices.kind == "cpu" and parallel["processes"] > 1  # processes on one CPU, for want of devices
    if parallel["count"] > devices.count and not shared:
        raise RunFailedError(
            f"gpu.count {parallel['count']}: torch sees {devices.count} {devices.kind} device(s) here; lower the count, or "
            "look at CUDA_VISIBLE_DEVICES",
            Cause.BAD_SPEC,
        )


def check_documents(tasks: Mapping[str, Any], settings: Settings, ranks: int) -> None:
    """Refuse tasks with fewer documents than ranks: lm-eval fails on a rank that has none.

    :raises RunFailedError: ``bad_spec``.
    """
    for name, task in tasks.items():
        count = len((settings.samples or {}).get(name) or task.eval_docs)
        if settings.limit is not None:
            count = min(count, math.ceil(settings.limit if settings.limit >= 1 else count * settings.limit))
        if count < ranks:
            raise RunFailedError(
                f"task {name}: {count} document(s) cannot be shared by {ranks} processes; ask for fewer devices",
                Cause.BAD_SPEC,
            )


def with_batch(settings: Settings, request: Request, devices: Devices, *, torch_model: bool) -> Settings:
    """Return the settings with a batch size that suits the device, where the spec names none.

    :param torch_model: the model is one that lm-eval itself runs on torch; vLLM and its like make batches themselves.
    """
    if settings.batch_size is not None:
        return settings
    largest = settings.max_batch_size
    if request.model.startswith("vllm"):
        return replace(settings, batch_size="auto")
    if not torch_model or devices.kind == "cpu":
        return replace(settings, batch_size=1)
    if devices.kind == "mps":
        return replace(settings, batch_size=min(MPS_BATCH, largest or MPS_BATCH))
    return replace(settings, batch_size="auto", max_batch_size=largest or LARGEST_AUTO)
