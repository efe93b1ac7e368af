from types import SimpleNamespace

from airflow_provider_lmeval.catalog.groups import group_rows

INDEX = {
    name: SimpleNamespace(kind=SimpleNamespace(name=kind))
    for name, kind in [("a", "TASK"), ("b", "TASK"), ("tag", "TAG"), ("inner", "GROUP"), ("py", "PY_TASK")]
}


def rows(*members, **config):
    return group_rows("g", {"group": "g", "task": list(members), **config}, "fam", INDEX)


def defect(*members):
    return rows(*members)[0]["g"]["defect"]


def test_members_are_names_whichever_way_they_are_written():
    groups, tasks = rows("a", {"task": "b", "task_alias": "B"}, "tag", {"group": "inner"})
    assert groups["g"]["members"] == ["a", "b", "tag", "inner"]
    assert tasks == {}


def test_a_group_aggregates_only_with_a_metric_to_aggregate():
    assert rows("a", aggregate_metric_list=[{"metric": "acc"}])[0]["g"]["aggregates"] is True
    assert rows("a", aggregate_metric_list=[])[0]["g"]["aggregates"] is False


def test_groups_and_tasks_written_inside_get_the_outer_name_in_front():
    inline_task = {"task": "new", "dataset_path": "json"}
    groups, tasks = rows({"group": "sub", "task": ["a", inline_task]})
    assert groups["g"]["members"] == ["g::sub"]
    assert groups["g::sub"]["members"] == ["a", "g::sub::new"]
    assert tasks == {"g::sub::new": inline_task}


def test_every_row_lies_in_the_directory_of_the_file():
    groups, _ = rows({"group": "sub", "task": ["a"]})
    assert {row["family"] for row in groups.values()} == {"fam"}


def test_a_sound_group_has_no_defect():
    assert defect("a", {"task": "b", "num_fewshot": 5}, {"group": "inner"}, {"task": "new"}) is None


def test_settings_on_a_tag_or_group_written_as_a_task_are_a_defect():
    for name in ("tag", "inner"):
        assert f"only the last task of {name}" in defect({"task": name, "num_fewshot": 5})


def test_a_member_without_a_name_is_left_out_and_reported():
    groups, _ = rows("a", {"dataset_path": "x"}, {"dataset_path": "y"})
    assert groups["g"]["members"] == ["a"]
    assert groups["g"]["defect"].count("neither a task nor a group") == 1


def test_a_task_written_as_a_group_is_a_defect():
    assert "its member py is a task" in defect({"group": "py", "task": ["a"]})


def test_an_inline_task_that_includes_a_file_is_a_defect():
    assert "its member new includes a file" in defect({"task": "new", "include": "x.yaml"})
