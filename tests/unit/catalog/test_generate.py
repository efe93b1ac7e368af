from pathlib import Path
from types import SimpleNamespace

from airflow_provider_lmeval.catalog import Catalog
from airflow_provider_lmeval.catalog.generate import Defaults, build, profile

DEFAULTS = Defaults({"multiple_choice": ["acc", "acc_norm"], "generate_until": ["exact_match"]}, {"ter": False}.get)
ROOT = Path("/lm_eval/tasks")


def entry(kind, path=None, cfg=None, tags=()):
    return SimpleNamespace(
        kind=SimpleNamespace(name=kind), yaml_path=ROOT / path if path else None, cfg=cfg, tags=set(tags)
    )


def made(config):
    return profile(config, "fam", DEFAULTS)


def test_a_task_without_metrics_gets_those_of_its_output_type():
    assert [name for name, _ in made({"output_type": "multiple_choice"})["metrics"]] == ["acc", "acc_norm"]


def test_a_task_without_output_type_generates():
    assert made({})["output_type"] == "generate_until"


def test_an_empty_metric_list_is_not_an_absent_one():
    assert made({"metric_list": []})["metrics"] == []


def test_a_direction_comes_from_the_task_and_else_from_the_registry():
    config = {"metric_list": [{"metric": "ter"}, {"metric": "bleu", "higher_is_better": True}, {"metric": "odd"}]}
    assert made(config)["metrics"] == [("ter", False), ("bleu", True), ("odd", None)]


def test_a_metric_function_reports_under_its_name():
    config = {"metric_list": [{"metric": "/any/where/lm_eval/tasks/fam/utils.rouge1", "higher_is_better": True}]}
    assert made(config)["metrics"] == [("rouge1", True)]


def test_a_metric_with_k_reports_once_for_each_k():
    config = {"metric_list": [{"metric": "/x/utils.pass_at_k", "k": [1, 10], "higher_is_better": True}]}
    assert made(config)["metrics"] == [("pass@1", True), ("pass@10", True)]


def test_filters_default_to_none():
    assert made({})["filters"] == ["none"]
    assert made({"filter_list": [{"name": "strict"}, {"name": "loose"}]})["filters"] == ["strict", "loose"]


def test_version_and_unsafe_code_are_kept():
    config = made({"metadata": {"version": 3.0}, "unsafe_code": True})
    assert (config["version"], config["unsafe_code"]) == ("3.0", True)
    assert (made({})["version"], made({})["unsafe_code"]) == (None, False)


def test_an_index_becomes_a_catalogue(tmp_path):
    module = tmp_path / "task.py"
    module.write_text("class Py:\n    VERSION = 7\n")
    index = {
        "b": entry("TASK", "fam/sub/b.yaml", {"dataset_name": "en", "tag": "t"}),
        "a": entry("TASK", "fam/a.yaml", {"tag": "t"}),
        "py": entry("PY_TASK", "py/py.yaml", {"class": f"{module.with_suffix('')}.Py"}),
        "t": entry("TAG", tags=["b", "a"]),
        "g": entry("GROUP", "fam/g.yaml", {"group": "g", "task": ["t", "py", {"task": "new"}]}),
    }
    catalog = Catalog(build("9.9", index, ROOT, DEFAULTS))
    assert catalog.lm_eval_version == "9.9"
    assert [task.name for task in catalog.expand(["g"])] == ["a", "b", "py", "g::new"]
    assert (catalog.find("b").family, catalog.find("b").dataset_name) == ("fam/sub", "en")
    assert catalog.find("py").version == "7"
    assert catalog.find("t").members == ("a", "b")
