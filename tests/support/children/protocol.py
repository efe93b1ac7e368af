"""What a scripted child needs to speak to the supervisor: events, the request on stdin, the files of a task."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from airflow_provider_lmeval.wire import RunDir, dump, file_digest, write_atomic

run = RunDir(Path(sys.argv[-1]))
arguments = sys.argv[1:-1]


def emit(event: str, **fields: Any) -> None:
    os.write(int(os.environ["LMEVAL_EVENTS_FD"]), json.dumps({"event": event, **fields}).encode() + b"\n")


def read_request() -> dict[str, Any]:
    return json.load(sys.stdin)


def document(name: str) -> dict[str, Any]:
    metrics = {"acc,none": {"value": 0.5, "stderr": None, "n": 4, "higher_is_better": True}}
    return {"kind": "task", "alias": name, "metrics": metrics}


def finish_task(name: str) -> None:
    directory = run.task(name)
    directory.mkdir(parents=True, exist_ok=True)
    write_atomic(directory / "scores.jsonl.gz", b"scores of " + name.encode())
    files = {"scores.jsonl.gz": file_digest(directory / "scores.jsonl.gz")}
    write_atomic(directory / "result.json", dump({"task": name, "document": document(name), "files": files}))
    emit("task", task=name)


def write_evaluation(tasks: list[str], **more: Any) -> None:
    documents = {name: document(name) for name in tasks}
    evaluation = {"tasks": documents, "versions": {"lm_eval": "0.4.13"}, **more}
    write_atomic(run.scratch / "evaluation.json", dump(evaluation))
