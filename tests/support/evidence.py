"""Result documents as the driver writes them, small and complete, to start a test from.

Each call returns fresh plain data that a test may change in one place and then parse.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

from airflow_provider_lmeval.results import EvalResult
from airflow_provider_lmeval.wire import MARKER_NAME, PROTOCOL, RunDir, dump

Data = dict[str, Any]


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def metric(value: float | None, *, n: int = 120, higher: bool | None = True, stderr: float | None = 0.04) -> Data:
    return {"value": value, "stderr": stderr, "n": n, "higher_is_better": higher}


def task(metrics: Data, *, n: int = 120, **changes: Any) -> Data:
    return {
        "kind": "task",
        "alias": "Tiny",
        "output_type": "multiple_choice",
        "version": 1.0,
        "num_fewshot": 0,
        "n_samples": {"original": n, "effective": n},
        "metrics": metrics,
        "subtasks": [],
        "task_hash": sha("task"),
        "scores": "tasks/tiny_mc/scores.jsonl.gz",
        "samples": None,
        "seconds": 1.5,
    } | changes


def group(metrics: Data, subtasks: list[str]) -> Data:
    own = {"kind": "group", "output_type": None, "subtasks": subtasks, "scores": None, "task_hash": None}
    return task(metrics, n=240) | own


def task_print(name: str, **changes: Any) -> Data:
    return {
        "version": 1.0,
        "task_hash": sha(f"{name} task"),
        "documents": sha(f"{name} documents"),
        "targets": sha(f"{name} targets"),
        "prompts": sha(f"{name} prompts"),
        "num_fewshot": 0,
        "generation_kwargs": None,
        "filters": ["none"],
        "dataset": {"path": "json", "name": None, "fingerprint": sha(f"{name} dataset")},
    } | changes


def document(tasks: Data | None = None, *, run_id: str = "candidate-1", **changes: Any) -> Data:
    """Return the document of a run that succeeded."""
    tasks = {"tiny_mc": task({"acc,none": metric(0.85)})} if tasks is None else tasks
    leaves = [name for name, entry in tasks.items() if entry["kind"] == "task"]
    identity = f"sha256:{sha(run_id)}"
    return {
        "schema_version": 1,
        "run_id": run_id,
        "state": "Complete",
        "reason": "Succeeded",
        "cause": None,
        "message": None,
        "model": {
            "type": "hf",
            "args": {"pretrained": f"/models/{run_id}", "token": {"env": "HF_TOKEN"}},
            "name": f"/models/{run_id}",
            "identity": identity,
            "parameters": 142_000,
            "dtype": "float32",
            "device": "cpu",
        },
        "tasks": tasks,
        "config": {"num_fewshot": None, "limit": None, "batch_size": 8, "predict_only": False},
        "versions": {"lm_eval": "0.4.13", "python": "3.11.9", "unitxt": None},
        "fingerprint": {
            "schema_version": 1,
            "spec_hash": sha(run_id),
            "lm_eval": "0.4.13",
            "checkpoint": "task",
            "model": {"type": "hf", "identity": identity, "dtype": "float32"},
            "tasks": {name: task_print(name) for name in leaves},
            "seeds": [0, 1234, 1234, 1234],
            "limit": None,
            "samples": None,
            "chat_template": None,
            "system_instruction": None,
            "batch_size": 8,
            "device": "cpu",
            "image": None,
            "task_sources": [],
        },
        "timings": {"started": 1.0e9, "ended": 1.0e9 + 12.5, "seconds": 12.5, "phases": {"evaluating": 9.0}},
        "files": {"logs": ["logs/stderr.log"]},
        "equivalent_command": ["lm-eval", "run", "--model", "hf"],
    } | changes


def suite() -> Data:
    """Return the document of a run over every kind of task."""
    return document(
        {
            "tiny_mc": task({"acc,none": metric(0.85), "acc_norm,none": metric(0.875, stderr=None)}),
            "tiny_gen": task(
                {"exact_match,strict": metric(0.7), "exact_match,flexible": metric(0.75)}, output_type="generate_until"
            ),
            "tiny_ppl": task({"word_perplexity,none": metric(12.5, higher=False, stderr=None)}),
            "tiny_group": group({"acc,none": metric(0.6, n=240)}, ["tiny_a", "tiny_b"]),
            "tiny_a": task({"acc,none": metric(0.5)}),
            "tiny_b": task({"acc,none": metric(0.7)}),
        }
    )


def failed(**changes: Any) -> Data:
    """Return the document of a run that broke off after one of its tasks."""
    ending = {"reason": "Failed", "cause": "out_of_memory", "message": "CUDA out of memory"}
    return document(**(ending | changes))


def result(tasks: Data | None = None, **changes: Any) -> EvalResult:
    return EvalResult.parse(document(tasks, **changes))


def table(rows: list[Data]) -> bytes:
    """Return a score table."""
    return gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode())


def score(doc_id: int, **changes: Any) -> Data:
    return {
        "doc_id": doc_id,
        "doc_hash": sha(f"doc {doc_id}"),
        "prompt_hash": sha(f"prompt {doc_id}"),
        "target_hash": sha(f"target {doc_id}"),
        "filter": "none",
        "metrics": {"acc": 1.0, "acc_norm": 0.0},
        "response_hash": None,
        "loglikelihoods": [-1.5, -2.25],
    } | changes


def write_run(root: Path, data: Data) -> RunDir:
    """Write a run directory as an ended driver leaves it: kept files, working files, marker."""
    run = RunDir(root)
    for directory in (run.task("tiny_mc"), run.logs, run.scratch):
        directory.mkdir(parents=True)
    run.result.write_bytes(dump(data))
    (run.task("tiny_mc") / "scores.jsonl.gz").write_bytes(table([score(n) for n in range(3)]))
    (run.logs / "stderr.log").write_bytes(b"lmeval: done\n")
    (run.scratch / "evaluation.json").write_bytes(b"{}")
    (run.logs / "core.dump").write_bytes(b"not kept")
    run.status.write_bytes(b"{}")
    mark(run, data["run_id"])
    return run


def mark(run: RunDir, run_id: str, kept: tuple[str, ...] = ("result.json", "scores.jsonl.gz", "stderr.log")) -> None:
    """Write the marker over what is there now."""
    files = {
        path.relative_to(run.root).as_posix(): {
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "bytes": path.stat().st_size,
        }
        for path in sorted(run.root.rglob("*"))
        if path.name in kept
    }
    (run.root / MARKER_NAME).write_bytes(dump({"protocol": PROTOCOL, "run_id": run_id, "files": files}))
