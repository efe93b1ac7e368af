"""What a spec may say about data of one's own and about places of task definitions."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_lmeval.errors import SpecError
from airflow_provider_lmeval.spec import EvalSpec

HF = {"type": "hf", "pretrained": "/models/candidate"}
MINE = {"name": "mine", "path": "/data/mine.csv"}
SAID = MINE | {"output_type": "generate_until"}
GIT = {"type": "git", "url": "https://git.example.com/tasks.git"}


def refusal(**fields: Any) -> str:
    with pytest.raises(SpecError) as refused:
        EvalSpec.parse({"model": HF} | fields)
    return str(refused.value)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"name": "mine"}, "give one of path, uri and dataset, found none"),
        (MINE | {"uri": "s3://b/x.csv"}, "found path and uri"),
        (MINE | {"path": "data/mine.csv"}, "data.0.path: give an absolute path: a run works in a directory of its own"),
        (MINE | {"path": "/data/mine.xlsx"}, "format: cannot be told from the name"),
        (MINE | {"revision": "main"}, "revision: means nothing for a path"),
        ({"name": "mine", "dataset": "org/x", "sha256": "0" * 64}, "sha256: means nothing for a dataset"),
        ({"name": "mine", "dataset": "../x"}, "dataset"),
        ({"name": "mine", "uri": "file:///etc/passwd", "format": "csv"}, "a file of this machine is a path"),
        ({"name": "mine", "uri": "zip://x.csv::s3://b/x.zip"}, "uri: give a URL"),
        ({"name": "mine", "uri": "https://me:secret@example.com/x.csv"}, "holds credentials"),
        (MINE | {"name": "../mine"}, "name"),
        (MINE | {"until": ["x"]}, "until: means nothing for output_type multiple_choice"),
        (SAID | {"answer_is": "text"}, "answer_is: means nothing"),
        (SAID | {"columns": {"choices": "c"}}, "columns.choices: means nothing"),
        (SAID | {"metrics": ["acc"]}, "generate_until has exact_match"),
        (MINE | {"columns": {"answers": "a"}}, "columns.answers: means nothing for output_type multiple_choice"),
        (SAID | {"columns": {"answers": "a", "answer": "b"}}, "columns.answers and columns.answer: one of them"),
        (SAID | {"columns": {"answers": ["a"]}}, "columns.answers"),
        (
            SAID | {"columns": {"answers": "a"}, "metrics": ["exact_match", "chrf"]},
            "with columns.answers only exact_match",
        ),
        (MINE | {"num_fewshot": 2}, "num_fewshot needs fewshot"),
        (MINE | {"prompt": "Well?"}, "prompt: needs {question}"),
        (MINE | {"prompt": "{context} {question}"}, "{context} and columns.context need each other"),
        (MINE | {"prompt": "{question}", "columns": {"context": "c"}}, "{context} and columns.context need each other"),
    ],
)
def test_data_that_cannot_be_meant_are_refused(data: dict[str, Any], words: str) -> None:
    assert words in refusal(data=[data])


def test_two_tasks_of_one_name_are_refused() -> None:
    assert "two tasks are called 'mine'" in refusal(data=[MINE, MINE])
    assert "two tasks are called 'mine'" in refusal(data=[MINE], tasks=["mine"])
    assert "two tasks are called 'mine'" in refusal(data=[MINE], unitxt=[{"name": "mine", "card": "cards.wnli"}])


@pytest.mark.parametrize(
    "change",
    [
        {"url": "http://git.example.com/x.git"}, {"url": "ssh://git@git.example.com/x.git"},
        {"url": "git@git.example.com:x.git"}, {"url": "ext::sh -c id"}, {"url": "file:///x.git"},
        {"url": "https://me:secret@git.example.com/x.git"}, {"url": "https://me@git.example.com/x.git"},
        {"url": "https:///x.git"}, {"url": "https://git.example.com/x.git?a=b"}, {"url": "https://h:99999/x"},
        {"url": "https://git.example.com/x y"}, {"url": "--upload-pack=id"},
        {"ref": "--upload-pack=id"}, {"ref": "a..b"}, {"ref": "a b"}, {"ref": "refs/heads/x:refs/heads/y"},
        {"ref": "x.lock"},
        {"path": "/etc"}, {"path": "../x"}, {"path": "a//b"}, {"path": ".git/hooks"}, {"path": "a\\b"},
    ],
)  # fmt: skip
def test_a_repository_that_is_more_than_a_place_is_refused(change: dict[str, str]) -> None:
    assert "task_sources.0" in refusal(tasks=["x"], task_sources=[GIT | change])


def test_a_port_is_part_of_the_host() -> None:
    urls = ("https://Git.example.com/x", "https://git.example.com:443/x", "https://git.example.com:8443/x")
    spec = EvalSpec.parse({"model": HF, "tasks": ["x"], "task_sources": [GIT | {"url": url} for url in urls]})

    assert [source.host for source in spec.task_sources] == [
        "git.example.com",
        "git.example.com",
        "git.example.com:8443",
    ]


def test_data_and_sources_survive_the_way_through_plain_data() -> None:
    spec = EvalSpec.parse(
        {
            "model": HF,
            "data": [
                MINE | {"fewshot": {"uri": "s3://b/x.parquet"}, "num_fewshot": 3, "columns": {"choices": ["a", "b"]}}
            ],
            "task_sources": [
                GIT | {"ref": "v1"},
                {"type": "directory", "path": "/t"},
                {"type": "config_map", "name": "m"},
            ],
        }
    )

    assert EvalSpec.parse(spec.to_data()) == spec
    assert EvalSpec.parse(spec.to_data()).content_hash == spec.content_hash
