"""Where a run's models and data are, and the layer over what cannot be written; which files of a repository are fetched."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_lmeval.driver.offline import cache_variables, overlay
from airflow_provider_lmeval.driver.worker.assets import Asset, assets_of, choose
from airflow_provider_lmeval.driver.worker.precheck import _compare, check_cache
from airflow_provider_lmeval.errors import ProtocolError, RunFailedError
from airflow_provider_lmeval.wire import Request, dump, file_digest
from airflow_provider_lmeval.wire_offline import (
    CACHE_ENV,
    CACHE_VARIABLES,
    MANIFEST_NAME,
    Manifest,
    is_hub_name,
    model_key,
)


def request(**fields: Any) -> Request:
    return Request(**{"run_id": "r", "spec_hash": "0", "model": "hf", "model_args": {}, **fields})


@pytest.fixture
def clean() -> Iterator[None]:
    before = os.environ.pop(CACHE_ENV, None)
    yield
    os.environ.pop(CACHE_ENV, None)
    os.environ.update({CACHE_ENV: before} if before else {})


def test_all_variables_lead_to_the_one_directory_and_the_specs_own_win(tmp_path) -> None:
    asked = request(offline={"cache": str(tmp_path)})
    found = cache_variables(asked, {"HF_HOME": "/elsewhere"}, {"HF_HUB_CACHE": "/mine"}, tmp_path / "scratch")
    assert {found[name] for name in set(CACHE_VARIABLES) - {"HF_HUB_CACHE"}} == {str(tmp_path)}
    assert "HF_HUB_CACHE" not in found
    assert found["NLTK_DATA"] == str(tmp_path / "nltk_data")


def test_a_run_that_says_nothing_about_it_keeps_what_its_environment_says(tmp_path) -> None:
    assert cache_variables(request(), {"HF_HOME": str(tmp_path)}, {}, tmp_path) == {}


def test_the_default_is_the_runs_own_cache(tmp_path) -> None:
    found = cache_variables(request(offline={}), {"HF_HOME": "/image"}, {}, tmp_path)
    assert found["HF_HOME"] == "/image"
    own = cache_variables(request(offline={"source": {"protocol": "s3"}}), {}, {}, tmp_path)
    assert Path(own["HF_HOME"]).is_relative_to(tmp_path)


def test_a_warm_up_without_a_place_is_refused(tmp_path) -> None:
    with pytest.raises(RunFailedError, match=r"set offline\.cache"):
        cache_variables(request(warm_up=True), {}, {}, tmp_path)


@pytest.mark.parametrize("cache", ["/opt/airflow/dags", "{}/models/../dags"])
def test_nothing_is_written_where_only_the_spec_says_so(cache, tmp_path) -> None:
    asked = request(warm_up=True, offline={"cache": cache.format(tmp_path)}, data_roots=[str(tmp_path / "models")])
    with pytest.raises(RunFailedError, match="not a place that a run may fill") as caught:
        cache_variables(asked, {"HF_HOME": "/hf"}, {"HF_HOME": "/opt/airflow/dags"}, tmp_path / "scratch")
    assert caught.value.cause == "bad_spec"
    assert not (tmp_path / "dags").exists()


def test_what_is_no_cache_is_not_mirrored(tmp_path) -> None:
    for name in "abc":
        (tmp_path / "much" / name).mkdir(parents=True)
    with pytest.raises(RunFailedError, match="no cache of models"):
        overlay(tmp_path / "much", tmp_path / "layer", most=2)


def test_a_layer_shows_the_cache_and_takes_new_files_beside_old_ones(tmp_path) -> None:
    cache, layer = tmp_path / "cache", tmp_path / "layer"
    for name in (
        "models--o--m/snapshots/c/config.json",
        "o___data/default/0.0.0/c/data.arrow",
        "hub/models--o--n/refs/main",
    ):
        (cache / name).parent.mkdir(parents=True)
        (cache / name).write_text(name)
    (cache / "o___data" / "old.lock").touch()
    overlay(cache, layer)
    (layer / "o___data" / "default" / "0.0.0" / "c" / "cache-1.arrow").write_text("new")
    overlay(cache, layer)  # a second attempt of the same run
    assert (layer / "o___data" / "default" / "0.0.0" / "c" / "data.arrow").read_text().endswith("data.arrow")
    assert (layer / "models--o--n" / "refs" / "main").is_file()
    assert (layer / "models--o--m").is_symlink()
    assert not list(cache.rglob("cache-1.arrow"))
    assert not (layer / "o___data" / "old.lock").exists()


SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"]


@pytest.mark.parametrize(
    ("there", "asset", "weights"),
    [
        ([*SHARDS, "consolidated.safetensors", "pytorch_model.bin"], {}, SHARDS[:2]),
        (["pytorch_model.bin", "training_args.bin", "flax_model.msgpack"], {}, ["pytorch_model.bin"]),
        (["adapter_model.safetensors", "optimizer.bin"], {}, ["adapter_model.safetensors"]),
        (["a-Q4.gguf", "a-Q8.gguf"], {"file": "a-Q8.gguf"}, ["a-Q8.gguf"]),
        (["step1/model.safetensors", "model.safetensors"], {"folder": "step1"}, ["step1/model.safetensors"]),
        (["model.safetensors", "onnx/model.onnx"], {"weights": False}, []),
    ],
)
def test_of_the_weights_those_are_fetched_that_are_loaded(there, asset, weights) -> None:
    texts = ["config.json", "tokenizer.json"]
    found = choose(Asset("pretrained", "o/m", **asset), [*there, *texts, "modeling_o.py", "README.md"])
    assert [name for name in found if not name.endswith(".json")] == weights
    assert set(texts) <= set(found)


def test_code_is_fetched_where_it_is_trusted() -> None:
    assert "modeling_o.py" in choose(Asset("pretrained", "o/m", code=True), ["modeling_o.py", "model.safetensors"])


def test_what_lies_on_this_machine_is_no_asset_and_a_served_model_has_a_tokenizer_only(tmp_path) -> None:
    assert assets_of(request(model_args={"pretrained": str(tmp_path), "tokenizer": "o/t"})) == [
        Asset("tokenizer", "o/t", weights=False)
    ]
    served = {"base_url": "http://h/v1/completions", "model": "name", "pretrained": "o/m", "tokenizer": "o/t"}
    assert [each.role for each in assets_of(request(model="local-completions", model_args=served))] == ["tokenizer"]
    assert not is_hub_name("./o/m")


def test_manifests_of_several_warm_ups_are_one(tmp_path) -> None:
    older = Manifest(models={model_key("o/m", None): {"commit": "1", "files": {}}}, names={"a": ["a"]})
    newer = Manifest(models={"o/m@main": {"commit": "2", "files": {}}}, names={"b": ["b"]})
    assert older.joined(newer).models == newer.models
    assert set(older.joined(newer).names) == {"a", "b"}


def test_files_are_compared_as_closely_as_was_asked_for(tmp_path) -> None:
    for name in ("same", "other", "longer"):
        (tmp_path / name).write_text(name)
    listed = {name: file_digest(tmp_path / name) for name in ("same", "other", "longer")}
    (tmp_path / "other").write_text("OTHER")
    _compare(tmp_path, {name: listed[name] for name in ("same", "other")}, digests=False)
    with pytest.raises(RunFailedError, match="other has other content") as caught:
        _compare(tmp_path, listed, digests=True)
    assert "same" not in str(caught.value).replace(str(tmp_path), "")
    (tmp_path / "longer").write_text("longer than before")
    with pytest.raises(RunFailedError, match="longer has 18 bytes instead of 6; gone is missing"):
        _compare(tmp_path, listed | {"gone": listed["same"]}, digests=False)


@pytest.mark.parametrize(
    ("preflight", "source", "trouble"),
    [
        ({}, None, "model.safetensors has other content"),
        ({"preflight": {}}, None, None),
        ({"preflight": {}}, {"protocol": "s3"}, None),
    ],
)
def test_a_preflight_does_not_read_the_weights(tmp_path, clean, preflight, source, trouble) -> None:
    weights = tmp_path / "model.safetensors"
    weights.write_text("weights")
    models = {model_key("o/m", None): {"commit": "1", "files": {weights.name: file_digest(weights)}}}
    (tmp_path / MANIFEST_NAME).write_bytes(dump(Manifest(models=models).to_json()))
    weights.write_text("WEIGHTS")
    asked = request(model_args={"pretrained": "o/m"}, offline={"cache": str(tmp_path), "source": source}, **preflight)
    os.environ[CACHE_ENV] = str(tmp_path)
    with pytest.raises(RunFailedError, match=trouble) if trouble else contextlib.nullcontext():
        check_cache(asked)
    weights.unlink()
    with contextlib.nullcontext() if preflight and source else pytest.raises(RunFailedError, match="is missing"):
        check_cache(asked)


@pytest.mark.parametrize("text", ["", "[]", '{"schema_version": 2}'])
def test_a_manifest_that_cannot_be_read_is_no_empty_manifest(text, tmp_path) -> None:
    (tmp_path / MANIFEST_NAME).write_text(text)
    with pytest.raises(ProtocolError, match="manifest"):
        Manifest.read(tmp_path)
    assert Manifest.read(tmp_path / "empty") is None
