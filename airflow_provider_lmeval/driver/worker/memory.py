"""How much memory of each device an evaluation will take: what it needs at least, and what it may need.

The two are kept apart on purpose. Weights have to fit, whatever else happens; so does, in vLLM, the cache of one sequence of
the longest length, without which its engine does not start. What a batch takes depends on how long the prompts turn out to
be: that is told, as the most it can be, and refuses nothing. Nothing is guessed: a part that the files do not tell is said
to be unknown, and a model whose attention is not the plain kind has no known cache. Formulas: docs/gpus.md, "How large".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_lmeval.driver.worker.checkpoint import DTYPE_BYTES, Checkpoint

_BYTES = {"float32": 4.0, "float": 4.0, "float16": 2.0, "half": 2.0, "bfloat16": 2.0}
_QUANTIZED = {"fp8": 1.0, "bitsandbytes": 0.5}
"""What vLLM makes of weights while it loads them, by its ``quantization``."""
_FLOATS = frozenset({"F64", "F32", "F16", "BF16"})
_OTHER_ATTENTION = (
    "kv_lora_rank",
    "layer_types",
    "sliding_window",
    "attn_layer_period",
    "ssm_cfg",
    "linear_attn_config",
)
"""Entries of a configuration that say of layers without a plain cache: latent, sliding-window, linear, state-space."""
_OFFLOAD = ("device_map", "max_cpu_memory", "max_memory_per_gpu", "offload_folder", "cpu_offload_gb")
_SPLIT = ("parallelize", "tp_plan", "tensor_parallel_size", "tp_size", "pipeline_parallel_size")
_UTILIZATION = 0.9
"""vLLM's ``gpu_memory_utilization``."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Bytes on each device. None: not known.

    :param weights: of the model, or of the part of it that a device gets. :param per_token: of the KV cache.
    :param batch: sequences at once; :param tokens: the longest of them. :param logits: of a batch of those.
    :param least: what has to fit. :param usable: share of a device's memory that the engine takes.
    :param numbers: of the whole model. :param offloads: arguments that let it keep layers somewhere else.
    """

    weights: int
    per_token: int | None
    batch: int
    tokens: int | None
    logits: int
    least: int
    usable: float
    numbers: int | None
    offloads: tuple[str, ...] = ()

    @property
    def most(self) -> int | None:
        """What it may take at the longest length."""
        if self.per_token is None or self.tokens is None:
            return None
        return self.weights + self.per_token * self.tokens * self.batch + self.logits


def estimate(
    kind: str, model_args: Mapping[str, Any], found: Checkpoint, *, batch: Any, strategy: str | None, count: int
) -> Estimate | None:
    """Return what each device needs, or None if nobody knows how large the weights are.

    :param kind: lm-eval's model type. :param batch: of the settings; ``auto`` and None count as 1, the least there is.
    :param strategy: how ``count`` devices share the model; ``data``: each has all of it.
    """
    width = _width(kind, model_args, found)
    weights = _weights(model_args, found, width)
    if weights is None:
        return None
    parts = count if strategy in ("tensor", "model") or any(model_args.get(name) for name in _SPLIT) else 1
    tokens, size = _length(model_args, found.config), batch if isinstance(batch, int) else 1
    cache = _per_token(found.config, 1.0 if "fp8" in str(model_args.get("kv_cache_dtype")) else width or 2.0)
    own = weights // parts
    per_token = None if cache is None else cache // min(parts, _kv_heads(found.config) or 1)
    vllm, in_torch = kind.startswith("vllm"), not kind.startswith(("vllm", "sglang"))
    first = per_token * tokens if vllm and per_token is not None and tokens is not None else 0
    return Estimate(
        weights=own,
        per_token=per_token,
        batch=size,
        tokens=tokens,
        logits=size * tokens * int(found.config.get("vocab_size") or 0) * 4 if tokens and in_torch else 0,
        least=own + first,
        usable=float(model_args.get("gpu_memory_utilization") or _UTILIZATION) if vllm else 1.0,
        numbers=sum(found.numbers.values()) or None,
        offloads=tuple(name for name in _OFFLOAD if model_args.get(name)),
    )


def _width(kind: str, model_args: Mapping[str, Any], found: Checkpoint) -> float | None:
    """Return the bytes of a number once it is loaded, or None where it stays as it is stored."""
    asked = str(model_args.get("dtype") or "auto").removeprefix("torch.")
    if asked in _BYTES:
        return _BYTES[asked]
    told = str(found.config.get("dtype") or found.config.get("torch_dtype")).removeprefix("torch.")
    width = _BYTES.get(told)
    return 2.0 if width == 4.0 and kind.startswith("vllm") else width  # vLLM's `auto` halves float32


def _weights(model_args: Mapping[str, Any], found: Checkpoint, width: float | None) -> int | None:
    numbers = sum(found.numbers.values())
    if model_args.get("load_in_4bit") or model_args.get("load_in_8bit"):
        return int(numbers * (0.5 if model_args.get("load_in_4bit") else 1)) or None
    if name := model_args.get("quantization"):
        return int(numbers * _QUANTIZED[name]) if name in _QUANTIZED and numbers else found.stored
    if not numbers or found.config.get("quantization_config"):
        return found.stored
    sizes = ((width if width and name in _FLOATS else DTYPE_BYTES.get(name, 0)) for name in found.numbers)
    return int(sum(size * count for size, count in zip(sizes, found.numbers.values(), strict=True)))


def _length(model_args: Mapping[str, Any], config: Mapping[str, Any]) -> int | None:
    """Return the longest sequence: what was asked, else what lm-eval and vLLM take from the configuration."""
    asked = model_args.get("max_length") or model_args.get("max_model_len")
    told = (config.get(name) for name in ("n_positions", "max_position_embeddings", "n_ctx"))
    return next((int(text) for text in map(str, (asked, *told)) if text.isdigit() and int(text)), None)


def _per_token(config: Mapping[str, Any], width: float) -> int | None:
    """Return the bytes of the KV cache for each token, or None if its layers are not all of the plain kind."""
    if any(_is_other(name, config) for name in _OTHER_ATTENTION):
        return None
    layers, heads = _first(config, "num_hidden_layers", "n_layer"), _kv_heads(config)
    all_heads, hidden = _first(config, "num_attention_heads", "n_head"), _first(config, "hidden_size", "n_embd")
    if not (layers and heads and all_heads and hidden):
        return None
    size = _first(config, "head_dim") or hidden // all_heads
    return int(2 * layers * heads * size * width)


def _is_other(name: str, config: Mapping[str, Any]) -> bool:
    value = config.get(name)
    if name == "layer_types":
        return any(each != "full_attention" for each in value or ())
    if name == "sliding_window":
        return bool(value) and config.get("use_sliding_window") is not False
    return bool(value)


def _kv_heads(config: Mapping[str, Any]) -> int | None:
    return _first(config, "num_key_value_heads", "num_attention_heads", "n_head")


def _first(config: Mapping[str, Any], *names: str) -> int | None:
    return next((config[name] for name in names if isinstance(config.get(name), int)), None)


def describe(found: Estimate) -> str:
    """Return the estimate in words."""
    numbers = f" of {_count(found.numbers)} parameters" if found.numbers else ""
    parts = [f"each device needs {_size(found.least)} at least, {_size(found.weights)} for weights{numbers}"]
    if found.per_token is None:
        parts.append("what its cache takes is not known")
    else:
        parts.append(f"{_size(found.per_token)} of cache a token")
    if found.most is not None:
        parts.append(f"{_size(found.most)} at most, at batch {found.batch} and {found.tokens} tokens")
    return ", ".join(parts)


def too_large(found: Estimate, device: str, memory: int) -> str | None:
    """Return why it does not fit, or None if it does or nothing certain can be said.

    :param memory: bytes of one device.
    """
    usable = int(memory * found.usable)
    if found.least <= usable or found.offloads:
        return None
    share = f" ({found.usable:.0%} of it is used)" if found.usable < 1 else ""
    return f"{device} has {_size(memory)}{share}, and {describe(found)}."


def doubts(found: Estimate, device: str, memory: int) -> str:
    """Return what may go wrong, or nothing: the longest batch may not fit."""
    if found.offloads:
        return f"; not compared with {device}: {', '.join(found.offloads)} may keep layers somewhere else"
    if found.most is not None and found.most > memory * found.usable:
        return f"; {device} has {_size(memory)}, so long prompts may not fit: `batch_size: auto` finds what does"
    return f"; {device} has {_size(memory)}"


def _size(size: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.4g} {unit}"
        size /= 1024
    return f"{size:.4g} GiB"


def _count(numbers: float) -> str:
    return f"{numbers / 1e9:.3g} billion" if numbers >= 1e8 else f"{numbers / 1e6:.3g} million"
