"""Code is recognised before it is executed."""

import pytest

from airflow_provider_lmeval.driver.worker.permissions import (
    check_model_code,
    check_unsafe,
    check_yaml_code,
    lm_eval_tasks,
)
from airflow_provider_lmeval.errors import RunFailedError
from airflow_provider_lmeval.wire import Request


def denied(check, *args):
    with pytest.raises(RunFailedError) as refused:
        check(*args)
    assert refused.value.cause == "code_denied"
    assert "`allow_code_execution: true`" in str(refused.value)
    assert "[lmeval] allow_code_execution" in str(refused.value)
    return str(refused.value)


def write(path, text):
    path.write_text(text)
    return path


def test_plain_task_files_pass(tmp_path):
    check_yaml_code(write(tmp_path / "t.yaml", "task: t\ndescription: 'say !function'\nlist: [1, {a: b}]\n"))


@pytest.mark.parametrize(
    "text",
    ["process_docs: !function utils.f", "metric_list: [{metric: !function utils.f}]", "a: {b: [!function utils.f]}"],
)
def test_functions_are_found_wherever_they_are(tmp_path, text):
    assert "!function" in denied(check_yaml_code, write(tmp_path / "t.yaml", f"task: t\n{text}\n"))


@pytest.mark.parametrize("include", ["base.yaml", "[other.yaml, base.yaml]"])
def test_functions_in_included_files_are_found(tmp_path, include):
    write(tmp_path / "base.yaml", "process_docs: !function utils.f\n")
    write(tmp_path / "other.yaml", "a: b\n")

    denied(check_yaml_code, write(tmp_path / "t.yaml", f"include: {include}\ntask: t\n"))


def test_files_that_include_each_other_end(tmp_path):
    write(tmp_path / "a.yaml", "include: b.yaml\n")
    write(tmp_path / "b.yaml", "include: a.yaml\n")

    check_yaml_code(tmp_path / "a.yaml")


def test_lm_evals_own_functions_are_trusted(tmp_path):
    theirs = lm_eval_tasks() / "hellaswag" / "hellaswag.yaml"
    assert "!function" in theirs.read_text()

    check_yaml_code(theirs)
    check_yaml_code(write(tmp_path / "t.yaml", f"include: {theirs}\ntask: t\n"))


def test_tasks_marked_as_unsafe():
    check_unsafe([{"task": "a"}, {"task": "b", "unsafe_code": False}])

    assert "humaneval" in denied(check_unsafe, [{"task": "humaneval", "unsafe_code": True}])


@pytest.mark.parametrize("where", ["model_args", "evaluate"])
def test_code_that_comes_with_the_model(where):
    fields = {"run_id": "r", "spec_hash": "s", "model": "hf", "model_args": {}, where: {"trust_remote_code": True}}

    denied(check_model_code, Request(**fields))
    check_model_code(Request(**fields, allow_code_execution=True))
