"""What translating an LMEvalJob costs, and what validating specs costs: a scheduler does both while it parses DAG files.

The peer is PyYAML's ``safe_load`` of the same manifest, in the same process: whoever has the manifest has paid that already.
Of the manifests one is typical and one has every field of the CRD. The best of several rounds, since other work on the
machine only ever adds. One JSON line; fails above a limit, which is for the larger manifest too.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import yaml

from airflow_provider_lmeval.plan.lmevaljob import read_lmevaljob, read_one, write_lmevaljob
from airflow_provider_lmeval.spec import EvalSpec
from tests.support.lmevaljobs import DATA

TRANSLATE_LIMIT_MS = 5.0
VALIDATE_LIMIT_S = 2.0
SPECS = 1_000
ROUNDS = 7


def seconds(work: Callable[[], Any], times: int) -> float:
    """Return what one call takes, the best round's mean."""
    found = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for _ in range(times):
            work()
        found.append((time.perf_counter() - started) / times)
    return min(found)


def measure(name: str) -> dict[str, float]:
    """Return milliseconds for one manifest of the test data."""
    text = (DATA / f"{name}.yaml").read_text(encoding="utf-8")
    data = yaml.safe_load(text)
    found = read_lmevaljob(data)
    work: dict[str, Callable[[], Any]] = {
        "read_ms": lambda: read_lmevaljob(data),
        "write_ms": lambda: write_lmevaljob(found.spec, found.job),
        "from_text_ms": lambda: read_one(text),
        "safe_load_ms": lambda: yaml.safe_load(text),
    }
    return {key: round(seconds(call, 10) * 1000, 3) for key, call in work.items()}


def validate() -> float:
    """Return the seconds that validating a thousand different specs takes."""
    data = read_lmevaljob(yaml.safe_load((DATA / "mistral-full.yaml").read_text(encoding="utf-8"))).spec.to_data()
    specs = [data | {"limit": number + 1} for number in range(SPECS)]
    return seconds(lambda: [EvalSpec.parse(each) for each in specs], 1)


def main() -> int:
    manifests = {name: measure(name) for name in ("mistral-full", "everything")}
    typical, validated = manifests["mistral-full"], validate()
    worst = max(each[key] for each in manifests.values() for key in ("read_ms", "write_ms", "from_text_ms"))
    ratio = round(typical["from_text_ms"] / typical["safe_load_ms"], 3)
    limits = {"translate_limit_ms": TRANSLATE_LIMIT_MS, "validate_limit_s": VALIDATE_LIMIT_S}
    figures = {"translate_ms": worst, "validate_1000_s": round(validated, 4), "ratio_to_safe_load": ratio}
    print(json.dumps({"bench": "spec", **figures, **limits, "manifests": manifests}))
    return int(worst > TRANSLATE_LIMIT_MS or validated > VALIDATE_LIMIT_S)


if __name__ == "__main__":
    sys.exit(main())
