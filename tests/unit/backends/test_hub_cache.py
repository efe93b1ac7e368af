"""Datasets that a run without network would miss are named before it starts, and only where that is certain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_lmeval.backends.hub_cache import check_cached
from airflow_provider_lmeval.plan import Grants
from airflow_provider_lmeval.plan.hub_data import hub_datasets
from airflow_provider_lmeval.spec import EvalSpec

VERSION = "0.4.13"
BUCKET = {"bucket": "b", "access_key_id": {"env": "K"}, "secret_access_key": {"env": "S"}}


def told(place: Path, grants: Grants | None = None, version: str = VERSION, **fields: Any) -> list[str]:
    data = {"model": {"type": "hf", "pretrained": "/m"}, "tasks": ["arc_easy", "arc_challenge", "hellaswag"]} | fields
    environ = {"HOME": str(place), "MY_CACHE": str(place / "mine")}
    return [problem.message for problem in check_cached(EvalSpec.parse(data), grants or Grants(), environ, version)]


def test_datasets_that_are_nowhere_are_named_once_with_a_task_and_the_place(tmp_path: Path) -> None:
    (message,) = told(tmp_path)
    assert "Rowan/hellaswag (hellaswag), allenai/ai2_arc (arc_easy)" in message
    assert f"not in {tmp_path}/.cache/huggingface" in message


@pytest.mark.parametrize(
    ("place", "fields"),
    [
        (".cache/huggingface/hub/datasets--Rowan--hellaswag", {}),
        (".cache/huggingface/datasets/Rowan___hellaswag", {}),
        ("mine/datasets/rowan___hellaswag", {"env": {"HF_HOME": {"env": "MY_CACHE"}}}),
        ("mine/datasets--Rowan--hellaswag", {"env": {"HF_HUB_CACHE": {"env": "MY_CACHE"}}}),
        ("mine/Rowan___hellaswag", {"env": {"HF_DATASETS_CACHE": {"env": "MY_CACHE"}}}),
    ],
)
def test_what_may_be_in_a_cache_is_left_to_the_run(tmp_path: Path, place: str, fields: dict[str, Any]) -> None:
    (tmp_path / place).mkdir(parents=True)
    (message,) = told(tmp_path, **fields)
    assert "hellaswag" not in message
    assert "ai2_arc" in message


def test_the_cache_that_the_spec_names_is_the_one_that_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "mine/hub/datasets--Rowan--hellaswag").mkdir(parents=True)
    (message,) = told(tmp_path, offline={"cache": str(tmp_path / "mine")})
    assert "hellaswag" not in message


@pytest.mark.parametrize(
    "fields",
    [
        {"allow_online": True, "grants": Grants(online=True)},
        {"offline": {"s3": BUCKET}},
        {"include_paths": ["/tasks"]},
        {"task_sources": [{"type": "directory", "path": "/tasks"}]},
        {"version": "0.5.0"},
        {"tasks": [{"task": "mine", "dataset_path": "json"}]},
    ],
)
def test_where_it_cannot_be_known_nothing_is_said(tmp_path: Path, fields: dict[str, Any]) -> None:
    assert told(tmp_path, **fields) == []


def test_asking_to_go_online_is_not_enough(tmp_path: Path) -> None:
    assert told(tmp_path, allow_online=True) != []


def test_suites_groups_and_wildcards_are_followed_to_their_datasets() -> None:
    spec = EvalSpec.parse({"model": {"type": "hf", "pretrained": "m"}, "tasks": ["mmlu", "suite:glue", "arc_*"]})
    assert {"cais/mmlu", "nyu-mll/glue", "allenai/ai2_arc"} <= set(hub_datasets(spec))
