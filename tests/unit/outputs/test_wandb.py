"""Logging a result to Weights & Biases: the real client, offline."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_lmeval.errors import OutputError
from airflow_provider_lmeval.outputs import Credentials, StoredRun
from airflow_provider_lmeval.outputs.wandb import log, metrics
from airflow_provider_lmeval.spec.outputs import WandbRun

pytest.importorskip("wandb", reason="needs the wandb extra")


def test_an_offline_run_is_written_with_the_scores(tmp_path: Path, run: StoredRun) -> None:
    output = WandbRun(wandb_args={"project": "evals", "mode": "offline", "dir": str(tmp_path)})
    where = Path(log(run, output, Credentials()))
    (written,) = tmp_path.rglob("run-candidate-1.wandb")
    assert where.is_relative_to(tmp_path / "wandb")
    assert b"tiny_mc/acc" in written.read_bytes()


def test_scores_have_the_names_that_lm_eval_gives_them(run: StoredRun) -> None:
    assert metrics(run) == {"tiny_mc/acc": 0.85, "tiny_mc/acc_stderr": 0.04}


def test_a_key_that_cannot_be_one_is_refused_without_being_shown(tmp_path: Path, run: StoredRun) -> None:
    output = WandbRun(conn_id="wandb", wandb_args={"project": "evals", "dir": str(tmp_path)})
    with pytest.raises(OutputError, match="wandb: ") as caught:
        log(run, output, Credentials(host="http://127.0.0.1:9", password="short-key"))
    assert "short-key" not in str(caught.value)
