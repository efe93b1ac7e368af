"""Recipes become files: escaped, named, complete, or refused before anything imports unitxt."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lmeval.driver.worker.unitxt import DIGEST_TAG, Installed, install
from airflow_provider_lmeval.driver.worker.unitxt_catalog import Catalog, is_id
from airflow_provider_lmeval.driver.worker.unitxt_direction import higher_is_better
from airflow_provider_lmeval.errors import RunFailedError
from tests.support.recipes import TEMPLATE, card, entry, request, write_rows


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "data.jsonl", {"coal": "black"})


def refusal(place: Path, *entries: dict[str, Any], **changes: Any) -> tuple[str, str]:
    with pytest.raises(RunFailedError) as failure:
        install(request(*entries, **changes), place)
    return failure.value.cause, str(failure.value)


def task(installed: Installed) -> dict[str, Any]:
    [path] = installed.include_paths[0].iterdir()
    return yaml.safe_load(path.read_text())


def artifact(place: Path, name: str) -> dict[str, Any]:
    return json.loads((place / "catalog" / f"{name.replace('.', '/')}.json").read_text())


def test_a_recipe_becomes_one_line_of_ids_in_a_task_that_is_lm_evals(tmp_path, data):
    mine = {"cards": {"cards.colours": card(data)}, "metrics": {"metrics.mine": {"__type__": "accuracy"}}}
    metrics = ["metrics.accuracy", "metrics.mine"]
    recipe = entry("cards.colours", metrics=metrics, num_demos=1, demos_pool_size=4, artifacts=mine)
    installed = install(request(recipe), tmp_path / "unitxt")
    written = task(installed)
    inline = next((tmp_path / "unitxt/catalog/templates").iterdir()).stem
    assert installed.tasks == [written["task"]] == ["colours"]
    assert written["recipe"] == (
        f"card=cards.colours,template=templates.{inline},metrics=[metrics.accuracy,metrics.mine],num_demos=1,demos_pool_size=4"
    )
    assert Path(written["include"]).parts[-4:] == ("lm_eval", "tasks", "unitxt", "unitxt")
    assert Path(written["include"]).is_file()
    assert artifact(tmp_path / "unitxt", f"templates.{inline}") == TEMPLATE


@pytest.mark.parametrize(
    "text", ["\"quoted\" 'both'", "two\nlines\r\n\tand a tab", "ünïcode 🎨", "\\ {x} {{y}} %s $(id) `id`; --", "\0"]
)
def test_a_system_prompt_arrives_as_it_was_written(tmp_path, data, text):
    recipe = entry(card(data), system_prompt="mine", artifacts={"system_prompts": {"mine": text}})
    install(request(recipe), tmp_path / "unitxt")
    assert artifact(tmp_path / "unitxt", "mine") == {"__type__": "textual_system_prompt", "text": text}


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_every_json_value_survives_the_catalogue_with_its_order(tmp_path_factory, value):
    catalog = Catalog(tmp_path_factory.getbasetemp() / "catalog", ())
    catalog.write("cards.any", {"__type__": "task_card", "value": value})
    assert json.dumps(catalog.load("cards.any")["value"]) == json.dumps(value)


@pytest.mark.parametrize(
    "name", ["", "../x", "a/b", "a;b", 'a"b', "a'b", "a\nb", "a\n", "a\0b", "$(id)", "näme", ".hidden", "-x", "a..b", 7]
)
def test_a_hostile_task_name_is_refused_and_leaves_no_task(tmp_path, data, name):
    cause, message = refusal(tmp_path / "unitxt", entry(card(data), name))
    assert (cause, repr(name) in message) == ("bad_spec", True)
    assert list((tmp_path / "unitxt/tasks").iterdir()) == []


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../x", "cards/wnli", '{"__type__": "apply"}', "cards.wnli[loader=x]", "cards.wnli,template=y",
     "cards.wnli\n", "cards.a-b", "1.5", "true", "None", "cards..wnli", ".cards", "", "cärds.x", "c" * 257],
)  # fmt: skip
def test_what_unitxt_would_not_read_as_an_id_is_refused(tmp_path, data, name):
    assert not is_id(name)
    for recipe in (entry(name), entry(card(data), template=name), entry(card(data), metrics=[name])):
        cause, message = refusal(tmp_path / "unitxt", recipe)
        assert (cause, "is no catalogue id" in message) == ("bad_spec", True)
    cause, _ = refusal(tmp_path / "unitxt", entry(card(data), artifacts={"metrics": {name: {"__type__": "accuracy"}}}))
    assert cause == "bad_spec"


def test_an_unknown_id_is_answered_with_near_ones(tmp_path):
    cause, message = refusal(tmp_path / "unitxt", entry("cards.wnly"))
    assert cause == "bad_spec"
    assert "'cards.wnly'" in message
    assert "cards.wnli" in message.partition("Did you mean")[2]


def test_an_unknown_reference_of_a_custom_artifact_names_both(tmp_path, data):
    cause, message = refusal(tmp_path / "unitxt", entry(card(data, task="tasks.qa.opem"), artifacts={}))
    assert cause == "bad_spec"
    assert "cards.inline_" in message
    assert "tasks.qa.open" in message.partition("Did you mean")[2]


@pytest.mark.parametrize(
    ("artifacts", "words"),
    [
        ({"cards": {"cards.wnli": {"__type__": "task_card"}}}, "is taken"),
        ({"cards": {"cards.big": {"__type__": "task_card", "x": "y" * 1_000_000}}}, "larger than 1,000,000 bytes"),
        ({"cards": {"cards.bare": {"loader": {}}}}, "needs '__type__'"),
        ({"cards": {"cards.bare": []}}, "needs '__type__'"),
        ({"cards": {"cards.nan": {"__type__": "task_card", "x": float("nan")}}}, "JSON"),
        ({"engines": {"engines.x": {"__type__": "task_card"}}}, "unknown kind 'engines'"),
    ],
)
def test_a_custom_artifact_that_cannot_be_right_is_refused(tmp_path, data, artifacts, words):
    cause, message = refusal(tmp_path / "unitxt", entry(card(data), artifacts=artifacts))
    assert (cause, words in message) == ("bad_spec", True), message


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ({"num_demos": -1}, "num_demos=-1"),
        ({"num_demos": True}, "num_demos=True"),
        ({"steps": ["x"]}, "steps=['x']"),
        ({"augmentor": "augmentors.x"}, "augmentor='augmentors.x'"),
        ({"metrics": "metrics.accuracy"}, "metrics='metrics.accuracy'"),
    ],
)
def test_what_a_recipe_may_not_hold_is_named(tmp_path, data, recipe, words):
    cause, message = refusal(tmp_path / "unitxt", entry(card(data), **recipe))
    assert (cause, words in message) == ("bad_spec", True), message


def test_two_tasks_or_artifacts_of_one_name_are_refused(tmp_path, data):
    one = entry(card(data), artifacts={"system_prompts": {"mine": "a"}})
    other = entry(card(data), "second", artifacts={"system_prompts": {"mine": "b"}})
    assert "two tasks are called 'colours'" in refusal(tmp_path / "unitxt", one, one)[1]
    assert "two tasks are called 'colours'" in refusal(tmp_path / "unitxt", one, tasks=["colours"])[1]
    assert "two different unitxt artifacts have the id 'mine'" in refusal(tmp_path / "unitxt", one, other)[1]


def test_a_run_directory_that_unitxt_would_split_is_refused(tmp_path, data):
    cause, message = refusal(tmp_path / "a:b", entry(card(data)))
    assert (cause, "':' separates" in message) == ("bad_spec", True)


def test_nesting_that_would_exhaust_the_stack_is_refused(tmp_path, data):
    deep: dict[str, Any] = {}
    for _ in range(200):
        deep = {"x": deep}
    assert "levels deep" in refusal(tmp_path / "unitxt", entry(card(data, {"__type__": "set", "fields": deep})))[1]


def test_the_card_changes_with_the_content_of_its_data(tmp_path, data):
    def tag() -> str:
        install(request(entry("mine", artifacts={"cards": {"mine": card(data)}})), tmp_path / "unitxt")
        return artifact(tmp_path / "unitxt", "mine")["__tags__"][DIGEST_TAG]

    before, again = tag(), tag()
    write_rows(data, {"coal": "white"})
    assert before == again != tag()


def test_a_data_file_that_is_not_there_is_the_datasets_fault(tmp_path):
    cause, message = refusal(tmp_path / "unitxt", entry(card(tmp_path / "nowhere.jsonl")))
    assert (cause, str(tmp_path / "nowhere.jsonl") in message) == ("dataset", True)


def test_unitxt_is_kept_to_local_catalogues_and_to_its_permission(tmp_path, data, monkeypatch):
    monkeypatch.setenv("UNITXT_CATALOGS", "/first:/second")
    denied = install(request(entry(card(data))), tmp_path / "unitxt").env
    allowed = install(request(entry(card(data)), allow_code_execution=True, allow_online=True), tmp_path / "unitxt").env
    assert denied["UNITXT_CATALOGS"] == allowed["UNITXT_CATALOGS"] == f"/first:/second:{tmp_path}/unitxt/catalog"
    assert denied["UNITXT_USE_ONLY_LOCAL_CATALOGS"] == allowed["UNITXT_USE_ONLY_LOCAL_CATALOGS"] == "True"
    assert "UNITXT_ALLOW_UNVERIFIED_CODE" not in denied
    assert allowed["UNITXT_ALLOW_UNVERIFIED_CODE"] == "True"


def test_the_administrators_catalogue_is_searched_and_its_cards_follow_their_data(tmp_path, data, monkeypatch):
    Catalog(tmp_path / "ours", ()).write("cards.ours", card(data))
    monkeypatch.setenv("UNITXT_CATALOGS", str(tmp_path / "ours"))
    install(request(entry("cards.ours")), tmp_path / "unitxt")
    assert DIGEST_TAG in artifact(tmp_path / "unitxt", "cards.ours")["__tags__"]


def test_a_second_attempt_does_not_keep_the_files_of_the_first(tmp_path, data):
    for name in ("first", "second"):
        install(request(entry(card(data), name, artifacts={"system_prompts": {name: "text"}})), tmp_path / "unitxt")
    assert [path.stem for path in (tmp_path / "unitxt/tasks").iterdir()] == ["second"]
    assert not (tmp_path / "unitxt/catalog/first.json").exists()


def test_generation_arguments_that_will_have_no_effect_are_said(tmp_path, data, caplog):
    with caplog.at_level(logging.WARNING):
        install(request(entry(card(data)), evaluate={"gen_kwargs": {"temperature": 1}}), tmp_path / "unitxt")
    assert "gen_kwargs have no effect" in caplog.text


def test_only_known_metrics_have_a_direction():
    assert [higher_is_better(name) for name in ("accuracy", "wer", "mine")] == [True, False, None]


def test_nothing_heavy_is_imported():
    """In a process of its own: another test may have imported lm-eval here."""
    code = "import sys, airflow_provider_lmeval.driver.worker.unitxt; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"unitxt", "lm_eval", "datasets", "torch"} & set(loaded)
