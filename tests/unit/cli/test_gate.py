"""``gate`` on directories: the exit status is the verdict, for a shell or any CI."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_lmeval.__main__ import main
from airflow_provider_lmeval.gate import Verdict
from airflow_provider_lmeval.store import Store
from airflow_provider_lmeval.store.baselines import Baselines
from airflow_provider_lmeval.store.evidence import read_evidence
from tests.support.foreign import samples, write_output


@pytest.fixture
def place(tmp_path) -> Path:
    """Plain lm-eval output of three models: good and bad, and one that nobody can tell from good."""
    write_output(tmp_path / "good", {"quiz": samples(400, wrong=40)}, model_sha="a")
    write_output(tmp_path / "bad", {"quiz": samples(400, wrong=200)}, model_sha="b")
    write_output(tmp_path / "same", {"quiz": samples(400, wrong=42)}, model_sha="c")
    return tmp_path


def rules(place: Path, *rules: dict[str, Any], **policies: Any) -> str:
    path = place / "rules.yaml"
    path.write_text(json.dumps({"rules": rules} | policies))
    return str(path)


def gate(*arguments: object) -> int:
    return main(["gate", *map(str, arguments)])


FLOOR = {"task": "quiz", "metric": "acc", "floor": 0.8}


@pytest.mark.parametrize(
    ("candidate", "rule", "status", "outcome"),
    [
        ("good", FLOOR, 0, "PASS"),
        ("bad", FLOOR | {"tier": "warn"}, 0, "WARN"),
        ("bad", FLOOR, 1, "FAIL"),
        ("good", FLOOR | {"min_samples": 1000}, 3, "INCONCLUSIVE"),
        ("good", FLOOR | {"task": "other"}, 4, "ERROR"),
    ],
)
def test_the_exit_status_is_the_verdict(place, capsys, candidate, rule, status, outcome) -> None:
    assert gate(place / candidate, "--rules", rules(place, rule)) == status
    assert f"verdict {outcome}" in capsys.readouterr().out


def test_two_directories_are_compared_document_by_document(place, capsys) -> None:
    said = rules(place, {"task": "quiz", "metric": "acc", "max_drop": 0.05})

    assert gate(place / "bad", place / "good", "--rules", said, "--json") == 1

    verdict = json.loads(capsys.readouterr().out)
    (check,) = verdict["checks"]
    assert check["statistics"]["paired"]
    assert (check["statistics"]["flips"]["worse"], check["statistics"]["flips"]["better"]) == (160, 0)
    assert gate(place / "good", place / "bad", "--rules", said) == 0


def test_too_few_documents_for_a_narrow_margin_are_inconclusive(place) -> None:
    said = rules(place, {"task": "quiz", "metric": "acc", "max_drop": 0.006})

    assert gate(place / "same", place / "good", "--rules", said) == 3


def test_a_check_that_only_informs_is_not_shown_as_passed(place, capsys) -> None:
    assert gate(place / "bad", "--rules", rules(place, FLOOR | {"tier": "info"})) == 0

    table = capsys.readouterr().out
    assert "│ FAIL " in table
    assert "│ (info) " in table


def test_without_rules_the_candidate_must_be_proved_no_worse(place) -> None:
    assert gate(place / "bad", place / "good") == 1


def test_the_table_names_both_sides_and_the_reasons(place, capsys) -> None:
    write_output(place / "good", {"quiz": samples(400, wrong=40)}, time="2026-01-01T00-00-00", model_sha="a")
    gate(place / "bad", place / "good", "--rules", rules(place, FLOOR))

    told = capsys.readouterr().out
    assert "candidate: org/model (lm-eval output)" in told
    assert "was left out" in told
    assert "floor 0.8" in told
    assert "below the floor" in told


def test_a_log_of_80_columns_shows_every_word_and_figure_whole(place) -> None:
    said = rules(place, {"task": "quiz", "metric": "acc", "max_drop": 0.006, "name": "careful"})
    command = [sys.executable, "-m", "airflow_provider_lmeval", "gate", place / "same", place / "good", "--rules", said]

    done = subprocess.run(command, env=os.environ | {"COLUMNS": "80"}, capture_output=True, text=True, timeout=120)

    table = [line for line in done.stdout.splitlines() if line[:1] in "│┃"]
    assert max(map(len, table)) <= 80
    for words in (
        "INCONCLUSIVE",
        "candidate",
        "baseline",
        "difference",
        "max_drop 0.006",
        "(careful)",
        "0.895",
        "0.9",
        "-0.005",
    ):
        assert any(words in line for line in table), words


@pytest.mark.parametrize("content", ["rules: [", "rules: []", "rules: [{task: quiz, metric: acc, flor: 1}]"])
def test_rules_that_cannot_be_right_are_a_usage_error(place, capsys, content) -> None:
    path = place / "rules.yaml"
    path.write_text(content)

    assert gate(place / "good", "--rules", path) == 2
    assert "error:" in capsys.readouterr().err


def test_a_ready_set_that_does_not_exist_is_a_usage_error_with_near_matches(place, capsys) -> None:
    assert gate(place / "good", "--rules", "no_regresion") == 2
    assert "no_regression" in capsys.readouterr().err
    assert gate(place / "good", "--rules", place / "missing.yaml") == 2


def test_evidence_that_cannot_be_read_is_a_verdict(place, capsys) -> None:
    assert gate(place / "missing", "--rules", rules(place, FLOOR), "--json") == 4
    told = capsys.readouterr()
    verdict = Verdict.model_validate(json.loads(told.out))
    assert (verdict.outcome, verdict.action, verdict.candidate.run_id) == ("ERROR", "block", str(place / "missing"))
    assert "verdict ERROR" in told.err
    assert gate(place / "good", place / "missing", "--rules", rules(place, FLOOR)) == 4


def test_rules_may_come_from_standard_input(place) -> None:
    command = [sys.executable, "-m", "airflow_provider_lmeval", "gate", str(place / "bad"), "--rules", "-"]

    done = subprocess.run(command, input=f"rules: [{json.dumps(FLOOR)}]", capture_output=True, text=True, timeout=120)

    assert done.returncode == 1, done.stderr
    assert "verdict FAIL" in done.stdout


def test_the_promoted_model_can_be_the_baseline(place, monkeypatch, capsys) -> None:
    monkeypatch.setenv("AIRFLOW__LMEVAL__RESULTS_URI", str(place / "store"))
    said = rules(place, {"task": "quiz", "metric": "acc", "max_drop": 0.05})
    assert gate(place / "bad", "promoted:chat/quiz", "--rules", said) == 4, "a baseline that was asked for is no option"
    capsys.readouterr()

    run_id = read_evidence(str(place / "good")).result.run_id
    verdict = {"outcome": "PASS", "action": "allow", "candidate": {"run_id": run_id}}
    Baselines(Store(place / "store")).promote(
        "chat", "quiz", str(place / "good"), by="ada", reason="first", verdict=verdict
    )

    assert gate(place / "bad", "promoted:chat/quiz", "--rules", said) == 1


def test_airflow_s_command_has_the_same_default(capsys) -> None:
    from airflow_provider_lmeval.cli.definition import get_lmeval_cli_commands

    (group,) = get_lmeval_cli_commands()
    (command,) = [each for each in group.subcommands if each.name == "gate"]
    arguments = {arg.flags[0]: arg.kwargs for arg in command.args}
    assert arguments["--rules"]["default"] == "no_regression"
    assert arguments["baseline"]["nargs"] == "?"
