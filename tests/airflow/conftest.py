"""One real Airflow for all end-to-end tests of a session, and evaluations short and long for it to run."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from airflow_provider_lmeval.wire import process_start
from tests.support.airflow_env import ROOT, AirflowEnv
from tests.support.tiny import tiny_model, tiny_tasks

SETTINGS = {
    "AIRFLOW__LMEVAL__POLL_INTERVAL": "0.5",
    "AIRFLOW__LMEVAL__GRACE_PERIOD": "5",
    "AIRFLOW__LMEVAL__ALLOWED_DATA_ROOTS": str(tiny_tasks().resolve()),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.airflow)


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowEnv]:
    home = tmp_path_factory.mktemp("airflow")
    with AirflowEnv(home, Path(__file__).parent / "dags", ROOT / "dags", settings=SETTINGS) as env:
        yield env
    assert env.descendants() == []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    env = getattr(item, "funcargs", {}).get("airflow")
    if report.failed and env is not None:
        report.sections.append(("Airflow", env.log_tails()))
    return report


@pytest.fixture(scope="session")
def quick() -> dict[str, Any]:
    """Spec of an evaluation that takes a second or two once everything is loaded."""
    return {
        "model": {"type": "hf", "pretrained": str(tiny_model())},
        "tasks": ["tiny_mc", "tiny_gen"],
        "include_paths": [str(tiny_tasks())],
        "batch_size": 20,
        "device": "cpu",
    }


def lasting(tokens: int, repeats: int = 1) -> dict[str, Any]:
    """Return the spec of an evaluation that writes 40 answers of so many tokens, ``repeats`` times."""
    task = {
        "task": "lasting",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(tiny_tasks() / "test.jsonl")}},
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": "Q: What colour is the {{thing}}?\nA:",
        "doc_to_target": "{{choices[answer]}}",
        "generation_kwargs": {"until": ["never said"], "do_sample": False, "max_gen_toks": tokens},
        "repeats": repeats,
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    }
    model = {"type": "hf", "pretrained": str(tiny_model())}
    data = [str(tiny_tasks())]
    return {"model": model, "tasks": [task], "include_paths": data, "batch_size": 1, "device": "cpu"}


def is_running(handle: dict[str, Any]) -> bool:
    """Whether the driver of a local run lives."""
    return process_start(handle["where"]["pid"]) == handle["where"]["pid_start"]


def processes_of(handle: dict[str, Any]) -> list[psutil.Process]:
    """Return every process that was started for a local run: driver, evaluation and uploader."""
    return [p for p in psutil.process_iter() if any(handle["where"]["directory"] in a for a in _arguments(p))]


def _arguments(process: psutil.Process) -> list[str]:
    try:
        return [] if process.status() == psutil.STATUS_ZOMBIE else process.cmdline()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return []
