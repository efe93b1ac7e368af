"""The catalogue's answers against lm-eval's own index, which takes most of the time here and is built once."""

import gzip
from importlib.resources import files
from pathlib import Path

import pytest

from airflow_provider_lmeval.catalog import catalog
from airflow_provider_lmeval.catalog.generate import Defaults, build
from airflow_provider_lmeval.catalog.layout import encode
from airflow_provider_lmeval.catalog.load import DATA_FILE

pytestmark = [pytest.mark.driver, pytest.mark.filterwarnings("ignore")]

REQUESTS = [
    ["hellaswag"],
    ["arc_easy"],
    ["gsm8k", "wikitext"],
    ["mmlu"],
    ["leaderboard"],
    ["glue"],
    ["ai2_arc"],
    ["openllm"],
    ["multimedqa"],
    ["super-glue-lm-eval-v1"],
    ["mmlu_*"],
    ["scrolls_*", "20_newsgroups"],
    ["glue", "super-glue-lm-eval-v1", "arc_easy", "mmlu"],
]


@pytest.fixture(scope="module")
def lm_eval_tasks():
    import lm_eval.tasks

    return lm_eval.tasks


@pytest.fixture(scope="module")
def root(lm_eval_tasks):
    return Path(lm_eval_tasks.__file__).parent


@pytest.fixture(scope="module")
def full_index(lm_eval_tasks):
    return lm_eval_tasks.TaskManager().task_index


def below(index, names):
    """Return lm-eval's own idea of what these names need: the names, members and members' members in its index."""
    reached, pending = set(), list(names)
    while pending:
        name = pending.pop()
        if name in index and name not in reached:
            reached.add(name)
            entry = index[name]
            if entry.kind.name == "TAG":
                pending += entry.tags
            elif entry.kind.name == "GROUP":
                pending += referenced(entry.cfg["task"], index)
    return reached


def referenced(members, index):
    for member in members:
        if isinstance(member, str):
            yield member
        elif member.get("group") in index or "group" not in member:
            yield member.get("group", member.get("task"))
        else:
            yield from referenced(member["task"], index)


@pytest.mark.parametrize("names", REQUESTS, ids=" ".join)
def test_indexing_only_the_families_gives_the_same_definitions(names, lm_eval_tasks, root, full_index):
    selected = [each for name in names for each in catalog().match(name)]
    include = [root / family for family in catalog().families(names)]
    narrow = lm_eval_tasks.TaskManager(include_defaults=False, include_path=include).task_index
    needed = below(full_index, selected)
    assert needed
    assert {name: meaning(narrow[name]) for name in needed} == {name: meaning(full_index[name]) for name in needed}
    leaves = {name for name in needed if full_index[name].kind.name in ("TASK", "PY_TASK")}
    assert {task.name for task in catalog().expand(names)} == leaves


def meaning(entry):
    return entry.kind, entry.yaml_path, entry.tags


def test_a_tag_without_a_common_directory_needs_the_whole_index(root):
    assert [root / family for family in catalog().families(["multiple_choice"])] == [root]


def test_wildcards_select_what_lm_eval_selects(full_index):
    from lm_eval.utils import pattern_match

    for pattern in ("mmlu_*", "*swag", "arc_?asy", "gsm8k", "[ab]rc_*", "no_such_*"):
        assert catalog().match(pattern) == pattern_match(pattern, list(full_index))


def test_regenerating_gives_the_shipped_file(root, full_index):
    from lm_eval.api.registry import DEFAULT_METRIC_REGISTRY, is_higher_better

    fresh = build(catalog().lm_eval_version, full_index, root, Defaults(DEFAULT_METRIC_REGISTRY, is_higher_better))
    shipped = files("airflow_provider_lmeval.catalog").joinpath(DATA_FILE).read_bytes()
    assert gzip.decompress(encode(fresh)) == gzip.decompress(shipped)
