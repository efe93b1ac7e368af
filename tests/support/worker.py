"""Starts the driver's worker the way the supervisor does: request on stdin, events on a pipe, nothing inherited.

So that the worker can be tested, and lm-eval's own command run beside it, in the same environment.
"""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import gettempdir
from typing import IO, Any

from airflow_provider_lmeval.wire import Request, RunDir
from tests.support.tiny import tiny_model, tiny_tasks

ROOT = Path(__file__).resolve().parents[2]
OFFLINE = dict.fromkeys(("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_EVALUATE_OFFLINE", "TRANSFORMERS_OFFLINE"), "1")
PATIENCE_S = 120.0


def environment(**more: str) -> dict[str, str]:
    """Return what a worker or lm-eval needs, and nothing of this session."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    places = {"HF_HOME": str(ROOT / "build" / "hf"), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    return {**kept, **places, **OFFLINE, "DISABLE_MULTIPROC": "1", "TOKENIZERS_PARALLELISM": "false", **more}


def tiny_request(*tasks: str, **changes: Any) -> Request:
    """Return a request for tiny tasks and the trained tiny model, on the CPU in float32, eight at a time.

    :param changes: other fields of the request; ``evaluate`` and ``model_args`` are merged into the defaults.
    """
    evaluate = {"device": "cpu", "batch_size": 8, **changes.pop("evaluate", {})}
    model_args = {"pretrained": str(tiny_model()), "dtype": "float32", **changes.pop("model_args", {})}
    defaults = {"run_id": "test", "spec_hash": "0" * 64, "model": "hf", "include_paths": [str(tiny_tasks())]}
    defaults |= {"data_roots": [gettempdir()]}
    return Request(**{**defaults, "tasks": list(tasks), "model_args": model_args, "evaluate": evaluate, **changes})


NOT_CATALOGUED: dict[str, Any] = {"families": ["unitxt"], "catalog_version": "0.4.13"}
"""What ``plan/`` gives for tasks that are not in the catalogue: index next to nothing of lm-eval."""


def own_task(**changes: Any) -> dict[str, Any]:
    """Return the configuration of an inline task over the tiny data."""
    config = {
        "task": "own",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(tiny_tasks() / "head.jsonl")}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "Q: What colour is the {{thing}}?\nA:",
        "doc_to_choice": "choices",
        "doc_to_target": "answer",
    }
    return {**config, **changes}


@dataclass
class Worker:
    """A started worker; see :func:`start`.

    :param run: its run directory. :param events: what it has said so far.
    """

    run: RunDir
    process: subprocess.Popen[bytes]
    pipe: IO[bytes]
    events: list[dict[str, Any]] = field(default_factory=list)
    output: str = ""

    def wait_for(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Read events until one is wanted, and return it."""
        for event in self._read():
            if wanted(event):
                return event
        raise AssertionError(f"the worker ended without the event; it said {self.events[-3:]}\n{self.finish().output}")

    def finish(self) -> Worker:
        """Wait until it has ended."""
        for _ in self._read():
            pass
        self.process.wait(PATIENCE_S)
        self.output = self.run.root.joinpath("output.txt").read_text(errors="replace")
        self.pipe.close()
        return self

    def terminate(self) -> float:
        """Send SIGTERM and return the seconds until it has ended."""
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.finish()
        return time.monotonic() - started

    def kill(self) -> None:
        self.process.kill()
        self.finish()

    @property
    def status(self) -> int | None:
        return self.process.returncode

    @property
    def failure(self) -> tuple[str, str]:
        """Cause and message of the last event, which must be a failure."""
        assert self.events, self.output
        assert self.events[-1]["event"] == "failed", (self.events[-1], self.output)
        return self.events[-1]["cause"], self.events[-1]["message"]

    @property
    def evaluation(self) -> dict[str, Any]:
        """The child's part of the result document, which must be strict JSON."""
        assert self.status == 0, (self.events[-1:], self.output)
        return strict_json((self.run.scratch / "evaluation.json").read_text())

    @property
    def evaluated(self) -> list[str]:
        """Names of the tasks that were evaluated, in order."""
        return [event["task"] for event in self.events if event["event"] == "task"]

    def rows(self, task: str, table: str = "scores") -> list[dict[str, Any]]:
        """Return the rows of a task's ``scores`` or ``samples``."""
        lines = gzip.decompress((self.run.task(task) / f"{table}.jsonl.gz").read_bytes()).decode().splitlines()
        return [strict_json(line) for line in lines]

    def _read(self) -> Iterator[dict[str, Any]]:
        if not self.pipe.closed:
            for line in self.pipe:
                self.events.append(json.loads(line))
                yield self.events[-1]


def start(place: Path, request: Request, secrets: Iterable[str] = (), **more: str) -> Worker:
    """Start a worker.

    :param place: its run directory. :param secrets: values to redact. :param more: environment variables.
    """
    run = RunDir(place)
    run.scratch.mkdir(parents=True, exist_ok=True)
    theirs: int
    ours, theirs = os.pipe()
    with open(place / "output.txt", "ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "airflow_provider_lmeval.driver.worker", str(place)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env=environment(LMEVAL_EVENTS_FD=str(theirs), **more),
            cwd=run.scratch,
            pass_fds=(theirs,),
            start_new_session=True,
        )
    os.close(theirs)
    assert process.stdin
    process.stdin.write(json.dumps({"request": request.to_json(), "secrets": list(secrets)}).encode())
    process.stdin.close()
    return Worker(run, process, open(ours, "rb"))


def evaluate(place: Path, request: Request, secrets: Iterable[str] = (), **more: str) -> Worker:
    """Run a worker to its end; see :func:`start`."""
    return start(place, request, secrets, **more).finish()


def lm_eval_run(output: Path, *arguments: str, tasks: str, model_args: str | None = None) -> tuple[dict[str, Any], Any]:
    """Run lm-eval's own command on tiny tasks and return its results and its samples by task.

    :param output: an empty directory. :param arguments: further arguments. :param tasks: comma-separated.
    """
    command = [sys.executable, "-m", "lm_eval", "run", "--model", "hf", "--device", "cpu", "--batch_size", "8"]
    command += ["--model_args", model_args or f"pretrained={tiny_model()},dtype=float32"]
    command += ["--include_path", str(tiny_tasks()), "--tasks", tasks, "--output_path", str(output), "--log_samples"]
    done = subprocess.run([*command, *arguments], env=environment(), cwd=ROOT / "build", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    results = json.loads(next(output.glob("*/results_*.json")).read_text())
    samples = {}
    for task in results["configs"]:
        lines = next(output.glob(f"*/samples_{task}_*.jsonl")).read_text().splitlines()
        samples[task] = [json.loads(line) for line in lines]
    return results, samples


def strict_json(text: str) -> Any:
    """Decode JSON that holds neither NaN nor Infinity."""

    def refuse(token: str) -> None:
        raise AssertionError(f"{token} is not JSON")

    return json.loads(text, parse_constant=refuse)
