"""What an evaluation needs of each GPU: certain or at most, and nothing made up where the files do not tell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_lmeval.driver.worker.checkpoint import Checkpoint, header, read_checkpoint
from airflow_provider_lmeval.driver.worker.memory import Estimate, describe, doubts, estimate, too_large
from airflow_provider_lmeval.wire import Request

GIB = 1024**3
LLAMA = {
    "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "hidden_size": 4096, "vocab_size": 128256,
    "max_position_embeddings": 131072, "torch_dtype": "bfloat16",
}  # fmt: skip
"""Llama 3.1 8B, as its config.json says."""
NUMBERS = {"BF16": 8_030_261_248}


def of(
    kind: str = "hf",
    config: dict[str, Any] = LLAMA,
    numbers: dict[str, int] = NUMBERS,
    stored: int | None = 16_060_522_496,
    batch: Any = 16,
    strategy: str | None = None,
    count: int = 1,
    **model_args: Any,
) -> Estimate:
    found = Checkpoint(config=config, numbers=numbers, stored=stored)
    made = estimate(kind, model_args, found, batch=batch, strategy=strategy, count=count)
    assert made is not None
    return made


def test_the_documented_example_comes_out_as_documented() -> None:
    found = of(max_length=4096)
    assert found.weights == found.least == 16_060_522_496
    assert found.per_token == 128 * 1024
    assert found.per_token * 4096 * 16 == 8 * GIB
    assert of(max_length=512).logits == 16 * 512 * 128256 * 4


@pytest.mark.parametrize(
    ("fields", "gib"),
    [
        ({"dtype": "float32"}, 29.9),
        ({"dtype": "auto"}, 14.96),
        ({"load_in_8bit": True}, 7.48),
        ({"load_in_4bit": True}, 3.74),
        ({"config": LLAMA | {"quantization_config": {"quant_method": "awq"}}, "stored": 5 * GIB}, 5.0),
        ({"numbers": {}}, 14.96),  # pickles: as they are stored
        ({"config": {}, "numbers": {"F32": GIB}}, 4.0),
        ({"kind": "vllm", "config": LLAMA | {"torch_dtype": "float32"}, "max_model_len": 1}, 14.96),
        ({"kind": "vllm", "quantization": "fp8", "max_model_len": 1}, 7.48),
    ],
)
def test_weights_count_in_the_precision_they_are_loaded_in(fields: dict[str, Any], gib: float) -> None:
    assert of(**fields).least / GIB == pytest.approx(gib, rel=0.01)


@pytest.mark.parametrize(
    ("strategy", "weights", "cache"), [("data", 1, 1), ("tensor", 4, 4), ("model", 4, 4), (None, 1, 1)]
)
def test_a_strategy_says_what_each_device_gets(strategy: str | None, weights: int, cache: int) -> None:
    one, four = of(), of(strategy=strategy, count=4)
    assert four.weights == one.weights // weights
    assert four.per_token is not None
    assert one.per_token == four.per_token * cache


def test_heads_that_are_fewer_than_the_devices_are_not_divided_further() -> None:
    one = of().per_token
    assert one is not None
    assert of(strategy="tensor", count=16).per_token == one // 8


def test_vllm_needs_the_cache_of_one_whole_sequence() -> None:
    found = of("vllm", batch="auto")
    assert found.least == 16_060_522_496 + 131072 * 128 * 1024
    assert too_large(found, "L4", 24 * GIB) is not None
    assert too_large(of("vllm", max_model_len=4096), "L4", 24 * GIB) is None
    assert "(90% of it is used)" in (too_large(found, "L4", 24 * GIB) or "")


def test_a_smaller_cache_and_a_length_that_vllm_finds_itself_count_as_such() -> None:
    assert of("vllm", kv_cache_dtype="fp8").per_token == 64 * 1024
    assert of("vllm", max_model_len="auto").tokens == 131072


@pytest.mark.parametrize(
    "other",
    [
        {"sliding_window": 4096},
        {"layer_types": ["full_attention", "sliding_attention"]},
        {"kv_lora_rank": 512},
        {"num_hidden_layers": None},
    ],
)
def test_a_cache_of_another_kind_is_not_known_and_not_counted(other: dict[str, Any]) -> None:
    found = of("vllm", config=LLAMA | other)
    assert (found.per_token, found.most, found.least) == (None, None, 16_060_522_496)
    assert "what its cache takes is not known" in describe(found)


@pytest.mark.parametrize(
    "plain", [{"sliding_window": 4096, "use_sliding_window": False}, {"layer_types": ["full_attention"]}]
)
def test_a_window_that_is_off_is_none(plain: dict[str, Any]) -> None:
    assert of(config=LLAMA | plain).per_token == 128 * 1024


def test_only_what_is_certain_refuses_and_the_rest_is_told() -> None:
    found = of(max_length=8192)
    assert too_large(found, "L4", 24 * GIB) is None
    assert "long prompts may not fit: `batch_size: auto`" in doubts(found, "L4", 24 * GIB)
    assert "T4 has 12 GiB, and each device needs 14.96 GiB at least" in (too_large(found, "T4", 12 * GIB) or "")


def test_layers_that_may_be_elsewhere_are_compared_with_nothing() -> None:
    found = of(device_map="auto")
    assert too_large(found, "T4", GIB) is None
    assert "not compared with T4: device_map may keep layers somewhere else" in doubts(found, "T4", GIB)


def test_without_a_size_there_is_no_estimate() -> None:
    unknown = Checkpoint(config=LLAMA)
    assert estimate("hf", {}, unknown, batch=1, strategy=None, count=1) is None


# -- the files


def asked(place: Path, **model_args: Any) -> Request:
    return Request(run_id="r", spec_hash="0", model="hf", model_args={"pretrained": str(place), **model_args})


def safetensors(path: Path, **tensors: tuple[str, list[int]]) -> None:
    """Write a file that has a header and nothing after it."""
    told = {name: {"dtype": kind, "shape": shape, "data_offsets": [0, 0]} for name, (kind, shape) in tensors.items()}
    raw = json.dumps({"__metadata__": {"format": "pt"}, **told}).encode()
    path.write_bytes(len(raw).to_bytes(8, "little") + raw)


def test_a_header_tells_how_many_numbers_there_are(tmp_path: Path) -> None:
    safetensors(tmp_path / "x.safetensors", a=("BF16", [3, 4]), b=("F32", [5]), c=("BF16", []))
    assert header(tmp_path / "x.safetensors") == {"BF16": 13, "F32": 5}


def test_what_is_no_such_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(ValueError, match="is no safetensors file"):
        header(tmp_path / "x.safetensors")


def test_all_shards_count_and_text_models_inside_others_are_looked_at(tmp_path: Path) -> None:
    config = {"vision_config": {"num_hidden_layers": 3}, "text_config": {"num_hidden_layers": 7}, "model_type": "x"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    safetensors(tmp_path / "model-00001-of-00002.safetensors", a=("F16", [10]))
    safetensors(tmp_path / "model-00002-of-00002.safetensors", b=("F16", [10]))
    (tmp_path / "pytorch_model.bin").write_bytes(b"the same again")
    found = read_checkpoint(asked(tmp_path))
    assert found is not None
    assert (found.config["num_hidden_layers"], dict(found.numbers), found.stored) == (7, {"F16": 20}, 40)


def test_an_index_without_its_files_still_knows_the_sum(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"metadata": {"total_size": 123}}))
    found = read_checkpoint(asked(tmp_path))
    assert found is not None
    assert (dict(found.numbers), found.stored) == ({}, 123)


@pytest.mark.parametrize("more", [{"gguf_file": "x.gguf"}, {"pretrained": "no/such/name"}, {"pretrained": None}])
def test_what_is_no_checkpoint_of_transformers_tells_nothing(tmp_path: Path, more: dict[str, Any]) -> None:
    assert read_checkpoint(asked(tmp_path, **more)) is None
