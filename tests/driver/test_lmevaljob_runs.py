"""The documents' LMEvalJobs, translated and evaluated for real, on the tiny model in place of theirs.

What is exchanged is what a test machine cannot have: the model, the data, the address. Everything else of a manifest stays,
and has to arrive in the result.
"""

from __future__ import annotations

import json

import pytest

from tests.support.endpoint import HangingEndpoint
from tests.support.recipes import TEMPLATE, card, write_rows
from tests.support.tiny import FACTS, tiny_model
from tests.support.translated import evaluated, on_tiny

pytestmark = pytest.mark.driver


def test_the_offline_job_evaluates_without_network(tmp_path) -> None:
    job = on_tiny("offline", pretrained=str(tiny_model()))
    job["spec"]["taskList"]["taskNames"] = ["tiny_mc"]
    for variable in job["spec"]["pod"]["container"]["env"]:
        variable["value"] = str(tmp_path / "hf_home")
    spec, result = evaluated(job, tmp_path)
    assert not spec.allow_online
    assert result.metric("tiny_mc", "acc").value > 0.8
    assert (spec.batch_size, spec.max_batch_size) == (8, 24)


def test_the_warm_up_job_evaluates_its_one_document(tmp_path) -> None:
    job = on_tiny("offline-warm-up", pretrained=str(tiny_model()), dtype="float32")
    job["spec"]["taskList"]["taskNames"] = ["tiny_mc"]
    job["spec"]["pod"]["container"]["env"] = [{"name": "HF_HOME", "value": str(tmp_path / "hf_home")}]
    _, result = evaluated(job, tmp_path)
    assert result.tasks["tiny_mc"].n_samples.effective == 1


def test_the_adrs_recipe_evaluates_with_a_card_over_a_file(tmp_path) -> None:
    job = on_tiny("adr-example", pretrained=str(tiny_model()), dtype="float32", max_length="400")
    data = write_rows(tmp_path / "data.jsonl", FACTS)
    recipe = {"card": {"custom": json.dumps(card(data))}, "template": {"ref": "templates.colours"}}
    custom = {"templates": [{"name": "templates.colours", "value": json.dumps(TEMPLATE)}]}
    job["spec"]["taskList"] = {"taskRecipes": [recipe], "custom": custom}
    spec, result = evaluated(job, tmp_path)
    (name,) = [each.task_name for each in spec.unitxt]
    assert result.metric(name, "accuracy").n == len(FACTS)
    assert spec.log_samples


@pytest.mark.parametrize("name", ["inference-service", "mistral-quantized", "mistral-full"])
def test_jobs_of_served_models_ask_the_server_they_name(name, tmp_path) -> None:
    with HangingEndpoint(answers=10_000) as endpoint:
        changes = {"base_url": endpoint.address, "tokenizer": str(tiny_model()), "tokenized_requests": "False"}
        job = on_tiny(name, **changes)
        job["spec"]["taskList"]["taskNames"] = ["tiny_gen"]
        spec, result = evaluated(job, tmp_path)
        documents = min(int(job["spec"]["limit"]), len(FACTS))
        assert endpoint.questions >= documents / spec.batch_size
    assert result.tasks["tiny_gen"].n_samples.effective == documents
    assert result.model.type == "local-completions"
    assert spec.model.num_concurrent == {"mistral-full": 4}.get(name, 1)
