"""What needs permission to execute code, wherever in an artifact it stands."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_lmeval.driver.worker.unitxt import install
from airflow_provider_lmeval.errors import RunFailedError
from airflow_provider_lmeval.wire_unitxt import SAFE_TYPES, WHY_NOT
from tests.support.recipes import TASK, TEMPLATE, card, entry, request, write_rows

ESCAPE = 'int,"\'",().__class__.__base__.__subclasses__(),"\'"'
"""unitxt's filter takes the code for a quotation; ``type_utils.parse_type_string`` evaluates it."""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "data.jsonl", {"coal": "black"})


def refusal(place: Path, recipe: dict[str, Any], **permissions: bool) -> tuple[str, str]:
    with pytest.raises(RunFailedError) as failure:
        install(request(recipe, **permissions), place / "unitxt")
    return failure.value.cause, str(failure.value)


def check_denied(place: Path, recipe: dict[str, Any], *words: str) -> None:
    """The recipe is refused with these words and both switches, and accepted with the permission."""
    cause, message = refusal(place, recipe)
    assert cause == "code_denied", message
    for word in (*words, "`allow_code_execution: true`", "[lmeval] allow_code_execution"):
        assert word in message
    assert install(request(recipe, allow_code_execution=True), place / "unitxt").tasks == ["colours"]


@pytest.mark.parametrize(
    "kind", [*sorted(WHY_NOT), "llm_as_judge", "open_ai_inference_engine", "github_catalog", "made_up"]
)
def test_a_type_that_is_not_listed_is_refused_with_its_reason(tmp_path, data, kind):
    check_denied(tmp_path, entry(card(data, {"__type__": kind})), repr(kind), "cards.inline_", WHY_NOT.get(kind, ""))


def test_no_type_is_both_listed_and_explained_away():
    assert not SAFE_TYPES & set(WHY_NOT)


APPLY = {"__type__": "apply", "function": "os.system", "to_field": "x"}


HIDDEN: dict[str, Callable[[Path], dict[str, Any]]] = {
    "nested": lambda data: entry(card(data, {"__type__": "set", "fields": {"a": [{"b": APPLY}]}})),
    "by id": lambda data: entry(card(data, "my.step"), artifacts={"templates": {"my.step": APPLY}}),
    "with arguments": lambda data: entry(card(data, "my.step[a=b]"), artifacts={"templates": {"my.step": APPLY}}),
    "linked": lambda data: entry(card(data, "a"), artifacts={"tasks": {"a": LINK, "b": APPLY}}),
    "post-processor": lambda data: entry(
        card(data), template={**TEMPLATE, "postprocessors": ["p"]}, artifacts={"tasks": {"p": APPLY}}
    ),
    "the task's metric": lambda data: entry(
        card(data, task={**TASK, "metrics": ["m"]}), artifacts={"metrics": {"m": APPLY}}
    ),
    "the recipe's metric": lambda data: entry(card(data), metrics=["m"], artifacts={"metrics": {"m": APPLY}}),
    "system prompt": lambda data: entry(card(data), system_prompt="s", artifacts={"system_prompts": {"s": APPLY}}),
    "task": lambda data: entry(card(data), task=APPLY),
}
LINK = {"__type__": "artifact_link", "to": "b"}


@pytest.mark.parametrize("recipe", HIDDEN.values(), ids=HIDDEN)
def test_a_denied_type_is_found_wherever_it_hides(tmp_path, data, recipe):
    check_denied(tmp_path, recipe(data), "'apply'", "calls any function")


def test_a_shipped_card_is_followed_to_what_it_refers_to(tmp_path):
    check_denied(tmp_path, entry("cards.20_newsgroups_short", template=None), "'filter_by_expression'")


