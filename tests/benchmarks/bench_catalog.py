"""What the catalogue costs: each task process that checks a spec reads it once and looks a few names up.

The peer is unpacking and parsing the same file with the standard library, which nobody who reads it can do without. The best
of several rounds, since other work on the machine only ever adds. One JSON line; fails above a limit.
"""

from __future__ import annotations

import gzip
import json
import sys
import time
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import airflow_provider_lmeval.catalog
from airflow_provider_lmeval.catalog import catalog
from airflow_provider_lmeval.catalog.load import DATA_FILE

LOOK_UP_LIMIT_MS = 50.0
SUGGEST_LIMIT_MS = 200.0
ROUNDS = 9


def milliseconds(work: Callable[[], Any]) -> float:
    """Return what the best round took."""
    found = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        found.append((time.perf_counter() - started) * 1000)
    return round(min(found), 3)


def main() -> int:
    packed = files(airflow_provider_lmeval.catalog).joinpath(DATA_FILE).read_bytes()
    parsed = milliseconds(lambda: json.loads(gzip.decompress(packed)))
    look_up = milliseconds(lambda: catalog.__wrapped__().find("hellaswag"))
    suggest = milliseconds(lambda: catalog().near("helaswag"))
    figures = {"cold_look_up_ms": look_up, "suggest_ms": suggest, "ratio_to_json_loads": round(look_up / parsed, 3)}
    limits = {"look_up_limit_ms": LOOK_UP_LIMIT_MS, "suggest_limit_ms": SUGGEST_LIMIT_MS}
    print(json.dumps({"bench": "catalog", **figures, **limits}))
    return int(look_up > LOOK_UP_LIMIT_MS or suggest > SUGGEST_LIMIT_MS)


if __name__ == "__main__":
    sys.exit(main())
