"""Everything that needs no GPU is looked at without one, all of it, and no weight is read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_lmeval.driver.worker.checkpoint import header
from airflow_provider_lmeval.wire_preflight import CHECKS, Check, Report
from tests.support.recipes import card, entry, write_rows
from tests.support.tiny import FACTS, tiny_model
from tests.support.worker import NOT_CATALOGUED, Worker, evaluate, own_task, tiny_request

pytestmark = pytest.mark.driver

L4: dict[str, Any] = {"device": "NVIDIA-L4", "memory": 24 * 1024**3, "processes": 1}


def look(place: Path, *tasks: str, **changes: Any) -> Worker:
    known = {"preflight": L4, **NOT_CATALOGUED}
    return evaluate(place, tiny_request(*tasks, **known | changes))


def checks(worker: Worker) -> dict[str, Check]:
    document = json.loads((worker.run.scratch / "evaluation.json").read_text())
    return {check.id: check for check in Report.from_json(document["preflight"]).all()}


def findings(worker: Worker) -> dict[str, str]:
    return {name: str(check.finding) for name, check in checks(worker).items()}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The tiny model, to be spoilt."""
    return Path(shutil.copytree(tiny_model(), tmp_path / "model"))


def test_a_sound_evaluation_passes_though_nothing_can_read_its_weights(tmp_path: Path, model: Path) -> None:
    weights = model / "model.safetensors"
    with open(weights, "r+b") as stream:
        stream.truncate(8 + int.from_bytes(stream.read(8), "little"))  # a header, and not one number after it
    worker = look(
        tmp_path / "run",
        "tiny_gen",
        "tiny_ppl",
        "tiny_group",
        model_args={"pretrained": str(model)},
        inline_tasks=[own_task()],
        unitxt=[entry(card(write_rows(tmp_path / "rows.jsonl", FACTS)), "recipe")],
        evaluate={"apply_chat_template": True, "system_instruction": "Be brief."},
    )
    assert worker.status == 0, worker.output
    found = checks(worker)
    assert list(found) == list(CHECKS)
    assert {name for name, finding in findings(worker).items() if finding != "ok"} == {
        "cache-files",
        "endpoint-answers",
        "gpu-share",
    }
    assert "own has 10 documents" in found["datasets-load"].found
    assert found["chat-template"].found == "a prompt of tiny_gen, tiny_group_a, tiny_group_b, recipe, own."
    assert f"for weights of {sum(header(weights).values()) / 1e6:.3g} million parameters" in found["gpu-memory"].found
    assert found["gpu-memory"].found.endswith("; NVIDIA-L4 has 24 GiB.")
    assert {event.get("phase") for event in worker.events} == {"preflight", "saving", None}
    assert {name: task["metrics"] for name, task in worker.evaluation["tasks"].items()}["own"] == {}


def test_whatever_is_wrong_is_reported_at_once_with_its_remedy(tmp_path: Path, model: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (model / name).unlink()
    worker = look(
        tmp_path / "run",
        inline_tasks=[own_task(metric_list=[{"metric": "accurcy"}])],
        model_args={"pretrained": str(model)},
        evaluate={"apply_chat_template": True},
        preflight=L4 | {"memory": 1024},
    )
    assert worker.status == 2
    cause, message = worker.failure
    assert (cause, message.splitlines()[0]) == (
        "bad_spec",
        "3 of 10 checks failed: tasks-load, tokenizer-load, gpu-memory",
    )
    assert "there is no metric 'accurcy'" in message
    assert f"{model}: the tokenizer makes no token of a plain sentence; its files are missing." in message
    assert "NVIDIA-L4 has 1 KiB, and each device needs 501.2 KiB at least" in message
    assert f"{CHECKS['gpu-memory']} [gpu-memory]" in message
    found = findings(worker)
    assert (found["datasets-load"], found["chat-template"]) == ("skipped", "skipped")


def test_a_model_and_data_that_are_not_there_are_two_findings(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "config.json").write_text("{}")
    lost = own_task(dataset_kwargs={"data_files": {"test": str(tmp_path / "lost.jsonl")}})
    worker = look(tmp_path / "run", inline_tasks=[lost], model_args={"pretrained": str(tmp_path / "empty")})
    found = checks(worker)
    assert [check.id for check in found.values() if check.finding == "failed"] == ["model-files", "datasets-load"]
    assert found["model-files"].found == f"pretrained: '{tmp_path}/empty' has no weights."
    assert "lost.jsonl" in found["datasets-load"].found
    assert found["gpu-memory"].found == "not looked at, since model-files failed."
    assert worker.failure[0] == "model_load"  # no other try makes it appear, whatever the other finding says


def test_prompts_that_fit_no_template_and_documents_that_cannot_be_shared_are_found(
    tmp_path: Path, model: Path
) -> None:
    (model / "chat_template.jinja").write_text("{{ raise_exception('only one turn') }}")
    shared = {"count": 64, "strategy": "data", "processes": 1, "model_args": {}, "required": False, "package": None}
    worker = look(
        tmp_path / "run",
        "tiny_mc",
        model_args={"pretrained": str(model)},
        evaluate={"apply_chat_template": True},
        preflight=L4 | {"processes": 64, "memory": None},
        parallel=shared | {"launcher": None, "heads": None},
    )
    found = checks(worker)
    assert [check.id for check in found.values() if check.finding == "failed"] == ["chat-template", "gpu-share"]
    assert (
        "only one turn (while putting a prompt of task 'tiny_mc' into the chat template" in found["chat-template"].found
    )
    assert "40 document(s) cannot be shared by 64 processes" in found["gpu-share"].found
    assert found["gpu-memory"].finding == "skipped"
    assert found["gpu-memory"].found.endswith("not compared: the memory of NVIDIA-L4 is not known, set gpu.memory.")


def test_an_image_without_a_package_and_a_cache_without_the_model_end_the_look_early(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    offline = {"cache": str(tmp_path / "cache")}
    model_args = {"pretrained": "a/b", "autogptq": True}
    asked = tiny_request("tiny_mc", model="trtllm", preflight=L4, offline=offline, model_args=model_args)
    worker = evaluate(tmp_path / "run", asked, LMEVAL_CACHE=offline["cache"])
    found = checks(worker)
    assert [check.id for check in found.values() if check.finding == "failed"] == ["packages", "cache-files"]
    assert found["packages"].found.startswith(
        "autogptq needs 'auto_gptq', model type trtllm needs 'tensorrt_llm', which"
    )
    assert "lacks what it needs: model a/b" in found["cache-files"].found
    assert {found[name].finding for name in ("tasks-load", "tokenizer-load", "gpu-memory")} == {"skipped"}
    assert worker.failure[0] == "model_load"
