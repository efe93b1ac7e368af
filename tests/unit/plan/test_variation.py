"""Specs made of specs: of another model, or of the same one in another way."""

from __future__ import annotations

import pytest

from airflow_provider_lmeval.errors import SpecError
from airflow_provider_lmeval.plan.variation import of_model, varied
from airflow_provider_lmeval.spec import EvalSpec

SPEC = EvalSpec.parse(
    {
        "model": {"type": "hf", "pretrained": "/models/candidate"},
        "tasks": ["arc_easy"],
        "num_fewshot": 5,
        "batch_size": 16,
    }
)


def test_only_the_model_is_another_one() -> None:
    found = of_model(
        SPEC, "hf", {"pretrained": "/models/production", "dtype": "float32", "attn_implementation": "eager"}
    )

    assert found.model.lm_eval_args() == {
        "pretrained": "/models/production", "dtype": "float32", "attn_implementation": "eager"
    }  # fmt: skip
    assert found.to_data() | {"model": None} == SPEC.to_data() | {"model": None}


def test_a_spec_survives_being_given_its_own_model() -> None:
    assert of_model(SPEC, SPEC.model.type, SPEC.model.lm_eval_args()).content_hash == SPEC.content_hash


def test_a_model_type_without_fields_of_its_own_gets_arguments() -> None:
    found = of_model(SPEC, "mamba_ssm", {"pretrained": "/models/mamba", "is_hf": True})

    assert found.model.type == "mamba_ssm"
    assert found.model.lm_eval_args() == {"pretrained": "/models/mamba", "is_hf": True}


def test_a_secret_stays_a_reference() -> None:
    args = {"model": "granite", "base_url": "http://vllm/v1/completions", "auth_token": {"env": "VLLM_TOKEN"}}

    assert of_model(SPEC, "local-completions", args).model.lm_eval_args() == args


def test_a_served_model_stays_what_it_was_declared_to_be() -> None:
    args, digest = {"model": "granite", "base_url": "http://vllm/v1/completions"}, f"sha256:{'a' * 64}"

    found = of_model(SPEC, "local-completions", args, digest)

    assert getattr(found.model, "digest") == digest  # noqa: B009 - not a field of every model
    assert found.model.lm_eval_args() == args


def test_weights_that_are_loaded_are_not_declared() -> None:
    assert of_model(SPEC, "hf", {"pretrained": "/m"}, "sha256:0").model.lm_eval_args() == {"pretrained": "/m"}


def test_a_model_that_cannot_be_evaluated_so_is_refused() -> None:
    with pytest.raises(SpecError, match="apply_chat_template"):
        of_model(SPEC, "local-chat-completions", {"model": "granite", "base_url": "http://vllm/v1/chat/completions"})


@pytest.mark.parametrize(("size", "other"), [(16, 8), (3, 1), (2, 1), (1, 2), ("auto", 8), ("auto:4", 8)])
def test_a_variation_has_another_few_shot_seed_and_batch_size_and_nothing_else(size: int | str, other: int) -> None:
    spec = EvalSpec.parse({**SPEC.to_data(), "batch_size": size})

    found = varied(spec)

    assert found.seeds == (0, 1234, 1234, 1235)
    assert found.batch_size == other
    same = {"seed": None, "batch_size": None}
    assert found.to_data() | same == spec.to_data() | same


def test_a_variation_may_be_chosen() -> None:
    found = varied(EvalSpec.parse({**SPEC.to_data(), "seed": [1, None, 3, None]}), fewshot_seed=7, batch_size=5)

    assert (found.seeds, found.batch_size) == ((1, None, 3, 7), 5)
    assert varied(EvalSpec.parse({**SPEC.to_data(), "seed": [1, None, 3, None]})).seeds == (1, None, 3, 1)
