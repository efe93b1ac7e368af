"""The commands of the front page, one after the other, on a real model: validate, run, gate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from airflow_provider_lmeval.__main__ import main
from airflow_provider_lmeval.store import Store
from tests.support.tiny import tiny_model, tiny_tasks

pytestmark = pytest.mark.driver


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AIRFLOW__LMEVAL__LOCAL_DIR", str(tmp_path / "runs"))
    monkeypatch.setenv("AIRFLOW__LMEVAL__RESULTS_URI", str(tmp_path / "out"))
    return tmp_path


def written(place: Path, **fields: object) -> str:
    spec = {
        "model": {"type": "hf", "pretrained": str(tiny_model())},
        "tasks": ["tiny_mc"],
        "include_paths": [str(tiny_tasks())],
        "device": "cpu",
        "batch_size": 8,
    }
    path = place / "spec.yaml"
    path.write_text(yaml.safe_dump(spec | fields))
    return str(path)


def test_a_spec_is_checked_evaluated_and_gated(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = written(place)
    rules = place / "rules.yaml"
    rules.write_text("[{task: tiny_mc, metric: acc, floor: 0.5}]")

    assert main(["validate", spec]) == 0
    assert main(["run", spec]) == 0
    (run_id,) = Store(str(place / "out")).runs()
    table = capsys.readouterr().out
    assert "│ tiny_mc │ acc " in table
    assert table.endswith(f"result: {place}/out/{run_id}\n")

    assert main(["gate", f"{place}/out/{run_id}", "--rules", str(rules)]) == 0
    assert "verdict PASS" in capsys.readouterr().out


def test_what_computes_no_scores_says_so(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", written(place, predict_only=True)]) == 0
    assert "there are no scores" in capsys.readouterr().out


def test_an_evaluation_that_fails_ends_with_1_and_its_cause(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", written(place, tasks=["tiny_mcc"]), "--json"]) == 1
    summary = json.loads(capsys.readouterr().out)
    assert (summary["reason"], summary["cause"]) == ("Failed", "unknown_task")
