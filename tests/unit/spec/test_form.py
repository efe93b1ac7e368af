"""The trigger form: only what Airflow draws, and the way back to the spec."""

from __future__ import annotations

import pytest
from airflow.sdk import Param

from airflow_provider_lmeval.errors import SpecError
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.spec.form import SECTIONS, form_params, spec_from_form

DRAWN = {"string", "integer", "number", "boolean", "array", "object", "null"}


def test_every_field_of_the_spec_is_in_the_form() -> None:
    assert {name for names in SECTIONS.values() for name in names} | {"model"} == set(EvalSpec.model_fields)


@pytest.mark.parametrize(("name", "param"), form_params().items())
def test_fields_use_only_what_the_form_draws(name: str, param: dict[str, object]) -> None:
    types = param["type"] if isinstance(param["type"], list) else [param["type"]]
    assert set(types) <= DRAWN
    assert not {"anyOf", "oneOf", "$ref", "allOf"} & param.keys()
    assert param["description"]
    assert "`" not in str(param["description"])


def test_defaults_are_valid_and_make_the_default_spec() -> None:
    params = {name: Param(**kwargs).resolve() for name, kwargs in form_params().items()}
    built = spec_from_form(params | {"model_pretrained": "/m", "tasks": ["arc_easy"]})
    assert built == EvalSpec.parse({"model": {"type": "hf", "pretrained": "/m"}, "tasks": ["arc_easy"]})


def test_what_is_typed_in_arrives() -> None:
    typed = {
        "model_type": "hf",
        "model_pretrained": "/m",
        "model_args": {"load_in_4bit": True, "offload_folder": "/tmp/x"},
        "tasks": ["arc_easy", "gsm8k"],
        "batch_size": "auto:2",
        "limit": 20.0,
        "seed": 7,
        "gen_kwargs": {"temperature": 0},
    }
    built = spec_from_form(typed)
    assert built.model.lm_eval_args() == {"pretrained": "/m", "load_in_4bit": True, "offload_folder": "/tmp/x"}
    assert (built.batch_size, built.limit, built.seeds, built.gen_kwargs) == (
        "auto:2",
        20,
        (7,) * 4,
        {"temperature": 0},
    )


def test_an_untyped_model_takes_everything_as_arguments() -> None:
    built = spec_from_form({"model_type": "sglang", "model_pretrained": "/m", "tasks": ["arc_easy"]})
    assert built.model.lm_eval_args() == {"pretrained": "/m"}


def test_a_field_of_another_model_type_is_refused() -> None:
    with pytest.raises(SpecError, match="base_url"):
        spec_from_form(
            {"model_type": "hf", "model_pretrained": "/m", "model_base_url": "http://x", "tasks": ["arc_easy"]}
        )
