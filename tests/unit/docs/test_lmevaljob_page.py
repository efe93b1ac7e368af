"""The page "Coming from LMEvalJob" has every field of the CRD and every key of the ConfigMap, as the code has them."""

from __future__ import annotations

import re
from pathlib import Path

from airflow_provider_lmeval.hooks.operator_config import KEYS, WITHOUT_EQUAL
from airflow_provider_lmeval.plan.lmevaljob.read import _NAMES, _PLAIN
from airflow_provider_lmeval.plan.lmevaljob.write import _INSTEAD, EXPRESSED
from airflow_provider_lmeval.spec.lmevaljob import LMEvalJobSettings
from tests.support.lmevaljobs import leaves

TEXT = (Path(__file__).parents[3] / "docs" / "lmevaljob.md").read_text(encoding="utf-8")
LINES = [line for line in TEXT.splitlines() if line.startswith("| `")]
ROWS = [[re.findall(r"`([^`]+)`", cell) for cell in line.split("|")[1:3]] for line in LINES]


def test_every_field_of_the_crd_has_a_row() -> None:
    listed = [tuple(word.split(".")) for left, _ in ROWS for word in left if word.startswith("spec.")]
    missing = {path for path in leaves() if not any(path[: len(row)] == row for row in listed)}
    assert missing == set()


def test_every_row_of_a_field_is_a_field() -> None:
    known = {path[:n] for path in leaves() for n in range(1, len(path) + 1)}
    listed = {tuple(word.split(".")) for left, _ in ROWS for word in left if word.startswith("spec.")}
    assert listed - known == set()


def test_fields_stand_beside_ours() -> None:
    pairs = {(word, ours) for left, right in ROWS for word in left for ours in right}
    assert {(f"spec.{name}", ours) for name, ours in (_PLAIN | _NAMES).items() if name != "taskList"} <= pairs
    assert {("spec.taskList.taskNames", "tasks"), ("spec.taskList.taskRecipes", "unitxt")} <= pairs


def test_everything_a_spec_can_express_is_named() -> None:
    named = {word.partition(".")[0] for _, right in ROWS for word in right}
    assert named >= EXPRESSED
    settings = {word.removeprefix("lmevaljob.") for _, right in ROWS for word in right if word.startswith("lmevaljob.")}
    assert settings <= set(LMEvalJobSettings.model_fields)
    assert all(f"`{name}`" in TEXT for name in set(_INSTEAD) & {"samples", "bootstrap_iters", "include_paths"})


def test_every_key_of_the_config_map_stands_beside_its_option() -> None:
    pairs = {left[0]: right for left, right in ROWS if left[0].startswith(("lmes-", "driver-", "eval."))}
    assert {key: right[0] for key, right in pairs.items() if right} == {
        key: option for key, (option, _) in KEYS.items()
    }
    assert {key for key, right in pairs.items() if not right} == set(WITHOUT_EQUAL)
