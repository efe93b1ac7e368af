import pytest

from airflow_provider_lmeval.catalog import Catalog, GroupInfo, TagInfo, TaskInfo
from airflow_provider_lmeval.errors import UnknownTaskError


def profile(family):
    return {
        "output_type": "multiple_choice",
        "metrics": [["acc", True]],
        "filters": ["none"],
        "num_fewshot": None,
        "unsafe_code": False,
        "family": family,
        "dataset_path": "org/data",
        "version": "1.0",
    }


def group(family, *members, defect=None):
    return {"members": list(members), "aggregates": False, "family": family, "defect": defect}


@pytest.fixture
def small():
    placed = {"a": "f", "b": "f/deep", "c": "f/other", "d": "z", "outer::new": "f", "x_1": "x", "x_2": "x"}
    families = sorted(set(placed.values()))
    return Catalog(
        {
            "format": 1,
            "lm_eval_version": "9.9",
            "profiles": [profile(family) for family in families],
            "tasks": {
                "name": list(placed),
                "profile": [families.index(family) for family in placed.values()],
                "dataset_name": [None] * len(placed),
            },
            "groups": {
                "outer": group("f/groups", "near_tag", "inner", "a", "outer::new", "outer::in"),
                "outer::in": group("f/groups", "b"),
                "inner": group("g", "d", "a", defect="broken"),
            },
            "tags": {"near_tag": [1, 2], "far_tag": [0, 3], "x_tag": [5]},
        }
    )


def names(tasks):
    return [task.name for task in tasks]


def test_find_tells_tasks_groups_and_tags_apart(small):
    assert isinstance(small.find("a"), TaskInfo)
    assert isinstance(small.find("inner"), GroupInfo)
    assert isinstance(small.find("near_tag"), TagInfo)
    assert small.find("nothing") is None


def test_find_knows_inline_definitions_but_nothing_lists_or_selects_them(small):
    assert small.find("outer::in").members == ("b",)
    assert small.match("outer*") == ["outer"]
    assert "outer::new" not in names(small.tasks())
    with pytest.raises(UnknownTaskError):
        small.expand(["outer::in"])


def test_listings_are_sorted_and_take_wildcards(small):
    assert names(small.tasks("x_?")) == ["x_1", "x_2"]
    assert names(small.groups()) == ["inner", "outer"]
    assert names(small.tags("*_tag")) == ["far_tag", "near_tag", "x_tag"]


def test_match_covers_every_kind_and_case_counts(small):
    assert small.match("x_*") == ["x_1", "x_2", "x_tag"]
    assert small.match("a") == ["a"]
    assert small.match("A") == []


def test_expand_keeps_the_order_and_each_task_once(small):
    assert names(small.expand(["d", "outer"])) == ["d", "b", "c", "a", "outer::new"]
    assert names(small.expand(["x_*", "x_1"])) == ["x_1", "x_2"]


def test_an_unknown_name_is_refused_with_what_it_may_mean(small):
    with pytest.raises(UnknownTaskError, match="'near_tug': did you mean 'near_tag'"):
        small.expand(["near_tug"])
    with pytest.raises(UnknownTaskError, match="ls tasks"):
        small.families(["zzzzzzzz*"])


def test_families_of_a_task_are_its_directory(small):
    assert small.families(["b"]) == ["f/deep"]


def test_families_of_a_tag_are_the_one_directory_that_holds_all_its_tasks(small):
    assert small.families(["near_tag"]) == ["f"]
    assert small.families(["far_tag", "b"]) == ["."]


def test_families_of_a_group_cover_its_file_and_everything_below(small):
    assert small.families(["inner"]) == ["f", "g", "z"]
    assert small.families(["outer"]) == ["f", "g", "z"]


def test_families_keep_directories_whose_names_merely_begin_alike(small):
    assert small.families(["b", "c"]) == ["f/deep", "f/other"]


def test_defects_are_found_below_the_named_groups(small):
    assert names(small.defects(["outer"])) == ["inner"]
    assert small.defects(["a"]) == []


def test_near_puts_the_tasks_of_a_directory_of_that_name_first(small):
    assert small.near("x", 2) == ["x_1", "x_2"]
