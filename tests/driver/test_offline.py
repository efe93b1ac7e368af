"""A warm-up from a Hub, then evaluations that have no network at all, on files that they may only read.

The Hub is a real server on loopback. Evaluations run in namespaces of their own: no network device but a loopback of their
own, every file system read-only except the run's directory, and a user that owns nothing.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_lmeval.plan import Grants, Placement, plan_request
from airflow_provider_lmeval.results import EvalResult
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.wire import Request
from airflow_provider_lmeval.wire_offline import Manifest
from tests.support import harsh
from tests.support.contained import Container
from tests.support.hub import Hub
from tests.support.supervised import texts_below
from tests.support.tiny import tiny_model, tiny_tasks

pytestmark = pytest.mark.driver

NEEDED = (
    "chat_template.jinja", "config.json", "generation_config.json", "model.safetensors", "tokenizer.json",
    "tokenizer_config.json",
)  # fmt: skip
KEYS = {"S3_KEY": "AKIAEXAMPLE", "S3_SECRET": "very-secret-words"}
MODEL, DATA = "tiny-org/gpt", "tiny-org/Colours"
OWN = {
    "name": "own_rows",
    "dataset": DATA,
    "columns": {"question": "thing", "answer": "answer"},
    "prompt": "Q: What colour is the {question}?\nA:",
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
    """Return the request for a spec: the tiny model and data of the Hub."""
    spec: dict[str, Any] = {
        "model": {"type": "hf", "pretrained": MODEL, "dtype": "float32"},
        "tasks": [hub_task()],
        "data": [OWN],
        "device": "cpu",
        "batch_size": 8,
        "offline": {"cache": str(cache)},
    }
    granted = Grants(online=True, env=frozenset(KEYS))
    return plan_request(EvalSpec.parse(spec | changes), "offline", granted, Placement(grace_s=1.0))


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
        container = Container(
            place / "container", {"HF_ENDPOINT": hub.url, "HOME": str(place), "HF_HOME": str(place / "cache")}
        )
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
    for task in ("hub_mc", "own_rows"):
        assert any(path.endswith("-test.arrow") for path in warmed.manifest.tasks[task]["files"])


def test_a_run_without_network_evaluates_from_a_cache_it_cannot_write(warmed, tmp_path) -> None:
    before = sorted(path for path in warmed.cache.rglob("*"))
    result, log = evaluated(tmp_path, request(warmed.cache))
    assert result.succeeded, (result.message, log)
    assert result.metric("hub_mc", "acc").value > 0.5
    assert result.metric("own_rows", "acc").value > 0.8
    (fetched,) = warmed.manifest.models.values()
    assert result.model.identity == fetched["commit"]
    assert sorted(path for path in warmed.cache.rglob("*")) == before


def checks(result: EvalResult) -> dict[str, tuple[str, str]]:
    report = (result.model_extra or {})["preflight"]
    return {check["id"]: (check["finding"], check["found"]) for check in report["checks"]}


GPU = {"device": "a slice 1g.5gb", "memory": 5 * 1024**3, "processes": 1}


def test_a_preflight_without_network_finds_all_of_it_in_the_cache(warmed, tmp_path) -> None:
    result, log = evaluated(tmp_path, replace(request(warmed.cache), preflight=GPU))
    assert result.succeeded, (result.message, log)
    found = checks(result)
    assert found["model-files"] == ("ok", f"{MODEL} is there.")
    assert found["cache-files"][0] == found["tokenizer-load"][0] == found["gpu-memory"][0] == "ok"
    assert found["datasets-load"] == ("ok", "own_rows has 40 documents, hub_mc has 40 documents.")
    assert result.tasks["hub_mc"].metrics == {}


def test_a_preflight_with_network_knows_the_size_of_weights_it_does_not_download(tmp_path) -> None:
    with Hub() as hub:
        hub.add("models", MODEL, tiny_model())
        environ = {"HF_ENDPOINT": hub.url, "HOME": str(tmp_path), "HF_HOME": str(tmp_path / "cache")}
        container = Container(tmp_path / "container", environ)
        asked = request(
            tmp_path / "cache", tasks=["tiny_mc"], data=[], include_paths=[str(tiny_tasks())], allow_online=True
        )
        ended = container.finish(replace(asked, preflight=GPU))
    result = EvalResult.from_json(container.run.result.read_bytes())
    assert result.succeeded, (result.message, ended.stderr)
    assert "for weights of 0.128 million parameters" in checks(result)["gpu-memory"][1]
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


def test_what_was_never_fetched_is_named_before_anything_is_loaded(warmed, tmp_path) -> None:
    model = {"type": "hf", "pretrained": "other-org/large", "revision": "v2"}
    asked = request(warmed.cache, tasks=[hub_task(task="other")], model=model)
    result, _ = evaluated(tmp_path, asked)
    assert result.cause == "online_denied"
    assert "model other-org/large@v2 (pretrained); task other" in result.message
    assert f"It has {MODEL}@main; hub_mc; own_rows" in result.message
    assert "loading tasks" not in result.timings.phases


def test_a_file_that_was_changed_is_named(warmed, tmp_path) -> None:
    cache = tmp_path / "cache"
    shutil.copytree(warmed.cache, cache, symlinks=True)
    (weights,) = cache.glob("models--*/snapshots/*/model.safetensors")
    blob = weights.resolve()
    blob.write_bytes(bytes(blob.stat().st_size))
    result, _ = evaluated(tmp_path, request(cache))
    assert result.cause == "dataset"
    assert "model.safetensors has other content" in result.message
    assert "loading tasks" not in result.timings.phases


def test_a_cache_in_the_libraries_own_layout_is_found(warmed, tmp_path) -> None:
    cache = tmp_path / "cache"
    for name, below in (("models--tiny-org--gpt", "hub"), ("tiny-org___colours", "datasets")):
        shutil.copytree(warmed.cache / name, cache / below / name, symlinks=True)
    result, log = evaluated(tmp_path, request(cache, data=[]))
    assert result.succeeded, (result.message, log)


def test_a_model_in_a_bucket_is_evaluated_and_its_keys_stay_outside(tmp_path) -> None:
    pytest.importorskip("s3fs", reason="needs s3fs")
    from tests.support.s3 import Bucket

    cache, (key, secret) = tmp_path / "cache", KEYS.values()
    bucket = Bucket(tiny_model().parent, name="models", key=key, secret=secret, region="eu-1")
    with bucket:
        s3 = {"bucket": "models", "path": "trained", "endpoint": bucket.url, "region": "eu-1"}
        s3 |= {"access_key_id": {"env": "S3_KEY"}, "secret_access_key": {"env": "S3_SECRET"}}
        asked = request(
            cache,
            model={"type": "hf", "pretrained": str(cache), "dtype": "float32"},
            tasks=["tiny_gen"],
            include_paths=[str(tiny_tasks())],
            data=[],
            offline={"cache": str(cache), "s3": s3},
        )
        container = Container(tmp_path / "container", KEYS | {"HF_HOME": str(cache)})
        ended = container.finish(asked)
    result = EvalResult.from_json(container.run.result.read_bytes())
    assert result.succeeded, (result.message, ended.stderr)
    assert result.metric("tiny_gen", "exact_match,whole").value > 0.8
    assert "trained/model.safetensors" in bucket.got
    kept = [path for path, text in texts_below(container.root).items() if secret.encode() in text]
    assert kept == []
    assert secret.encode() not in ended.stdout + ended.stderr
