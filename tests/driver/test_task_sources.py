"""Tasks from a git server are evaluated as if they lay here, and are trusted as little."""

import json
import shutil

import pytest

from airflow_provider_lmeval.plan import Grants, Placement, check, plan_request
from airflow_provider_lmeval.spec import EvalSpec
from tests.support.git_server import GitServer, make_repository
from tests.support.tiny import tiny_model, tiny_tasks
from tests.support.worker import evaluate, own_task

pytestmark = [pytest.mark.driver, pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")]

CODE = "open('executed', 'w').close()\ndef docs(dataset): return dataset\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    root = tmp_path_factory.mktemp("git")
    mine = own_task(task="mine", dataset_kwargs={"data_files": {"test": "data/head.jsonl"}}, metadata={"version": 2.0})
    files = {
        "eval/mine.yaml": json.dumps(mine),
        "eval/data/head.jsonl": (tiny_tasks() / "head.jsonl").read_text(),
        "eval/coded.yaml": json.dumps(own_task(task="coded"))[:-1] + ', "process_docs": !function code.docs}',
        "eval/code.py": CODE,
    }
    commit = make_repository(root, files)
    with GitServer(root) as running:
        running.commit = commit
        yield running


def run(place, server, task):
    model = {"type": "hf", "pretrained": str(tiny_model()), "dtype": "float32"}
    source = {"type": "git", "url": server.url, "ref": "v1", "path": "eval"}
    fields = {
        "model": model,
        "tasks": [task],
        "task_sources": [source],
        "allow_online": True,
        "device": "cpu",
        "limit": 4,
    }
    grants, spec = Grants(online=True, git_hosts=frozenset({server.host})), EvalSpec.parse(fields)
    assert not [problem for problem in check(spec, grants) if problem.level == "error"]
    request = plan_request(spec, "run-1", grants, Placement())
    return evaluate(place, request, SSL_CERT_FILE=str(server.certificate))


def test_a_task_and_its_data_come_from_the_commit_that_the_result_names(tmp_path, server):
    evaluation = run(tmp_path, server, "mine").evaluation

    assert evaluation["tasks"]["mine"]["n_samples"] == {"original": 10, "effective": 4}
    assert evaluation["fingerprint"]["task_sources"] == [{"url": server.url, "path": "eval", "commit": server.commit}]
    assert evaluation["fingerprint"]["tasks"]["mine"]["version"] == 2.0


def test_code_from_a_repository_needs_permission_like_any_other(tmp_path, server):
    worker = run(tmp_path, server, "coded")

    assert worker.failure[0] == "code_denied"
    assert "coded.yaml imports Python functions" in worker.failure[1]
    assert not list(tmp_path.rglob("executed"))
