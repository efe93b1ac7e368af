"""A verdict on two evaluations whose texts were written by somebody who means no good."""

from __future__ import annotations

import json
from pathlib import Path

from airflow_provider_lmeval.gate import RuleSet, decide
from airflow_provider_lmeval.store.evidence import read_evidence, score_tables
from airflow_provider_lmeval.store.reports import make_report
from tests.support.foreign import Data, sample, write_output

HOSTILE = (
    "<script>alert(1)</script>\"'><img src=x onerror=alert(2)> `|*_ {{ 7*7 }} 日本語 \u202e\u05d0\u05d1 " + "x" * 300
)
NAMES = {"candidate": "org/<b>candidate</b>", "baseline": "org/production-7"}
RULES = {
    "rules": [
        {"task": "*", "metric": "acc", "pool": True, "max_drop": 0.05, "name": "suite"},
        {"task": "*", "metric": "acc", "floor": 0.8, "max_drop": 0.02},
        {"task": "gone", "metric": "acc", "floor": 0.5, "tier": "warn", "name": "of a task that is not there"},
    ]
}


def hostile(doc_id: int, *, right: bool, name: str) -> Data:
    request = {"arg_0": f"Question {doc_id} of {name}?\n{HOSTILE}\n```\nAnswer:"}
    choices = {f"gen_args_{n}": request | {"arg_1": said} for n, said in enumerate((" yes </pre>", " no & never"))}
    return sample(doc_id, right=right, name=name, arguments=choices)


def write_pair(place: Path) -> tuple[str, str]:
    """Write two evaluations as plain lm-eval output; return the candidate's and the baseline's directories."""
    for side, wrong in (("candidate", 90), ("baseline", 40)):
        tasks = {
            name: [hostile(n, right=n >= wrong * share, name=name) for n in range(400)]
            for name, share in (("quiz", 1.0), ("a_task_with_quite_a_long_name_of_its_own", 0.3), ("easy", 0.1))
        }
        time = f"2026-03-0{1 + wrong // 90}T12-00-00"
        path = write_output(place / side, tasks, time=time, model_sha=side)
        path.write_text(json.dumps(json.loads(path.read_text()) | {"model_name": NAMES[side]}))
    return str(place / "candidate"), str(place / "baseline")


def written(place: Path, name: str = "report.html") -> str:
    """Return the report of a gate over :func:`write_pair`."""
    candidate, baseline = map(read_evidence, write_pair(place))
    rules = RuleSet.parse(RULES)
    verdict = decide(rules, candidate.result, baseline.result, score_tables(candidate, baseline))
    return make_report(name, verdict, candidate, baseline)
