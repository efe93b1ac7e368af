"""The whole driver, supervisor and worker, on one real evaluation."""

import hashlib
import json
import subprocess
import sys

import pytest

from airflow_provider_lmeval.wire import RunDir, Status, dump
from tests.support.worker import NOT_CATALOGUED, environment, strict_json, tiny_request

pytestmark = pytest.mark.driver

SECRET = "hf_0123456789abcdef"


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    run = RunDir(tmp_path_factory.mktemp("run"))
    model_args = {"token": {"env": "HUB_TOKEN"}}
    request = tiny_request("tiny_group", **NOT_CATALOGUED, model_args=model_args, allowed_env=["HUB_TOKEN"])
    run.request.write_bytes(dump(request.to_json()))
    command = [sys.executable, "-m", "airflow_provider_lmeval.driver", str(run.request)]
    done = subprocess.run(command, env=environment(HUB_TOKEN=SECRET), capture_output=True, text=True, timeout=120)
    return run, done


def test_it_succeeds_and_says_so(driver):
    run, done = driver

    status = Status.from_json(strict_json(run.status.read_text()))

    assert done.returncode == 0, done.stderr
    assert (status.state, status.reason, status.cause) == ("Complete", "Succeeded", None)
    assert status.progress["tasks_total"] == 2


def test_the_result_is_complete(driver):
    run, _ = driver

    result = strict_json(run.result.read_text())

    assert result["reason"] == "Succeeded"
    assert set(result["tasks"]) == {"tiny_group", "tiny_group_a", "tiny_group_b"}
    assert result["tasks"]["tiny_group"]["metrics"]["acc,none"]["value"] == pytest.approx(0.9)
    assert result["model"]["args"]["token"] == {"env": "HUB_TOKEN"}
    assert result["model"]["identity"].startswith("sha256:")
    assert {"loading tasks", "loading model", "evaluating"} <= set(result["timings"]["phases"])
    assert result["versions"]["lm_eval"] == result["fingerprint"]["lm_eval"]


def test_the_marker_has_the_digest_of_every_file(driver):
    run, _ = driver

    files = json.loads(run.marker.read_bytes())["files"]

    assert {"result.json", "tasks/tiny_group_a/scores.jsonl.gz", "logs/stderr.log"} <= set(files)
    for name, file in files.items():
        assert hashlib.sha256((run.root / name).read_bytes()).hexdigest() == file["sha256"]


def test_the_secret_is_nowhere(driver):
    run, done = driver

    everything = [path.read_bytes() for path in run.root.rglob("*") if path.is_file()]

    assert not any(SECRET.encode() in content for content in everything)
    assert SECRET not in done.stdout + done.stderr
