"""What data and sources become in a request, and what is refused before anything is created."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_lmeval.errors import SpecError
from airflow_provider_lmeval.plan import Grants, Placement, check, equivalent_command, plan_request
from airflow_provider_lmeval.plan.data import config_maps
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.wire import Request
from airflow_provider_lmeval.wire_data import OwnTask

HF = {"type": "hf", "pretrained": "/models/candidate"}
MINE = {"name": "mine", "path": "/data/mine.csv"}
AWAY = {"name": "mine", "uri": "s3://bucket/mine.csv"}
GIT = {"type": "git", "url": "https://git.example.com/tasks.git", "ref": "v1", "path": "eval"}


def spec(**fields: Any) -> EvalSpec:
    return EvalSpec.parse({"model": HF} | fields)


def request(grants: Grants, **fields: Any) -> Request:
    return plan_request(spec(**fields), "run-1", grants, Placement(in_pod=True))


def errors(grants: Grants, **fields: Any) -> dict[str, str]:
    return {p.id: p.message for p in check(spec(**fields), grants) if p.level == "error"}


def test_defaults_are_filled_in() -> None:
    task = OwnTask.from_json(request(Grants(), data=[MINE]).data[0])

    assert task.source.format == "csv"
    assert task.columns == {"question": "question", "choices": "choices", "answer": "answer"}
    assert (task.answer_is, task.num_fewshot) == ("index", 0)
    assert task.prompt == "Question: {question}\nAnswer:"
    assert task.metrics == [{"metric": "acc"}, {"metric": "acc_norm"}]


def test_generation_has_its_own() -> None:
    said = {"output_type": "generate_until", "columns": {"context": "text"}, "ignore_case": True}
    task = OwnTask.from_json(request(Grants(), data=[MINE | said]).data[0])

    assert task.prompt == "{context}\n\nQuestion: {question}\nAnswer:"
    assert task.metrics == [{"metric": "exact_match", "ignore_case": True}]
    assert (task.until, task.max_gen_toks) == (["\n"], 256)


def test_examples_may_be_counted_by_the_spec() -> None:
    shots = MINE | {"fewshot": {"path": "/data/shots.csv"}}

    assert request(Grants(), data=[shots], num_fewshot=3).data[0]["num_fewshot"] is None


def test_sources_that_are_there_are_directories_and_others_are_fetched() -> None:
    sources = [GIT, {"type": "directory", "path": "/tasks"}, {"type": "config_map", "name": "mine"}]
    grants = Grants(online=True, git_hosts=frozenset({"git.example.com"}), data_roots=("/data",))
    sent = request(grants, tasks=["x"], include_paths=["/tasks"], task_sources=sources)

    assert sent.include_paths == ["/tasks", "/opt/lmeval-tasks/mine"]
    assert sent.git_sources == [{"url": GIT["url"], "ref": "v1", "path": "eval"}]
    assert sent.git_hosts == ["git.example.com"]
    assert sent.data_roots == ["/data"]


def test_a_configmap_is_a_directory_outside_kubernetes() -> None:
    named = {"type": "config_map", "name": "mine"}
    here = plan_request(spec(tasks=["x"], task_sources=[named | {"path": "/tasks"}]), "run-1", Grants(), Placement())

    assert here.include_paths == ["/tasks"]
    with pytest.raises(SpecError, match="'mine' is only there in Kubernetes"):
        plan_request(spec(tasks=["x"], task_sources=[named]), "run-1", Grants(), Placement())


def test_a_spec_has_no_say_in_where_a_pod_mounts_a_configmap() -> None:
    named = {"type": "config_map", "name": "mine", "path": "/usr/lib/python3.11"}

    assert config_maps(spec(tasks=["x"], task_sources=[named])) == {"/opt/lmeval-tasks/mine": "mine"}


@pytest.mark.parametrize("fields", [{"data": [AWAY]}, {"data": [MINE | {"fewshot": {"uri": "s3://b/x.csv"}}]}])
def test_data_elsewhere_take_both_switches(fields: dict[str, Any]) -> None:
    assert "[lmeval] allow_online" in errors(Grants(online=True), **fields)["online-denied"]
    assert "online-denied" in errors(Grants(), allow_online=True, **fields)
    assert errors(Grants(online=True), allow_online=True, **fields) == {}


def test_a_repository_takes_both_switches_and_a_host_that_is_allowed() -> None:
    fields: dict[str, Any] = {"tasks": ["x"], "task_sources": [GIT], "allow_online": True}
    allowed = frozenset({"git.example.com"})

    assert "online-denied" in errors(Grants(git_hosts=allowed), **fields)
    assert "[lmeval] allowed_git_hosts" in errors(Grants(online=True), **fields)["git-denied"]
    assert "git-denied" in errors(Grants(online=True, git_hosts=frozenset({"example.com"})), **fields)
    assert errors(Grants(online=True, git_hosts=allowed), **fields) == {}


@pytest.mark.parametrize("name", ["arc_easy", "mmlu", "ai2_arc"])
def test_a_name_of_lm_evals_is_not_given_to_something_else(name: str) -> None:
    assert name in errors(Grants(), data=[MINE | {"name": name}])["name-clash"]
    assert name in errors(Grants(), unitxt=[{"name": name, "card": "cards.wnli"}])["name-clash"]


def test_a_chat_endpoint_cannot_choose() -> None:
    served = {"type": "local-chat-completions", "model": "m", "base_url": "http://h/v1/chat/completions"}
    fields: dict[str, Any] = {"model": served, "apply_chat_template": True}

    assert "mine" in errors(Grants(), data=[MINE], **fields)["loglikelihood-chat"]
    assert errors(Grants(), data=[MINE | {"output_type": "generate_until"}], **fields) == {}


def test_data_that_the_run_will_refuse_to_read_are_a_warning_before() -> None:
    def warned(*roots: str, **fields: Any) -> bool:
        problems = check(spec(data=[MINE], **fields), Grants(data_roots=roots))
        return "data-root" in [problem.id for problem in problems]

    assert warned()
    assert warned("/dat", "/data/mine.csv.d")
    assert not warned("/data")
    assert not warned(include_paths=["/data"])
    assert not warned(model={"type": "hf", "pretrained": "/data"})


def test_the_command_names_data_and_directories() -> None:
    command = equivalent_command(spec(data=[MINE], task_sources=[{"type": "directory", "path": "/tasks"}]))

    assert command[command.index("--tasks") + 1] == "mine"
    assert command[command.index("--include_path") + 1] == "/tasks"
