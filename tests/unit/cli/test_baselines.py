"""``baseline``, ``promote`` and ``rollback``: what a person does at night, and a CI without Airflow."""

from __future__ import annotations

import getpass
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_lmeval.__main__ import main
from airflow_provider_lmeval.store import Store
from airflow_provider_lmeval.store.baselines import Baselines
from tests.support.foreign import samples, write_output

BASELINE = "chat/quiz"
ONE, TWO = "model_2026-03-01T12-00-00.000001", "model_2026-03-01T12-01-00.000001"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Evaluations of three models, whose weights are called as they are, and an empty store."""
    for minute, (name, wrong) in enumerate((("one", 40), ("two", 40), ("worse", 300))):
        when = f"2026-03-01T12-{minute:02}-00.000001"
        write_output(tmp_path / name, {"quiz": samples(400, wrong=wrong)}, time=when, model_sha=name)
    monkeypatch.setenv("AIRFLOW__LMEVAL__RESULTS_URI", str(tmp_path / "store"))
    return tmp_path


def verdict(place: Path, name: str, capsys: Any) -> Path:
    rules = place / "rules.yaml"
    rules.write_text("[{task: quiz, metric: acc, floor: 0.5}]", encoding="utf-8")
    capsys.readouterr()
    main(["gate", str(place / name), "--rules", str(rules), "--json"])
    path = place / f"{name}.json"
    path.write_text(capsys.readouterr().out, encoding="utf-8")
    return path


def in_force(place: Path) -> str | None:
    current = Baselines(Store(place / "store")).current("chat", "quiz")
    return current.model.identity if current else None


@pytest.fixture
def promoted(place: Path, capsys: Any) -> Path:
    """Two models were promoted, one after the other."""
    for name in ("one", "two"):
        assert main(["promote", BASELINE, str(place / name), "--verdict", str(verdict(place, name, capsys))]) == 0
    capsys.readouterr()
    return place


def test_a_model_that_its_gate_allows_is_put_in_force(place: Path, capsys: Any) -> None:
    assert main(["promote", BASELINE, str(place / "one"), "--verdict", str(verdict(place, "one", capsys))]) == 0

    assert in_force(place) == "one"
    assert f"chat/quiz is org/model (run {ONE}), by {getpass.getuser()}" in capsys.readouterr().out


def test_the_verdict_may_come_from_a_pipe(place: Path, capsys: Any) -> None:
    before, sys.stdin = sys.stdin, io.StringIO(verdict(place, "one", capsys).read_text(encoding="utf-8"))
    try:
        assert main(["promote", BASELINE, str(place / "one"), "--verdict", "-", "--by", "ci", "--json"]) == 0
    finally:
        sys.stdin = before
    assert json.loads(capsys.readouterr().out)["by"] == "ci"


@pytest.mark.parametrize("judged", ["worse", "one", None])
def test_a_model_without_a_verdict_of_its_own_that_allows_it_is_not(
    place: Path, capsys: Any, judged: str | None
) -> None:
    said = ["--verdict", str(verdict(place, judged, capsys))] if judged else []

    assert main(["promote", BASELINE, str(place / "worse"), *said]) == 1
    assert in_force(place) is None


def test_a_person_may_overrule_the_gate_and_has_to_say_why(place: Path, capsys: Any) -> None:
    asked = ["promote", BASELINE, str(place / "worse"), "--verdict", str(verdict(place, "worse", capsys)), "--override"]

    assert main(asked) == 2
    assert main([*asked, "--reason", "the suite is broken", "--by", "ada"]) == 0

    capsys.readouterr()
    assert main(["baseline", BASELINE, "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert (entry["override"]["approver"], entry["reason"], entry["verdict"]["outcome"]) == (
        "ada", "the suite is broken", "FAIL",
    )  # fmt: skip


def test_a_rollback_puts_the_model_before_in_force_again(promoted: Path, capsys: Any) -> None:
    assert main(["rollback", BASELINE, "--reason", "complaints", "--by", "ada"]) == 0

    assert in_force(promoted) == "one"
    assert f"run {ONE}" in capsys.readouterr().out
    assert main(["rollback", BASELINE, "--to", TWO, "--reason", "it was not that"]) == 0
    assert in_force(promoted) == "two"


def test_the_history_shows_what_is_in_force(promoted: Path, capsys: Any) -> None:
    main(["rollback", BASELINE, "--reason", "complaints"])
    capsys.readouterr()

    assert main(["baseline", BASELINE, "--json"]) == 0
    history = json.loads(capsys.readouterr().out)
    assert [(each["action"], each["model"]["identity"]) for each in history] == [
        ("promote", "one"), ("promote", "two"), ("rollback", "one"),
    ]  # fmt: skip
    assert [each["in_force"] for each in history] == [False, False, True]
    assert main(["baseline", BASELINE]) == 0
    marked, why = capsys.readouterr().out.splitlines()[-2:]
    assert marked.startswith("* ")
    assert ONE in marked
    assert "complaints" in why


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["baseline", BASELINE], 1),
        (["rollback", BASELINE, "--reason", "why"], 1),
        (["rollback", "chat", "--reason", "why"], 2),
        (["promote", BASELINE, "one", "--verdict", "missing.json"], 2),
    ],
)
def test_what_cannot_be_done_says_so(place: Path, capsys: Any, arguments: list[str], status: int) -> None:
    assert main(arguments) == status
    assert capsys.readouterr().err
    assert in_force(place) is None
