"""Secrets: only what is allowed gets in, and nothing of it gets out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_provider_lmeval.wire import EXIT_CODES
from tests.support.supervised import ROOT, STATUS_SERVER, TOKEN, Run, texts_below

SECRET = 'hf_"quoted"/and+long'
OTHER = "second-secret"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    # as the backend starts a driver: its environment holds more than the evaluation may see
    environ = {
        "HF_TOKEN": SECRET,
        "OTHER": OTHER,
        "AWS_SECRET_ACCESS_KEY": "the-stores-key",
        "AIRFLOW__CORE__FERNET_KEY": "airflows-key",
        "CUDA_VISIBLE_DEVICES": "1",
        "NVIDIA_VISIBLE_DEVICES": "all",
        "HTTPS_PROXY": "http://user:proxy-password@proxy:3128",
        "LMEVAL_IMAGE": "sha256:abc",
    }
    return Run(tmp_path / "run", environ)


def seen_by_child(run: Run) -> dict:
    done = run.finish("shows_environment")
    assert done.returncode == 0, done.stderr
    return json.loads((run.files.scratch / "seen.json").read_text())


def test_no_secret_is_in_any_file_or_in_the_drivers_own_output(run: Run) -> None:
    header = {"Authorization": {"env": "HF_TOKEN"}}
    run.request(
        model_args={"header": header, "list": [{"env": "HF_TOKEN"}]},
        env={"OTHER_TOKEN": {"env": "OTHER"}},
        allowed_env=["HF_TOKEN", "OTHER"],
    )
    done = run.finish("evaluates", "a")

    assert done.returncode == 0, done.stderr
    spellings = [SECRET, json.dumps(SECRET)[1:-1], OTHER, "proxy-password"]
    everything = {**texts_below(run.root), Path("stdout"): done.stdout, Path("stderr"): done.stderr}
    assert not [(path, text) for path, data in everything.items() for text in spellings if text.encode() in data]
    assert "this is stdout ***" in run.log
    assert b"this is stdout ***" in done.stdout
    assert b"this is stderr ***" in done.stderr
    assert run.result["config"]["note"].count("***") == 3
    assert run.result["model"]["args"]["header"] == header  # the reference, not what it refers to


def test_no_secret_is_in_a_failures_message(run: Run) -> None:
    run.request(model_args={"token": {"env": "HF_TOKEN"}}, allowed_env=["HF_TOKEN"]).finish("ends", "exit", "1")
    assert run.result["message"].endswith("the last words *** ***")

    run.finish("ends", "failed", "endpoint", "6")
    assert "own words ['***', '***']" in run.result["message"]
    assert SECRET not in json.dumps([run.result, run.status])


def test_the_child_gets_its_secrets_on_stdin_and_not_as_arguments(run: Run) -> None:
    args = {"header": {"Authorization": {"env": "HF_TOKEN"}}, "parallel": [1, {"env": "OTHER"}]}
    run.request(model_args=args, allowed_env=["HF_TOKEN", "OTHER"])
    seen = seen_by_child(run)

    assert seen["document"]["request"]["model_args"] == {"header": {"Authorization": SECRET}, "parallel": [1, OTHER]}
    assert {SECRET, OTHER} <= set(seen["document"]["secrets"])
    assert SECRET not in " ".join(seen["argv"])


def test_the_childs_environment_is_built_and_not_inherited(run: Run) -> None:
    run.request(env={"MY_SETTING": "literal", "MY_TOKEN": {"env": "OTHER"}}, allowed_env=["OTHER"])
    seen = seen_by_child(run)
    environ = seen["environ"]

    assert not {"HF_TOKEN", "OTHER", "AWS_SECRET_ACCESS_KEY", "AIRFLOW__CORE__FERNET_KEY"} & set(environ)
    expected = {
        "MY_SETTING": "literal",
        "MY_TOKEN": OTHER,
        "CUDA_VISIBLE_DEVICES": "1",
        "NVIDIA_VISIBLE_DEVICES": "all",
        "LMEVAL_IMAGE": "sha256:abc",
        "PYTHONUNBUFFERED": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "HF_EVALUATE_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "UNITXT_USE_ONLY_LOCAL_CATALOGS": "True",
        "PYTHONPATH": str(ROOT),
    }
    assert {name: environ.get(name) for name in expected} == expected
    assert Path(seen["cwd"]) == run.files.scratch
    assert not Path(environ["TMPDIR"]).exists()  # removed with the run's end
    assert not {"HF_ALLOW_CODE_EVAL", "UNITXT_ALLOW_UNVERIFIED_CODE"} & set(environ)


def test_permissions_open_the_switches(run: Run) -> None:
    environ = seen_by_child(run.request(allow_online=True, allow_code_execution=True))["environ"]

    assert not {"HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_EVALUATE_OFFLINE", "TRANSFORMERS_OFFLINE"} & set(environ)
    assert environ["HF_ALLOW_CODE_EVAL"] == "1"


def test_a_home_that_cannot_be_written_is_replaced(run: Run) -> None:
    run.environ = {**run.environ, "HOME": "/nonexistent"}
    assert seen_by_child(run.request())["environ"]["HOME"] == str(run.files.scratch)


def test_the_stores_secrets_are_not_for_the_child(run: Run, tmp_path: Path) -> None:
    store = {"url": f"file://{tmp_path}/store", "options": {"key": {"env": "OTHER"}}}
    seen = seen_by_child(run.request(store=store, allowed_env=["OTHER"]))

    assert OTHER not in json.dumps([seen["document"], seen["environ"]])


@pytest.mark.parametrize(
    ("fields", "cause", "words"),
    [
        ({"model_args": {"a": [{"env": "HF_TOKEN"}]}}, "bad_spec", "model_args.a[0] refers to"),
        (
            {"model_args": {"a": {"env": "AWS_SECRET_ACCESS_KEY"}}, "allowed_env": ["HF_TOKEN"]},
            "bad_spec",
            "'AWS_SECRET_ACCESS_KEY', which is not allowed (allowed: HF_TOKEN)",
        ),
        ({"env": {"T": {"env": "UNSET"}}, "allowed_env": ["UNSET"]}, "bad_spec", "'UNSET', which is not set"),
        ({"store": {"url": "x", "options": {"key": {"env": "UNSET"}}}}, "bad_spec", "store.options.key"),
        ({"env": {"LD_PRELOAD": "/x.so"}}, "bad_spec", "may not set 'LD_PRELOAD'"),
        ({"env": {"PYTHONPATH": "/x"}}, "bad_spec", "may not set 'PYTHONPATH'"),
        ({"env": {"PATH": "/x"}}, "bad_spec", "may not set 'PATH'"),
        ({"env": {"LMEVAL_EVENTS_FD": "1"}}, "bad_spec", "may not set 'LMEVAL_EVENTS_FD'"),
        ({"env": {"A=B": "1"}}, "bad_spec", "may not set 'A=B'"),
        ({"env": {"A": "x\0y"}}, "bad_spec", "NUL"),
        ({"env": {"HF_HUB_OFFLINE": "0"}}, "online_denied", "HF_HUB_OFFLINE"),
        ({"env": {"HF_ALLOW_CODE_EVAL": "1"}}, "code_denied", "HF_ALLOW_CODE_EVAL"),
    ],
)
def test_what_the_environment_may_not_hold_is_refused_by_name(run: Run, fields: dict, cause: str, words: str) -> None:
    done = run.request(**{"store": None, **fields}).finish("evaluates", "a")

    assert done.returncode == EXIT_CODES[cause]
    assert run.result["cause"] == cause
    assert words in run.result["message"]
    assert not (run.files.scratch / "runs.txt").exists()


def test_the_token_is_nowhere_in_the_run(run: Run) -> None:
    run.request(status_server=STATUS_SERVER).finish("evaluates", "a")
    assert not [path for path, data in texts_below(run.root).items() if TOKEN.encode() in data]
