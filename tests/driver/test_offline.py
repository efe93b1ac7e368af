"""A warm-up from a Hub, then evaluations that have no network at all, on files that they may only read.

The Hub is a real server on loopback. Evaluations run in namespaces of their own: no network device but a loopback of their
own, every file system read-only except the run's directory, and a user that owns nothing.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_lmeval.results import EvalResult
from airflow_provider_lmeval.wire import Request
from airflow_provider_lmeval.wire_offline import Manifest
from tests.support import harsh
from tests.support.contained import Container
from tests.support.hub import Hub
from tests.support.tiny import tiny_model, tiny_tasks
from tests.support.worker import NOT_CATALOGUED

pytestmark = pytest.mark.driver

NEEDED = (
    "chat_template.jinja", "config.json", "generation_config.json", "model.safetensors", "tokenizer.json",
    "tokenizer_config.json",
)  # fmt: skip
MODEL, DATA = "tiny-org/gpt", "tiny-org/Colours"
OWN = {
    "name": "own_rows",
    "output_type": "multiple_choice",
    "source": {"dataset": DATA, "split": "test", "name": DATA},
    "columns": {"question": "thing", "choices": "choices", "answer": "answer"},
    "prompt": "Q: What colour is the {question}?\nA:",
    "metrics": [],
}


def hub_task(**changes: Any) -> dict[str, Any]:
    """Return a task on data of the Hub, which it changes before it reads them: ``datasets`` then writes into its cache."""
    asks = {
        "doc_to_text": "Q: What colour is the {{thing}}?\nA:",
        "doc_to_choice": "choices",
        "doc_to_target": "answer",
    }
    task = {"task": "hub_mc", "dataset_path": DATA, "test_split": "test", "fewshot_split": "train", "num_fewshot": 1}
    return {**task, "output_type": "multiple_choice", **asks, **changes}


def request(cache: Path, **changes: Any) -> Request:
    """Return a request for the tiny model and data of the Hub."""
    defaults: dict[str, Any] = {
        "run_id": "offline", "spec_hash": "0" * 64, "model": "hf", "grace_s": 1.0,
        "model_args": {"pretrained": MODEL, "dtype": "float32"},
        "inline_tasks": [hub_task()], "evaluate": {"device": "cpu", "batch_size": 8},
        "offline": {"cache": str(cache)}, **NOT_CATALOGUED,
    }  # fmt: skip
    return Request(**{**defaults, **changes})


@dataclass(frozen=True)
class Warmed:
    """A cache that was filled, and what came of it."""

    cache: Path
    result: EvalResult
    downloaded: list[str]
    log: str

    @property
    def manifest(self) -> Manifest:
        found = Manifest.read(self.cache)
        assert found is not None
        return found


@pytest.fixture(scope="module")
def warmed(tmp_path_factory: pytest.TempPathFactory) -> Warmed:
    place = tmp_path_factory.mktemp("warm-up")
    for source, name in (("test", "test"), ("shots", "train")):
        (place / "data").mkdir(exist_ok=True)
        shutil.copy(tiny_tasks() / f"{source}.jsonl", place / "data" / f"{name}.jsonl")
    shutil.copytree(tiny_model(), place / "model")
    for superfluous in ("pytorch_model.bin", "training_args.bin", "README.md"):
        (place / "model" / superfluous).write_bytes(b"nobody needs this")
    with Hub() as hub:
        hub.add("models", MODEL, place / "model")
        hub.add("datasets", DATA, place / "data")
        container = Container(place / "container", {"HF_ENDPOINT": hub.url, "HOME": str(place)})
        ended = container.finish(request(place / "cache", warm_up=True, allow_online=True))
        log = ended.stdout.decode() + ended.stderr.decode()
        assert ended.returncode == 0, log
    result = EvalResult.from_json(container.run.result.read_bytes())
    return Warmed(place / "cache", result, hub.downloaded, log)


def evaluated(place: Path, asked: Request) -> tuple[EvalResult, str]:
    """Evaluate without network and without a writable file outside the run's directory."""
    if why := harsh.possible():
        pytest.skip(why)
    container = Container(place / "container", {"HF_HOME": "/nowhere"})
    container.root.chmod(0o777)
    ended = container.finish(asked, prefix=(*harsh.HARSH, str(container.root)))
    log = ended.stdout.decode() + ended.stderr.decode()
    assert container.run.result.exists(), log
    return EvalResult.from_json(container.run.result.read_bytes()), log


def test_a_warm_up_fetches_what_is_needed_and_nothing_else(warmed) -> None:
    assert {name for name in warmed.downloaded if name.startswith(MODEL)} == {f"{MODEL}/{name}" for name in NEEDED}
    assert warmed.result.succeeded
    assert not warmed.result.tasks["hub_mc"].metrics
    assert '"warnings": []' in warmed.log


def test_the_manifest_names_commit_and_digests(warmed) -> None:
    (model,) = warmed.manifest.models.values()
    assert list(warmed.manifest.models) == [f"{MODEL}@main"]
    assert f"models--tiny-org--gpt/snapshots/{model['commit']}/model.safetensors" in model["files"]
    assert any(path.endswith("-test.arrow") for path in warmed.manifest.tasks["hub_mc"]["files"])


def test_a_run_without_network_evaluates_from_a_cache_it_cannot_write(warmed, tmp_path) -> None:
    before = sorted(path for path in warmed.cache.rglob("*"))
    result, log = evaluated(tmp_path, request(warmed.cache))
    assert result.succeeded, (result.message, log)
    assert result.metric("hub_mc", "acc").value > 0.5
    assert sorted(path for path in warmed.cache.rglob("*")) == before


def test_what_was_never_fetched_is_named_before_anything_is_loaded(warmed, tmp_path) -> None:
    model_args = {"pretrained": "other-org/large", "revision": "v2"}
    asked = request(warmed.cache, inline_tasks=[hub_task(task="other")], model_args=model_args)
    result, _ = evaluated(tmp_path, asked)
    assert result.cause == "online_denied"
    assert "model other-org/large@v2 (pretrained); task other" in result.message
    assert f"It has {MODEL}@main; hub_mc" in result.message
    assert "loading tasks" not in result.timings.phases
