"""What is wrong with a request is said by its cause and in words, early, and leaves nothing that looks like a result."""

import json
import shutil

import pytest

from airflow_provider_lmeval.wire import EXIT_CODES, Cause
from tests.support.tiny import tiny_model
from tests.support.worker import NOT_CATALOGUED, evaluate, own_task, start, tiny_request

pytestmark = pytest.mark.driver


def data(path):
    return {"dataset_kwargs": {"data_files": {"test": str(path)}}}


def fail(place, cause, *tasks, **changes):
    """Run a request that must fail for ``cause`` and return the message."""
    worker = evaluate(place, tiny_request(*tasks, **{**NOT_CATALOGUED, **changes}))
    found, message = worker.failure
    assert found == cause, message
    assert worker.status == EXIT_CODES[Cause(cause)]
    assert worker.evaluated == []
    assert not list(worker.run.tasks.glob("*/result.json"))
    return message


def test_an_unknown_task_is_named_with_near_matches(tmp_path):
    message = fail(tmp_path, "unknown_task", "hellaswga", include_paths=[])

    assert "'hellaswga'" in message
    assert "hellaswag" in message.partition("Did you mean")[2]


def test_a_metric_that_does_not_exist(tmp_path):
    message = fail(tmp_path, "bad_spec", inline_tasks=[own_task(metric_list=[{"metric": "acc_nrom"}])])

    assert "'acc_nrom'" in message
    assert "acc_norm" in message.partition("Did you mean")[2]


def test_a_model_directory_that_is_not_there_is_found_before_anything_is_imported(tmp_path):
    message = fail(tmp_path, "model_load", "tiny_mc", model_args={"pretrained": "/nowhere/model"})

    assert "'/nowhere/model' does not exist" in message


def test_a_corrupt_checkpoint(tmp_path):
    broken = shutil.copytree(tiny_model(), tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"\xff" * 100)

    message = fail(tmp_path / "run", "model_load", "tiny_mc", model_args={"pretrained": str(broken)})

    assert "SafetensorError" in message


def test_a_data_file_that_is_not_there(tmp_path):
    message = fail(tmp_path, "dataset", inline_tasks=[own_task(**data(tmp_path / "none.jsonl"))])

    assert "none.jsonl" in message
    assert "'own'" in message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dataset_path": "text", "dataset_kwargs": {"data_files": "/proc/self/environ"}}, "'/proc/self/environ'"),
        ({"metric_list": [{"metric": "/tmp/program", "aggregation": "mean"}]}, "'/tmp/program'"),
        ({"metric_list": [{"metric": "acc", "hf_evaluate": True}]}, "'acc' is a program"),
    ],
)
def test_a_group_cannot_have_its_tasks_read_secrets_or_run_programs(tmp_path, change, words):
    group = {"group": "g", "task": [{"task": "tiny_mc"} | change]}

    assert words in fail(tmp_path, "code_denied", inline_tasks=[group])


def test_data_that_cannot_be_parsed(tmp_path):
    (tmp_path / "half.jsonl").write_text('{"thing": "x", "cho')

    message = fail(tmp_path / "run", "dataset", inline_tasks=[own_task(**data(tmp_path / "half.jsonl"))])

    assert "DatasetGenerationError" in message


def test_an_empty_dataset(tmp_path):
    (tmp_path / "empty.jsonl").write_text("")

    message = fail(tmp_path / "run", "dataset", inline_tasks=[own_task(**data(tmp_path / "empty.jsonl"))])

    assert message == "task 'own': its dataset is empty"


def test_a_dataset_on_the_hub_without_online_access(tmp_path):
    message = fail(tmp_path, "online_denied", inline_tasks=[own_task(dataset_path="someone/data", dataset_kwargs=None)])

    assert "allow_online: true" in message


def test_a_template_that_reaches_for_the_interpreter_runs_nothing(tmp_path):
    trap = "{{ cycler.__init__.__globals__.os.popen('touch %s').read() }}" % (tmp_path / "executed")

    message = fail(tmp_path / "run", "code_denied", inline_tasks=[own_task(doc_to_text=trap)])

    assert "SecurityError" in message
    assert not (tmp_path / "executed").exists()


def test_a_task_file_that_imports_python_needs_permission(tmp_path):
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    (tasks / "code.py").write_text(
        f"open({str(tmp_path / 'executed')!r}, 'w').close()\ndef docs(dataset): return dataset\n"
    )
    config = own_task(task="coded")
    (tasks / "coded.yaml").write_text(json.dumps(config)[:-1] + ', "process_docs": !function code.docs}')

    message = fail(tmp_path / "run", "code_denied", "coded", include_paths=[str(tasks)])

    assert "!function" in message
    assert not (tmp_path / "executed").exists()


def test_a_task_and_the_group_that_holds_it(tmp_path):
    message = fail(tmp_path, "bad_spec", "tiny_group", "tiny_group_a")

    assert "tiny_group_a" in message


def test_an_endpoint_nobody_listens_on(tmp_path):
    served = {"model": "m", "base_url": "http://127.0.0.1:9/v1/completions"}

    message = fail(tmp_path, "endpoint", "tiny_mc", model="local-completions", model_args=served)

    assert "Connection refused" in message


def test_sigterm_ends_a_running_evaluation_within_two_seconds(tmp_path):
    worker = start(tmp_path, tiny_request("tiny_mc", "tiny_gen", **NOT_CATALOGUED))
    worker.wait_for(lambda event: event.get("phase") == "loading model")

    seconds = worker.terminate()

    assert seconds < 2
    assert worker.status == 143
    assert worker.failure[0] == "cancelled"
