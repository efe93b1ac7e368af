"""What a spec becomes: the driver's request, names, the equivalent command."""

from __future__ import annotations

import argparse
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lmeval import wire
from airflow_provider_lmeval.plan import Grants, Placement, equivalent_command, plan_request, run_id, same_task
from airflow_provider_lmeval.spec import EvalSpec

HF = {"type": "hf", "pretrained": "/models/candidate"}


NOTHING = Grants()


def request(grants: Grants = NOTHING, **fields: object) -> wire.Request:
    spec = EvalSpec.parse({"model": HF, "tasks": ["arc_easy"]} | fields)
    return plan_request(spec, "run-1", grants, Placement())


def test_permissions_take_both_sides() -> None:
    both = Grants(online=True, code_execution=True)
    assert request(both, allow_online=True, allow_code_execution=True).allow_code_execution
    assert not request(both).allow_online
    assert not request(Grants(), allow_online=True).allow_online


def test_only_the_families_that_are_needed_are_indexed() -> None:
    assert request(tasks=["arc_easy"]).families == ["arc"]
    assert request(tasks=["mine"], include_paths=["/tasks"]).families == ["unitxt"]


def test_evaluation_settings_bear_lm_evals_names() -> None:
    sent = request(num_fewshot=3, seed=[1, 2, None, 4], gen_kwargs={"temperature": 0}).evaluate
    assert set(sent) == set(wire.EVALUATE_KEYS)
    assert (sent["random_seed"], sent["numpy_seed"], sent["torch_seed"], sent["fewshot_seed"]) == (1, 2, None, 4)


def test_trust_is_told_to_datasets_too() -> None:
    assert request(model=HF | {"trust_remote_code": True}).evaluate["trust_remote_code"]
    assert not request().evaluate["trust_remote_code"]


def test_a_suite_is_a_group_with_each_tasks_own_examples() -> None:
    (group,) = request(tasks=["suite:open-llm-leaderboard-v1"]).inline_tasks
    assert {"task": "arc_challenge", "num_fewshot": 25} in group["task"]
    assert {"group": "mmlu", "num_fewshot": 5} in group["task"]


def test_secrets_stay_references() -> None:
    sent = request(
        Grants(env=frozenset({"HF_TOKEN"})),
        model=HF | {"args": {"token": {"env": "HF_TOKEN"}}},
        env={"MY_TOKEN": {"env": "HF_TOKEN"}},
    )
    assert sent.model_args["token"] == sent.env["MY_TOKEN"] == {"env": "HF_TOKEN"}
    assert sent.allowed_env == ["HF_TOKEN"]


def test_a_request_survives_the_wire() -> None:
    original = request(unitxt=[{"card": "cards.wnli", "template": "templates.x"}], metadata={"a": [1, None, "é"]})
    assert wire.Request.from_json(json.loads(wire.dump(original.to_json()))) == original


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"num_fewshot": 5, "limit": 10, "batch_size": "auto:3", "max_batch_size": 64, "device": "cpu"},
        {"samples": {"arc_easy": [0, 2]}, "gen_kwargs": {"until": ["a,b", "c=d"]}, "metadata": {"x": {"y": 'q"'}}},
        {"apply_chat_template": "tool use", "fewshot_as_multiturn": True, "system_instruction": "be; $(brief)\n"},
        {"seed": [None, 1, 2, 3], "log_samples": True, "predict_only": True, "include_paths": ["/a b"]},
        {"model": HF | {"args": {"weird": 'a,b={"c": "d\'"}'}}},
    ],
)
def test_lm_eval_understands_the_equivalent_command(fields: dict[str, object]) -> None:
    cli = pytest.importorskip("lm_eval._cli.run", reason="needs lm-eval (the driver extra)")
    parser = argparse.ArgumentParser()
    cli.Run(parser.add_subparsers())
    spec = EvalSpec.parse({"model": HF, "tasks": ["arc_easy", "gsm8k"]} | fields)
    parsed = vars(parser.parse_args(equivalent_command(spec)[1:]))
    assert parsed["model_args"] == spec.model.lm_eval_args()
    assert list(parsed["tasks"]) == ["arc_easy", "gsm8k"]
    data = spec.to_data()
    for name in ("num_fewshot", "limit", "samples", "gen_kwargs", "metadata", "system_instruction", "device"):
        assert (parsed[name] or None) == data.get(name)


names = st.text(max_size=300)


@given(
    names, names, names, st.integers(-1, 10_000), st.integers(0, 50), st.text(alphabet="0123456789abcdef", min_size=1)
)
def test_run_ids_are_valid_everywhere(dag: str, run: str, task: str, index: int, tries: int, digest: str) -> None:
    name = run_id(dag, run, task, index, tries, digest)
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])", name)
    assert wire.safe_name(name) == name


def test_a_retry_keeps_the_run_and_a_clear_does_not() -> None:
    first = run_id("dag", "manual__1", "evaluate", -1, 2, "aa")
    assert first == run_id("dag", "manual__1", "evaluate", -1, 2, "aa")
    cleared = run_id("dag", "manual__1", "evaluate", -1, 4, "aa")
    edited = run_id("dag", "manual__1", "evaluate", -1, 2, "bb")
    other = run_id("dag", "manual__1", "evaluate", 0, 2, "aa")
    assert len({first, cleared, edited, other}) == 4
    assert same_task(first) == same_task(cleared) == same_task(edited) != same_task(other)


@given(st.text(max_size=400))
def test_file_names_are_safe_for_any_task_name(name: str) -> None:
    safe = wire.safe_name(name)
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*|[A-Za-z0-9._-]*", safe)
    assert safe not in ("", ".", "..")
    assert len(safe) <= 80
    assert "/" not in safe


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(codec="utf-8", exclude_characters="\0")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc.=,{}'\"", min_size=1, max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from(["alpha", "beta", "gamma"]), json_values),
    st.integers(0, 9),
    st.sampled_from([1, 8, "auto", "auto:2"]),
)
def test_specs_round_trip_and_commands_are_lists_of_strings(args: dict, fewshot: int, batch: int | str) -> None:
    spec = EvalSpec.parse(
        {"model": {"type": "sglang", "args": args}, "tasks": ["arc_easy"], "num_fewshot": fewshot, "batch_size": batch}
    )
    assert EvalSpec.parse(json.loads(json.dumps(spec.to_data()))) == spec
    command = equivalent_command(spec)
    assert all(isinstance(part, str) for part in command)
    assert json.loads(command[command.index("--model_args") + 1]) == args