def test_a_shipped_card_of_harmless_parts_is_taken(tmp_path):
    assert install(request(entry("cards.wnli", template=None)), tmp_path / "unitxt").tasks == ["colours"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"loader": {"__type__": "load_hf", "path": "glue", "filtering_lambda": "lambda x: x"}}, "'filtering_lambda'"),
        ({"preprocess_steps": [{"__type__": "set", "imports_list": ["os"]}]}, "'imports_list'"),
        ({"preprocess_steps": [{"__type__": "set", "fields": {"a": json.dumps(APPLY)}}]}, "string"),
        ({"preprocess_steps": ["operators.upper_case[imports_list=[os]]"]}, "'imports_list'"),
        ({"preprocess_steps": ["operators.upper_case[step={__type__=apply}]"]}, "string"),
        ({"task": {**TASK, "prediction_type": ESCAPE}}, "'prediction_type' holds more than names of types"),
        (
            {"task": {**TASK, "input_fields": {"thing": {"inner": ESCAPE}}}},
            "'input_fields' holds more than names of types",
        ),
        (
            {"preprocess_steps": [{"__type__": "format_text", "to_field": "a", "text": "{f.__init__.__globals__}"}]},
            "'__'",
        ),
    ],
)
def test_an_argument_that_is_code_is_refused(tmp_path, data, changes, words):
    check_denied(tmp_path, entry(card(data, **changes)), words)


def test_code_that_is_only_data_is_no_code(tmp_path):
    rows = [{"thing": json.dumps(APPLY) + ESCAPE, "colour": "{x.__init__.__globals__}"}]
    loader = {"__type__": "load_from_dictionary", "data": {"test": rows}}
    assert install(request(entry(card(Path("/unused"), loader=loader))), tmp_path / "unitxt").tasks == ["colours"]


@pytest.mark.parametrize("place", [
    "/etc/passwd", "/proc/self/environ", "/var/run/secrets/kubernetes.io/serviceaccount/token", "/run/secrets/x",
    "/dev/stdin", "/data/../etc/passwd", "/p?oc/self/environ",
    "/home/me/.ssh/id_rsa", "/home/me/.env", "data.csv", "~/data.csv",
    "file:///etc/passwd", "zip://x.csv::/etc/x.zip", "s3://bucket/x",
])  # fmt: skip
@pytest.mark.parametrize("kind", ["load_csv", "load_json_file", "load_iob", "load_hf"])
def test_a_place_where_secrets_lie_is_not_read(tmp_path, kind, place):
    argument = {"path": "text", "data_files": [place]} if kind == "load_hf" else {"files": {"test": place}}
    cause, message = refusal(
        tmp_path, entry(card(Path("/unused"), loader={"__type__": kind, **argument})), allow_online=True
    )
    assert (cause, repr(place) in message, kind in message) == ("code_denied", True, True)


def test_a_link_into_such_a_place_is_not_followed(tmp_path):
    (tmp_path / "innocent.csv").symlink_to("/etc/passwd")
    cause, _ = refusal(tmp_path, entry(card(tmp_path / "innocent.csv")))
    assert cause == "code_denied"


def test_a_loader_within_a_loader_is_looked_at(tmp_path, data):
    inner = {"__type__": "load_csv", "files": {"test": "/etc/passwd"}}
    loader = {"__type__": "multiple_source_loader", "sources": [card(data)["loader"], inner]}
    assert refusal(tmp_path, entry(card(data, loader=loader)))[0] == "code_denied"


@pytest.mark.parametrize(
    "loader", [{"path": "pandas"}, {"path": "sql"}, {"path": "spark"}, {"path": "a/b", "data_files": "../x"}]
)
def test_a_dataset_format_that_does_more_than_read_is_refused(tmp_path, loader):
    check_denied(tmp_path, entry(card(Path("/unused"), loader={"__type__": "load_hf", **loader})), "'load_hf'")


@pytest.mark.parametrize("url", ["https://example.org/x.csv", "hf://datasets/a/b/x.csv"])
def test_a_url_needs_online_access(tmp_path, url):
    recipe = entry(card(Path("/unused"), loader={"__type__": "load_csv", "files": {"test": url}}))
    cause, message = refusal(tmp_path, recipe, allow_code_execution=True)
    assert (cause, url in message, "allow_online" in message) == ("online_denied", True, True)
    assert install(request(recipe, allow_online=True), tmp_path / "unitxt").tasks == ["colours"]


def test_files_on_a_volume_are_ordinary_data(tmp_path, data):
    for loader in (
        {"__type__": "load_csv", "files": {"test": str(data)}},
        {"__type__": "load_hf", "path": "json", "data_files": {"test": [str(data)]}},
        {"__type__": "load_hf", "path": str(tmp_path), "data_files": "*.jsonl"},
    ):
        assert install(request(entry(card(data, loader=loader))), tmp_path / "unitxt").tasks == ["colours"]
