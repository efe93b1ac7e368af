"""``calibrate`` on directories and stores: what is noisy, and that gates hear of it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_lmeval.__main__ import main
from airflow_provider_lmeval.store import Store
from airflow_provider_lmeval.store.baselines import Baselines
from airflow_provider_lmeval.store.promotion import Override
from tests.support.foreign import samples, write_output


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two evaluations of one model, of another one, and a store in which the first one's model is in force."""
    models = (("once", 40, "a"), ("again", 52, "a"), ("other", 40, "b"), ("worse", 48, "c"))
    for minute, (name, wrong, sha) in enumerate(models):
        when = f"2026-03-01T12-{minute:02}-00.000001"
        write_output(tmp_path / name, {"quiz": samples(400, wrong=wrong)}, time=when, model_sha=sha)
    monkeypatch.setenv("AIRFLOW__LMEVAL__RESULTS_URI", str(tmp_path / "store"))
    return tmp_path


def promote(place: Path) -> Baselines:
    now = time.time()
    override = Override(approver="ada", reason="the first one", at=now, expires=now + 60)
    baselines = Baselines(Store(place / "store"))
    baselines.promote("chat", "quiz", str(place / "once"), by="ada", reason="first", override=override)
    return baselines


def calibrate(*arguments: object) -> int:
    return main(["calibrate", *map(str, arguments)])


def test_two_evaluations_are_compared_without_a_store(place: Path, capsys: Any) -> None:
    assert calibrate(place / "once", place / "again", "--json", "--gates", "20") == 0

    found = json.loads(capsys.readouterr().out)
    assert (found["kind"], found["gates"]) == ("varied", 20)
    assert found["noise"]["quiz"]["acc,none"]["discordance"] == pytest.approx(12 / 400)


def test_the_table_says_how_often_the_gate_would_block(place: Path, capsys: Any) -> None:
    assert calibrate(place / "once", place / "again", "--gates", "20") == 0

    said = " ".join(capsys.readouterr().out.split())
    assert "quiz" in said
    assert "blocks the model against itself in" in said
    assert "of 20 simulated gates" in said


def test_it_is_kept_with_the_baseline_and_the_gate_hears_of_it(place: Path, capsys: Any) -> None:
    baselines = promote(place)

    assert calibrate(place / "once", place / "again", "--baseline", "chat", "--suite", "quiz", "--gates", "20") == 0

    assert baselines.calibration("chat", "quiz").gates == 20
    capsys.readouterr()
    main(["gate", str(place / "worse"), "promoted:chat/quiz", "--json"])
    verdict = json.loads(capsys.readouterr().out)
    assert verdict["calibration"]["gates"] == 20
    assert "margin-within-noise" in [each["id"] for each in verdict["findings"]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["again", "other"], "different models"),
        (["again", "missing"], "nothing at"),
        (["once", "again", "--gates", "many"], "--gates"),
        (["once", "again", "--gates", "5000"], "1,000"),
        (["once", "again", "--baseline", "chat"], "--suite"),
        (["once", "again", "--baseline", "chat", "--suite", "quiz"], "nothing was promoted"),
        (["once", "again", "--rules", "no_regresion"], "no_regression"),
    ],
)
def test_a_wrong_call_is_told(place: Path, capsys: Any, arguments: list[str], message: str) -> None:
    paths = [place / each if each in ("once", "again", "other", "missing") else each for each in arguments]

    assert calibrate(*paths) == 2
    assert message in capsys.readouterr().err
