"""Our driver against ``lm-eval run``: the same tiny model and tasks, whole processes, and the same scores.

Most of a small evaluation is start-up, and a gate evaluates small things often; so the driver has to be clearly faster, and
a second suite in the same run nearly free. Runs are paired and alternate, because machines drift; each pair gives one ratio
and the median counts. Every document's score is compared: speed that changes one fails.

Prints one JSON line. Exit status 1: scores differ, or a goal is missed.
"""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from airflow_provider_lmeval.wire import RunDir, dump
from tests.support.worker import NOT_CATALOGUED, environment, lm_eval_run, tiny_request

SUITE = ("tiny_mc", "tiny_gen", "tiny_ppl")
SECOND_SUITE = ("tiny_fewshot", "tiny_group")
PAIRS = 4
GOAL_RATIO = 0.6
GOAL_SECOND_SUITE_S = 1.0

Scores = dict[tuple[str, int, str], dict[str, Any]]


def main() -> int:
    """Measure, compare, print, and return the exit status."""
    with tempfile.TemporaryDirectory(prefix="bench-driver-") as directory:
        root = Path(directory)
        measure(root / "warm-up", theirs_first=True)  # datasets prepared, files in memory: for both sides
        rounds = [measure(root / str(number), theirs_first=number % 2 == 0) for number in range(PAIRS)]
    ratio = median(ours / theirs for ours, theirs, _ in rounds)
    second = median(both - ours for ours, _, both in rounds)
    ours_s, theirs_s = median(row[0] for row in rounds), median(row[1] for row in rounds)
    line = {"bench": "driver", "ratio": ratio, "ours_s": ours_s, "lm_eval_s": theirs_s, "second_suite_s": second}
    print(json.dumps({key: round(value, 3) if isinstance(value, float) else value for key, value in line.items()}))
    return int(ratio > GOAL_RATIO or second > GOAL_SECOND_SUITE_S)


def measure(place: Path, *, theirs_first: bool) -> tuple[float, float, float]:
    """Return the seconds of our driver, of ``lm-eval run``, and of our driver with a second suite.

    :param place: a directory to make.
    :param theirs_first: who begins; it takes turns, because a busy machine is slower afterwards.
    :raises SystemExit: the scores differ.
    """
    place.mkdir()
    runs: list[Callable[[], tuple[dict[str, Any], Scores, float]]] = [
        lambda: theirs(place / "theirs"),
        lambda: ours(place / "ours", SUITE),
        lambda: ours(place / "both", SUITE + SECOND_SUITE),
    ]
    done = [run() for run in (runs if theirs_first else reversed(runs))]
    (their_metrics, their_scores, theirs_s), (metrics, scores, ours_s), (*_, both_s) = (
        done if theirs_first else done[::-1]
    )
    if metrics != their_metrics or scores != their_scores:
        sys.exit(f"the scores differ from lm-eval's:\n{metrics}\n{their_metrics}")
    shutil.rmtree(place)
    return ours_s, theirs_s, both_s


def ours(place: Path, tasks: tuple[str, ...]) -> tuple[dict[str, Any], Scores, float]:
    """Run the driver, supervisor and all, and return its metrics, scores and seconds."""
    run = RunDir(place)
    place.mkdir()
    request = tiny_request(*tasks, **NOT_CATALOGUED, evaluate={"log_samples": True})
    run.request.write_bytes(dump(request.to_json()))
    command = [sys.executable, "-m", "airflow_provider_lmeval.driver", str(run.request)]
    started = time.monotonic()
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    seconds = time.monotonic() - started
    if done.returncode:
        sys.exit(f"our driver failed:\n{done.stderr[-4000:]}")
    found = json.loads(run.result.read_bytes())["tasks"]
    scores: Scores = {}
    for name in tasks:
        table = run.root / found[name]["scores"] if found[name]["scores"] else None
        for line in gzip.decompress(table.read_bytes()).splitlines() if table else []:
            row = json.loads(line)
            scores[name, row["doc_id"], row["filter"]] = row["metrics"]
    values = {name: {key: metric["value"] for key, metric in found[name]["metrics"].items()} for name in tasks}
    return values, scores, seconds


def theirs(place: Path) -> tuple[dict[str, Any], Scores, float]:
    """Run lm-eval's own command and return its metrics, scores and seconds."""
    started = time.monotonic()
    results, samples = lm_eval_run(place, tasks=",".join(SUITE))
    seconds = time.monotonic() - started
    values = {
        name: {key: value for key, value in results["results"][name].items() if "," in key and "_stderr," not in key}
        for name in SUITE
    }
    scores: Scores = {
        (name, row["doc_id"], row["filter"]): {metric: row[metric] for metric in row["metrics"]}
        for name, rows in samples.items()
        for row in rows
    }
    return values, scores, seconds


if __name__ == "__main__":
    sys.exit(main())
