"""Evidence of other tools, written as they write it: small, complete, and easy to spoil in one place."""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parents[1] / "data" / "evidence"
"""Files as other tools left them: ``lm_eval/``, ``nemo/``, ``nemo_bundle/``, ``evalhub/``."""
Data = dict[str, Any]
TIME = "2026-03-01T12-00-00.000001"


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def sample(doc_id: int, *, right: bool = True, name: str = "quiz", **changes: Any) -> Data:
    """Return a row of a multiple-choice task's samples file."""
    likelihoods = ("-0.5", "-2.25") if right else ("-2.25", "-0.5")
    answers = [[likelihoods[0], str(right)], [likelihoods[1], str(not right)]]
    return {
        "doc_id": doc_id,
        "doc": {"question": f"{name} {doc_id}"},
        "target": "0",
        "arguments": {"gen_args_0": {"arg_0": f"{name} {doc_id}", "arg_1": " yes"}},
        "resps": [[answer] for answer in answers],
        "filtered_resps": answers,
        "filter": "none",
        "metrics": ["acc"],
        "doc_hash": sha(f"doc {name} {doc_id}"),
        "prompt_hash": sha(f"prompt {name} {doc_id}"),
        "target_hash": sha("0"),
        "acc": 1.0 if right else 0.0,
    } | changes


def samples(n: int, wrong: int = 0, name: str = "quiz") -> list[Data]:
    """Return the rows of a task of which the first documents are answered wrong."""
    return [sample(doc_id, right=doc_id >= wrong, name=name) for doc_id in range(n)]


def results(tasks: dict[str, list[Data]], **config: Any) -> Data:
    """Return a results file over tasks with the metric ``acc``.

    :param config: changes to its ``config``.
    """
    counts = {name: len({row["doc_id"] for row in rows}) for name, rows in tasks.items()}
    return {
        "results": {name: scores(name, rows) for name, rows in tasks.items()},
        "group_subtasks": {name: [] for name in tasks},
        "configs": {
            name: {
                "task": name,
                "dataset_path": "json",
                "output_type": "multiple_choice",
                "num_fewshot": 0,
                "metadata": {"version": 1.0},
            }
            for name in tasks
        },
        "versions": dict.fromkeys(tasks, 1.0),
        "n-shot": dict.fromkeys(tasks, 0),
        "higher_is_better": {name: {"acc": True} for name in tasks},
        "n-samples": {name: {"original": n, "effective": n} for name, n in counts.items()},
        "config": {
            "model": "hf",
            "model_args": {"pretrained": "org/model", "dtype": "float32"},
            "model_num_parameters": 1000,
            "model_dtype": "torch.float32",
            "model_revision": "main",
            "model_sha": "c0ffee",
            "batch_size": "8",
            "batch_sizes": [],
            "device": "cpu",
            "use_cache": None,
            "limit": None,
            "bootstrap_iters": 1000,
            "gen_kwargs": {},
            "random_seed": 0,
            "numpy_seed": 1234,
            "torch_seed": 1234,
            "fewshot_seed": 1234,
        }
        | config,
        "date": 1.7e9,
        "lm_eval_version": "0.4.13",
        "transformers_version": "5.0.0",
        "task_hashes": {name: task_hash(rows) for name, rows in tasks.items()},
        "model_source": "hf",
        "model_name": "org/model",
        "model_name_sanitized": "org__model",
        "system_instruction": None,
        "system_instruction_sha": None,
        "fewshot_as_multiturn": None,
        "chat_template": None,
        "chat_template_sha": None,
        "total_evaluation_time_seconds": "12.5",
    }


def scores(name: str, rows: list[Data]) -> Data:
    mean = sum(row["acc"] for row in rows) / len(rows)
    stderr = (mean * (1 - mean) / (len(rows) - 1)) ** 0.5 if len(rows) > 1 else "N/A"
    return {"name": name, "alias": name, "sample_len": len(rows), "acc,none": mean, "acc_stderr,none": stderr}


def task_hash(rows: list[Data]) -> str:
    return sha("".join(row["doc_hash"] + row["prompt_hash"] + row["target_hash"] for row in rows))


def write_output(
    place: Path, tasks: dict[str, list[Data]], *, time: str = TIME, model: str = "org__model", **config: Any
) -> Path:
    """Write a directory as ``lm-eval run --output_path PLACE --log_samples`` does, and return its results file."""
    directory = place / model
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"results_{time}.json"
    path.write_text(json.dumps(results(tasks, **config), indent=2))
    for name, rows in tasks.items():
        write_samples(directory / f"samples_{name}_{time}.jsonl", rows)
    return path


def write_samples(path: Path, rows: list[Data]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


JOB: Data = {
    "resource": {"id": "job-1", "tenant": "team", "created_at": "2026-03-01T12:00:00Z"},
    "name": "nightly",
    "model": {"url": "http://vllm:8000/v1", "name": "granite"},
    "benchmarks": [
        {
            "id": "arc_easy",
            "provider_id": "lm_evaluation_harness",
            "primary_score": {"metric": "acc"},
            "parameters": {"num_fewshot": 3},
        },
        {
            "id": "latency",
            "provider_id": "guidellm",
            "primary_score": {"metric": "ttft_ms", "lower_is_better": True},
        },
    ],
    "status": {
        "state": "completed",
        "message": {"message": "Evaluation job is completed", "message_code": "evaluation_job_completed"},
        "benchmarks": [{"id": "arc_easy", "provider_id": "lm_evaluation_harness", "status": "completed"}],
    },
    "results": {
        "benchmarks": [
            {
                "id": "arc_easy",
                "provider_id": "lm_evaluation_harness",
                "benchmark_index": 0,
                "metrics": {"arc_easy.acc": 0.71, "arc_easy.acc_norm": 0.66},
            },
            {"id": "latency", "provider_id": "guidellm", "benchmark_index": 1, "metrics": {"ttft_ms": 41.5}},
        ]
    },
}
"""The resource of an EvalHub job."""

REPORT: Data = {
    "id": "job-1",
    "benchmark_id": "arc_easy",
    "model_name": "granite",
    "results": [
        {
            "metric_name": "arc_easy.acc",
            "metric_value": 0.71,
            "metric_type": "float",
            "num_samples": 2376,
            "metadata": {"task": "arc_easy", "metric": "acc", "filter": "none", "stderr": 0.0093},
        }
    ],
    "overall_score": 0.71,
    "num_examples_evaluated": 2376,
    "duration_seconds": 412.0,
    "evaluation_metadata": {"framework": "lm-evaluation-harness", "benchmark_config": {"num_fewshot": 3}},
}
"""What an EvalHub adapter reports of one benchmark."""


def job(**changes: Any) -> Data:
    return copy.deepcopy(JOB) | changes


def report(**changes: Any) -> Data:
    return copy.deepcopy(REPORT) | changes
