"""What a gate costs: MMLU's 57 subjects with 14,042 documents a side, and a task with a million.

A gate runs in an Airflow worker beside others, so its memory counts as much as its time. Each case is a process of its
own that imports the gate, reads both results and their score tables from a store and decides; tables are written before,
and the process is asked for its own peak. One JSON line each; fails above the limits. The processor's time is compared, for
a gate has one thread, and the clock on the wall shows what else the machine is doing.
"""

from __future__ import annotations

import gzip
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from airflow_provider_lmeval.store import Store
from airflow_provider_lmeval.wire import RunDir
from tests.support.evidence import document, group, mark, metric, sha, task

SIZES = {
    "mmlu": {f"mmlu_subject_{at:02}": 246 + (at < 20) for at in range(57)},
    "million": {"huge": 1_000_000},
}
LIMITS = {"mmlu": (2.0, 300), "million": (20.0, 1000)}
"""Seconds, and MB."""
DISCORDANCE = 0.1

_GATE = """
import json, resource, sys, time
started = time.perf_counter()
from airflow_provider_lmeval.gate import RuleSet, decide
from airflow_provider_lmeval.store import open_result, score_reader
uris = dict(zip(("candidate", "baseline"), sys.argv[1:]))
sides = {side: open_result(uri) for side, uri in uris.items()}
readers = {side: score_reader(uri, sides[side]) for side, uri in uris.items()}
verdict = decide(RuleSet.parse("no_regression"), **sides, scores=lambda side, task: readers[side](task))
data = verdict.to_data()
seconds = time.perf_counter() - started
usage = resource.getrusage(resource.RUSAGE_SELF)
peak, cpu = usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime
documents = max(check["statistics"]["n"] for check in data["checks"])
print(json.dumps({"outcome": data["outcome"], "checks": len(data["checks"]), "documents": documents,
                  "wall_s": round(seconds, 2), "cpu_s": round(cpu, 2), "peak_mb": round(peak)}))
"""


def rows(name: str, n: int, side: str) -> Iterator[tuple[str, float]]:
    """Yield the lines of a score table, with what they scored; both sides agree on nine documents in ten."""
    shared, own = random.Random(name), random.Random(f"{name} {side}")
    for at in range(n):
        right = shared.random() < 0.7
        if own.random() < DISCORDANCE / 2:
            right = not right
        row = {
            "doc_id": at,
            "doc_hash": sha(f"{name} {at}"),
            "prompt_hash": sha(f"{name} prompt {at}"),
            "target_hash": sha(f"{name} target {at}"),
            "filter": "none",
            "metrics": {"acc": float(right)},
            "response_hash": sha(f"{name} {at} {side}"),
            "loglikelihoods": [-10 * own.random() for _ in range(4)],
        }
        yield json.dumps(row), float(right)


def store_run(place: Path, side: str, sizes: dict[str, int]) -> str:
    """Write a run with its tables and return its URI."""
    run = place / side
    tasks: dict[str, Any] = {}
    for name, n in sizes.items():
        relative = f"tasks/{name}/scores.jsonl.gz"
        (run / relative).parent.mkdir(parents=True)
        right = 0.0
        with gzip.open(run / relative, "wt", compresslevel=1) as stream:
            for line, value in rows(name, n, side):
                stream.write(line + "\n")
                right += value
        rate = right / n
        scores = metric(rate, n=n, stderr=(rate * (1 - rate) / (n - 1)) ** 0.5)
        tasks[name] = task({"acc,none": scores}, n=n, scores=relative)
    _add_group(tasks, sizes)
    run.mkdir(exist_ok=True)
    (run / "result.json").write_text(json.dumps(document(tasks, run_id=side, files={"logs": []})))
    mark(RunDir(run), side)
    return Store(place).uri(side)


def _add_group(tasks: dict[str, Any], sizes: dict[str, int]) -> None:
    n = sum(sizes.values())
    rate = sum(tasks[name]["metrics"]["acc,none"]["value"] * size for name, size in sizes.items()) / n
    tasks["suite"] = group({"acc,none": metric(rate, n=n)}, list(sizes)) | {
        "n_samples": {"original": n, "effective": n}
    }


def measure(name: str) -> dict[str, Any]:
    """Return what one case takes."""
    with tempfile.TemporaryDirectory() as place:
        uris = [store_run(Path(place), side, SIZES[name]) for side in ("candidate", "baseline")]
        done = subprocess.run([sys.executable, "-c", _GATE, *uris], capture_output=True, text=True, check=True)
    seconds, megabytes = LIMITS[name]
    found = json.loads(done.stdout)
    return {"bench": "gate_size", "case": name, **found, "limit_s": seconds, "limit_mb": megabytes}


def main() -> int:
    worst = 0
    for name in sys.argv[1:] or SIZES:
        found = measure(name)
        print(json.dumps(found), flush=True)
        worst |= int(found["cpu_s"] > found["limit_s"] or found["peak_mb"] > found["limit_mb"])
    return worst


if __name__ == "__main__":
    sys.exit(main())
