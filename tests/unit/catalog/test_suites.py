import pytest

from airflow_provider_lmeval.catalog import SUITES, catalog, suite
from airflow_provider_lmeval.errors import UnknownTaskError

MEMBERS = [(each.name, member) for each in SUITES.values() for member in each.tasks]


@pytest.mark.parametrize(("name", "member"), MEMBERS, ids=lambda value: getattr(value, "task", value))
def test_every_task_of_a_suite_exists_and_reports_the_suites_score(name, member):
    for task in catalog().expand([member.task]):
        assert member.metric in {metric.name for metric in task.metrics}
        assert member.filter in task.filters


@pytest.mark.parametrize("name", SUITES)
def test_no_suite_evaluates_a_task_twice_or_trusts_a_defective_group(name):
    members = [member.task for member in SUITES[name].tasks]
    each_alone = [task.name for member in members for task in catalog().expand([member])]
    assert len(each_alone) == len(set(each_alone))
    assert catalog().defects(members) == []


def test_the_second_leaderboard_is_what_lm_evals_own_group_evaluates():
    members = [member.task for member in suite("open-llm-leaderboard-v2").tasks]
    assert set(catalog().expand(members)) == set(catalog().expand(["leaderboard"]))


def test_the_first_leaderboard_has_its_published_examples():
    shots = {member.task: member.num_fewshot for member in suite("open-llm-leaderboard-v1").tasks}
    assert shots == {
        "arc_challenge": 25, "hellaswag": 10, "mmlu": 5, "truthfulqa_mc2": 0, "winogrande": 5, "gsm8k": 5,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "tag"), [("glue", "glue"), ("super-glue", "super-glue-lm-eval-v1"), ("ai2-arc", "ai2_arc")]
)
def test_a_suite_named_like_a_tag_holds_the_same_tasks(name, tag):
    assert {member.task for member in suite(name).tasks} == set(catalog().find(tag).members)


def test_the_unversioned_leaderboard_is_the_latest():
    assert suite("open-llm-leaderboard") is SUITES["open-llm-leaderboard-v2"]


def test_an_unknown_suite_is_refused_with_near_names():
    with pytest.raises(UnknownTaskError, match=r"'superglue'.*super-glue"):
        suite("superglue")
