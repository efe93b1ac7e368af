"""Checks that need the catalogue or permissions, each by its id."""

from __future__ import annotations

import pytest

from airflow_provider_lmeval.errors import EvaluationPermissionError, SpecError, UnknownTaskError
from airflow_provider_lmeval.plan import Grants, check, raise_errors
from airflow_provider_lmeval.spec import EvalSpec
from tests.support.code import CODE, HF

CHAT = {"type": "local-chat-completions", "model": "m", "base_url": "http://predictor:8080/v1/chat/completions"}
EVERYTHING = Grants(online=True, code_execution=True, env=frozenset({"HF_TOKEN"}))


def problems(grants: Grants = EVERYTHING, version: str = "0.4.13", **fields: object) -> dict[str, str]:
    spec = EvalSpec.parse({"model": HF, "tasks": ["arc_easy"]} | fields)
    return {f"{p.level}:{p.id}": p.message for p in check(spec, grants, lm_eval_version=version)}


def test_a_sound_spec_has_no_problems() -> None:
    assert problems(Grants(), tasks=["arc_easy", "mmlu", "mmlu_*", "suite:glue"]) == {}


def test_an_unknown_task_is_an_error_with_near_matches() -> None:
    assert "Did you mean hellaswag" in problems(tasks=["helaswag"])["error:unknown-task"]


def test_an_unknown_task_is_left_to_the_run_when_it_may_exist_there() -> None:
    assert "warning:unknown-task" in problems(tasks=["mine"], include_paths=["/tasks"])
    assert "warning:unknown-task" in problems(tasks=["mine"], version="0.5.0")


def test_an_unknown_suite_is_an_error() -> None:
    with pytest.raises(UnknownTaskError, match="glue"):
        problems(tasks=["suite:gleu"])


@pytest.mark.parametrize("task", ["arc_easy", "wikitext", "mmlu"])
def test_a_chat_model_cannot_do_loglikelihood_tasks(task: str) -> None:
    found = problems(model=CHAT, apply_chat_template=True, tasks=[task])
    assert "local-completions" in found["error:loglikelihood-chat"]


def test_a_chat_model_can_generate() -> None:
    assert problems(model=CHAT, apply_chat_template=True, tasks=["gsm8k"]) == {}


def test_openai_gives_loglikelihoods_for_two_models_only() -> None:
    model = {"type": "openai-completions", "model": "gpt-3.5-turbo-instruct"}
    assert "babbage-002" in problems(model=model)["error:loglikelihood-openai"]
    assert problems(model=model | {"model": "davinci-002"}) == {}


def test_a_group_that_lm_eval_loads_wrongly_is_refused() -> None:
    assert "openllm" in problems(tasks=["openllm"])["error:defective-group"]


@pytest.mark.parametrize("fields", CODE.values(), ids=CODE)
@pytest.mark.parametrize(("asked", "granted"), [(False, False), (True, False), (False, True)])
def test_code_needs_both_switches(fields: dict[str, object], asked: bool, granted: bool) -> None:
    found = problems(Grants(code_execution=granted), allow_code_execution=asked, **fields)
    assert "[lmeval] allow_code_execution" in found["error:code-denied"]
    assert "`allow_code_execution: true`" in found["error:code-denied"]


def test_code_is_allowed_by_both_switches() -> None:
    assert problems(allow_code_execution=True, tasks=["humaneval"]) == {}


@pytest.mark.parametrize("name", ["PATH", "LD_PRELOAD", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONUSERBASE", "GIT_SSH"])
def test_variables_that_choose_other_code_are_nobodys_to_set(name: str) -> None:
    assert name in problems(allow_code_execution=True, allow_online=True, env={name: "x"})["error:env-forbidden"]


def test_variables_that_change_no_code_may_be_set() -> None:
    assert problems(env={"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"}) == {}


@pytest.mark.parametrize("name", ["HF_HUB_OFFLINE", "UNITXT_USE_ONLY_LOCAL_CATALOGS"])
def test_variables_that_go_online_need_both_switches(name: str) -> None:
    assert "[lmeval] allow_online" in problems(env={name: "0"})["error:online-denied"]
    assert "[lmeval] allow_online" in problems(Grants(), env={name: "0"}, allow_online=True)["error:online-denied"]
    assert problems(env={name: "0"}, allow_online=True) == {}


def test_online_needs_the_administrator() -> None:
    assert "[lmeval] allow_online" in problems(Grants(), allow_online=True)["error:online-denied"]
    assert problems(allow_online=True) == {}


def test_only_listed_variables_may_be_referred_to() -> None:
    model = HF | {"args": {"token": {"env": "AWS_SECRET_ACCESS_KEY"}}}
    assert "AWS_SECRET_ACCESS_KEY" in problems(model=model, env={"T": {"env": "HF_TOKEN"}})["error:env-denied"]
    assert problems(model=HF | {"args": {"token": {"env": "HF_TOKEN"}}}) == {}


def test_what_spoils_evidence_is_a_warning() -> None:
    assert {"warning:limit", "warning:predict-only"} <= problems(limit=10, predict_only=True).keys()


def test_the_most_telling_error_is_raised_with_all_messages() -> None:
    spec = EvalSpec.parse({"model": HF, "tasks": ["humaneval", "helaswag"], "allow_online": True})
    with pytest.raises(SpecError) as caught:
        raise_errors(check(spec, Grants()))
    assert {"[unknown-task]", "[code-denied]", "[online-denied]"} <= set(str(caught.value).split())
    denied = EvalSpec.parse({"model": HF, "tasks": ["humaneval"]})
    with pytest.raises(EvaluationPermissionError):
        raise_errors(check(denied, Grants()))
