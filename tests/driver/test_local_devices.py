"""A local run on several devices: the same strategy as in a pod, through the whole driver."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from airflow_provider_lmeval import wire
from airflow_provider_lmeval.backends import Handle
from airflow_provider_lmeval.backends.local import LocalBackend
from airflow_provider_lmeval.errors import SpecError
from airflow_provider_lmeval.plan import Grants
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.spec.pod_parts import Gpu
from airflow_provider_lmeval.wire import Reason, State
from tests.support.tiny import tiny_model, tiny_tasks

pytestmark = pytest.mark.driver


def spec(**fields: object) -> EvalSpec:
    model = {"type": "hf", "pretrained": str(tiny_model()), "dtype": "float32"}
    known = {"model": model, "tasks": ["tiny_mc"], "include_paths": [str(tiny_tasks())], "device": "cpu"}
    return EvalSpec.parse(known | fields)


def backend(place: Path, gpu: Gpu | None) -> LocalBackend:
    return LocalBackend(directory=place / "runs", results_uri=str(place / "results"), gpu=gpu)


def end(runs: LocalBackend, handle: Handle, within_s: float = 120) -> wire.Status:
    deadline = time.monotonic() + within_s
    while not State((status := runs.status(handle)).state).ended:
        assert time.monotonic() < deadline, status
        time.sleep(0.05)
    return status


def test_a_local_run_shared_by_two_processes_succeeds_and_leaves_none(tmp_path: Path) -> None:
    runs = backend(tmp_path, Gpu(count=2, strategy="data"))
    handle = runs.submit(spec(), "local-run-two-processes", Grants())
    assert end(runs, handle).reason == Reason.SUCCEEDED
    result = runs.collect(handle)
    assert result.tasks["tiny_mc"].n_samples.effective == 40
    assert result.equivalent_command[:4] == ("accelerate", "launch", "--num_processes", "2")
    assert result.config["batch_size"] == 1
    lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline")]
    assert not [line for line in lines if b"driver.worker" in line and str(tmp_path).encode() in line]


def test_devices_that_are_not_there_end_a_local_run_before_its_model_is_loaded(tmp_path: Path) -> None:
    runs = backend(tmp_path, Gpu(count=2, strategy="model"))
    status = end(runs, runs.submit(spec(), "local-run-no-devices-a", Grants()))
    assert status.cause == "bad_spec"
    assert "gpu.count 2" in str(status.message)


def test_a_strategy_that_cannot_be_is_refused_before_anything_starts(tmp_path: Path) -> None:
    runs = backend(tmp_path, Gpu(count=2, strategy="model"))
    with pytest.raises(SpecError, match=r"gpu\.strategy"):
        runs.check(spec(model={"type": "hf", "pretrained": str(tiny_model()), "parallelize": True}), Grants())
    assert not (tmp_path / "runs").exists()
