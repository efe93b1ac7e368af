"""What each public module adds to ``import airflow.sdk``, which every DAG file pays for anyway.

Airflow re-imports a DAG file in every task process; with twenty tasks starting at once on two cores, each second here is
ten. Every module is imported in a process of its own, after ``airflow.sdk``, with byte code in place; the median of several
rounds, the modules taking turns, keeps the machine's moods out. One JSON line; fails above the limit.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile

from tests.support.public_modules import public_modules

LIMIT_S = 0.15
ROUNDS = 5

_MEASURE = """
import importlib, sys, time
import airflow.sdk
started = time.perf_counter()
for name in sys.argv[1:]:
    importlib.import_module(name)
print(time.perf_counter() - started)
"""


def seconds(modules: list[str]) -> float:
    """Return what importing ``modules`` takes on top of ``airflow.sdk``, in seconds."""
    done = subprocess.run([sys.executable, "-c", _MEASURE, *modules], capture_output=True, text=True, check=True)
    return float(done.stdout)


def measure() -> dict[str, float]:
    """Return the median per module, and of all together under ``all``."""
    chosen = {name: [name] for name in public_modules()} | {"all": public_modules()}
    seconds(chosen["all"])  # writes byte code
    times = {name: [] for name in chosen}
    for _ in range(ROUNDS):
        for name, modules in chosen.items():
            times[name].append(seconds(modules))
    return {name: round(statistics.median(taken), 4) for name, taken in times.items()}


def main() -> int:
    with tempfile.TemporaryDirectory() as home:
        os.environ["AIRFLOW_HOME"] = home
        modules = measure()
    worst = max(modules.values())
    print(json.dumps({"bench": "import", "added_s": worst, "limit_s": LIMIT_S, "modules": modules}))
    return int(worst > LIMIT_S)


if __name__ == "__main__":
    sys.exit(main())
