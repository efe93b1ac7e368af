"""Converted jobs against the real thing they name: a server that scores prompts, a claim that the first of a pair fills, a
bucket."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_lmeval.plan.lmevaljob.storage import VARIABLES
from tests.support.hub import Hub
from tests.support.served import ServedModel
from tests.support.tiny import FACTS, tiny_model, tiny_tasks
from tests.support.translated import Json, on_tiny, run_here, translated

pytestmark = pytest.mark.driver

MODEL, DATA = "tiny-org/gpt", "tiny-org/Colours"
TASK = {
    "task": "hub_mc", "dataset_path": DATA, "test_split": "test", "output_type": "multiple_choice",
    "doc_to_text": "Q: What colour is the {{thing}}?\nA:", "doc_to_choice": "choices", "doc_to_target": "answer",
}  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedModel]:
    with ServedModel(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.mark.parametrize("name", ["inference-service", "mistral-quantized", "mistral-full"])
def test_jobs_of_served_models_score_choices_at_a_real_server(name: str, server: ServedModel, tmp_path: Path) -> None:
    job = on_tiny(name, model="tiny", base_url=server.url(), tokenizer=str(tiny_model()), max_length="130")
    job["spec"]["taskList"]["taskNames"] = ["tiny_mc"]
    result = run_here(translated(job), tmp_path)
    documents = min(int(job["spec"]["limit"]), len(FACTS))
    assert result.tasks["tiny_mc"].n_samples.effective == documents
    assert result.metric("tiny_mc", "acc").value > (0.8 if documents > 2 else 0.4)


def of_pair(name: str, place: Path) -> Json:
    """Return one job of the pair, on a directory in place of the claim."""
    job = on_tiny(name, pretrained=MODEL, dtype="float32")
    job["spec"]["taskList"]["taskNames"] = ["hub_mc"]
    for variable in job["spec"]["pod"]["container"]["env"]:
        if "value" in variable:
            variable["value"] = str(place / "hf_home")
    return job


def test_the_first_of_the_pair_fills_the_claim_that_the_second_evaluates_from_without_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "hub_mc.yaml").write_text(json.dumps(TASK))
    (tmp_path / "data").mkdir()
    shutil.copy(tiny_tasks() / "test.jsonl", tmp_path / "data" / "test.jsonl")
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_secret")
    with Hub() as hub:
        hub.add("models", MODEL, tiny_model())
        hub.add("datasets", DATA, tmp_path / "data")
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        first = run_here(translated(of_pair("offline-warm-up", tmp_path), tmp_path / "tasks"), tmp_path, "first")
        asked = len(hub.asked)
        second = run_here(translated(of_pair("offline", tmp_path), tmp_path / "tasks"), tmp_path, "second")
        assert f"{MODEL}/model.safetensors" in hub.downloaded
        assert len(hub.asked) == asked
    assert first.tasks["hub_mc"].n_samples.effective == 1
    assert second.tasks["hub_mc"].n_samples.effective == len(FACTS)
    assert second.metric("hub_mc", "acc").value > 0.8


def test_a_bucket_is_copied_with_what_the_jobs_secrets_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("s3fs", reason="needs s3fs")
    from tests.support.s3 import Bucket

    job = on_tiny("offline", pretrained=str(tmp_path / "cache"))
    selectors = {name: {"name": "minio", "key": name} for name in VARIABLES}
    job["spec"]["offline"]["storage"]["s3"] = selectors | {"path": "trained"}
    job["spec"]["taskList"]["taskNames"] = ["tiny_gen"]
    del job["spec"]["pod"]
    spec = translated(job)
    offline = spec.offline.model_copy(update={"cache": str(tmp_path / "cache")})
    with Bucket(tiny_model().parent, name="models", key="AKIAEXAMPLE", secret="very-secret", region="eu-1") as bucket:
        values = {"accessKeyId": "AKIAEXAMPLE", "secretAccessKey": "very-secret", "bucket": "models"}
        for field, value in (values | {"region": "eu-1", "endpoint": bucket.url}).items():
            monkeypatch.setenv(VARIABLES[field], value)
        result = run_here(spec.model_copy(update={"offline": offline}), tmp_path)
    assert "trained/model.safetensors" in bucket.got
    assert result.metric("tiny_gen", "exact_match,whole").value > 0.8
