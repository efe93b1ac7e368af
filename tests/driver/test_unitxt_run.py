"""Recipes evaluated for real, by our worker and by ``lm-eval run`` on the very files it left behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_lmeval.wire import Request
from tests.support.recipes import TASK, card, entry, request, write_rows
from tests.support.tiny import FACTS, tiny_model
from tests.support.worker import ROOT, environment, evaluate, tiny_request

pytestmark = pytest.mark.driver

PROMPT = 'Say "it\'s"\n{x} é'
ROOM = {"max_length": 400}
"""lm-eval reserves 256 tokens for each answer, more than the tiny model has positions; it stops long before."""


def use_unitxt(place: Path, asked: Request, *build: Any) -> dict[str, Any]:
    document = {"request": asked.to_json(), "place": str(place), "build": build}
    script = ROOT / "tests" / "support" / "children" / "uses_unitxt.py"
    done = subprocess.run(
        [sys.executable, "-P", script], input=json.dumps(document), env=environment(), cwd=place.parent,
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def lm_eval_run(scratch: Path, output: Path) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
    command = [sys.executable, "-m", "lm_eval", "run", "--model", "hf", "--device", "cpu", "--batch_size", "8"]
    command += ["--model_args", f"pretrained={tiny_model()},dtype=float32,max_length=400", "--tasks", "plain,prompted"]
    command += ["--include_path", str(scratch / "tasks"), "--output_path", str(output), "--log_samples"]
    catalogs = {"UNITXT_CATALOGS": str(scratch / "catalog"), "UNITXT_USE_ONLY_LOCAL_CATALOGS": "True"}
    done = subprocess.run(command, env=environment(**catalogs), cwd=scratch, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    results = json.loads(next(output.glob("*/results_*.json")).read_text())
    samples = {}
    for task in ("plain", "prompted"):
        lines = next(output.glob(f"*/samples_{task}_*.jsonl")).read_text().splitlines()
        samples[task] = [json.loads(line) for line in lines]
    return results["results"], samples


def test_scores_and_answers_are_those_of_lm_eval_run(tmp_path):
    data = write_rows(tmp_path / "data.jsonl", FACTS)
    mine = {
        "cards": {
            "cards.mine": card(data, {"__type__": "map_instance_values", "mappers": {"colour": {}}, "strict": False})
        },
        "metrics": {"metrics.distance": {"__type__": "char_edit_distance_accuracy"}},
        "tasks": {"tasks.mine": TASK},
        "system_prompts": {"system_prompts.mine": PROMPT},
    }
    asked = tiny_request(
        unitxt=[
            entry("cards.mine", "plain", artifacts=mine),
            entry("cards.mine", "prompted", artifacts=mine, task="tasks.mine", system_prompt="system_prompts.mine",
                  metrics=["metrics.accuracy", "metrics.string_containment"]),
        ],
        model_args=ROOM, evaluate={"log_samples": True}, include_paths=[],
    )  # fmt: skip
    ours = evaluate(tmp_path / "run", asked)
    metrics, samples = lm_eval_run(ours.run.scratch / "unitxt", tmp_path / "theirs")

    tasks = ours.evaluation["tasks"]
    for task, names in {"plain": ["accuracy"], "prompted": ["accuracy", "string_containment"]}.items():
        for name in names:
            entry_of = tasks[task]["metrics"][f"{name},none"]
            assert entry_of["value"] == metrics[task][f"{name},none"]
            assert (entry_of["stderr"], entry_of["n"], entry_of["higher_is_better"]) == (None, len(FACTS), True)
        kept = ours.rows(task, "samples")
        for key in ("doc_hash", "prompt_hash", "target_hash", "resps"):
            assert [row[key] for row in kept] == [row[key] for row in samples[task]]
    assert (
        0 < tasks["prompted"]["metrics"]["accuracy,none"]["value"] < tasks["plain"]["metrics"]["accuracy,none"]["value"]
    )
    assert kept[0]["arguments"]["gen_args_0"]["arg_0"].startswith(PROMPT)


def test_denied_code_ends_the_worker_before_anything_is_loaded(tmp_path):
    data = write_rows(tmp_path / "data.jsonl", FACTS)
    step = {"__type__": "apply", "function": "os.mkdir", "_argv": [str(tmp_path / "made")], "to_field": "x"}
    worker = evaluate(tmp_path / "run", tiny_request(unitxt=[entry(card(data, step))], include_paths=[]))
    cause, message = worker.failure
    assert (worker.status, cause, "'apply'" in message) == (10, "code_denied", True)
    assert not (tmp_path / "made").exists()
    assert not list((tmp_path / "run" / "scratch" / "unitxt" / "tasks").iterdir())


def test_edited_data_are_read_anew_although_unitxt_caches_them(tmp_path):
    asked = request(entry("mine", artifacts={"cards": {"mine": card(tmp_path / "data.jsonl")}}))
    targets = []
    for colour in ("black", "white"):
        write_rows(tmp_path / "data.jsonl", {"coal": colour})
        targets.append(use_unitxt(tmp_path / "unitxt", asked)["rows"][0]["target"])
    assert targets == ["black", "white"]


APPLY = {"__type__": "apply", "function": "os.getcwd", "to_field": "x"}
DATABASE = {"db_id": None, "db_type": "remote", "dbms": None, "data": None}


def test_what_unitxt_meets_only_in_the_data_is_held_to_the_same_rules(tmp_path):
    data = write_rows(tmp_path / "data.jsonl", {"coal": "black"})
    (tmp_path / "later.json").write_text(json.dumps(APPLY))
    harmless = {"__type__": "set", "fields": {"a": 1}}
    overwritten = "splitters.large_no_test[__type__=apply]"
    lambdas = {"__type__": "load_hf", "path": "a/b", "filtering_lambda": "print"}
    build = [harmless, APPLY, [APPLY], str(tmp_path / "later.json"), overwritten, lambdas, DATABASE]
    answer = use_unitxt(tmp_path / "unitxt", request(entry(card(data))), *build)
    assert answer["built"][0] == "built"
    assert set(answer["built"][3:]) | {answer["built"][1]} == {"code_denied"}
    assert answer["built"][2] != "built"
    assert answer["rows"][0] == {"source": "Q: What colour is the coal?\nA:", "target": "black"}
    assert answer["unknown"] == []
