from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lmeval_demo import places
from lmeval_demo.questions import HELD_OUT, TASKS, WEIGHTS, ask, held_out, split, training_questions, write_tasks

DAGS = Path(__file__).resolve().parents[3] / "dags"


def test_no_two_animals_are_together_in_training_and_in_evaluation():
    trained = {frozenset(question.choices) for question in training_questions()}
    asked = {frozenset(q.choices) for word in ("Heavier", "Lighter") for q in held_out(word)}

    assert len(asked) == HELD_OUT
    assert not trained & asked
    assert {animal for pair in trained for animal in pair} == set(WEIGHTS), "training sees every animal"


def test_the_answer_is_the_heavier_or_the_lighter_one_whatever_the_order():
    assert ask("Heavier", ("cat", "horse")).answer == ask("Heavier", ("horse", "cat")).answer == "horse"
    assert ask("Lighter", ("cat", "horse")).answer == "cat"


def test_the_first_animal_is_as_often_right_as_the_second():
    right = [q.choices.index(q.answer) for q in held_out("Heavier")]

    assert 0.4 < sum(right) / len(right) < 0.6


def test_the_written_tasks_hold_every_held_out_question(tmp_path):
    write_tasks(tmp_path)

    for name in TASKS:
        config = json.loads((tmp_path / f"{name}.yaml").read_text())
        data = Path(config["dataset_kwargs"]["data_files"]["test"]).read_text()
        rows = [json.loads(line) for line in data.splitlines()]
        assert config["task"] == name
        assert len(rows) == HELD_OUT
        assert all(row["choices"][row["answer"]].strip() in row["question"] for row in rows)
    assert len(split()[1]) == HELD_OUT


def test_promotion_moves_one_link(tmp_path, monkeypatch):
    monkeypatch.setenv("LMEVAL_DEMO_DIR", str(tmp_path))
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir(), second.mkdir()

    assert places.promote(first).resolve() == first
    assert places.promote(second).resolve() == second
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "production", "second"]


def test_the_directory_of_a_run_lies_below_the_root_whatever_its_name(tmp_path, monkeypatch):
    monkeypatch.setenv("LMEVAL_DEMO_DIR", str(tmp_path))

    for name in ("manual__2026-01-01T00:00:00+00:00", "../..", "a/b", ""):
        assert places.run_directory(name).parent == tmp_path / "runs"
    assert places.run_directory("a/b") != places.run_directory("a_b")


@pytest.mark.parametrize("name", ["post_training_gate", "evaluate_on_demand"])
def test_parsing_a_dag_file_loads_nothing_heavy(name):
    heavy = ["torch", "lm_eval", "transformers", "kubernetes", "kubernetes_asyncio", "numpy", "scipy"]
    code = f"import sys, {name}; print([m for m in {heavy!r} if m in sys.modules])"

    done = subprocess.run([sys.executable, "-c", code], cwd=DAGS, capture_output=True, text=True, timeout=120)

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == "[]"
