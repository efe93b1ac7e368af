"""``make demo``: the whole story under a real Airflow, with an ending a person can check.

Runs ``post_training_gate`` twice side by side, once with a candidate that deserves promotion and once with one that
does not, shows what happens meanwhile and where the gates' reports are, and compares the outcome with what must come out.
Only the public REST API is asked, and the production link and the reports looked at. Exit status 0 means: promoted and
blocked, as they should be.
"""

from __future__ import annotations

import json
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.support.airflow_env import ROOT, AirflowEnv
from tests.support.demo_watch import Watch

DAG = "post_training_gate"
HOME = ROOT / "build" / "demo"
REPORT = HOME / "report.json"
CANDIDATES = {"promoted": "good", "blocked": "undertrained"}
WIDTH = 130
"""Columns of the table where the output is no terminal, or a narrow one."""
DEADLINE = 900.0
"""Seconds after which the demo gives up."""
EXPECTED = {
    "promoted": {"run": "success", "gate": "success", "promote": "success", "verdict": "PASS"},
    "blocked": {"run": "failed", "gate": "failed", "promote": "upstream_failed", "verdict": "FAIL"},
}


def main() -> int:
    """Run the demo and return its exit status."""
    started = time.monotonic()
    console = Console(highlight=False, soft_wrap=True)
    console.width = max(console.width, WIDTH)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    shutil.rmtree(HOME, ignore_errors=True)
    settings = {"AIRFLOW__LMEVAL__POLL_INTERVAL": "1", "LMEVAL_DEMO_DIR": str(HOME / "models")}
    console.print(f"Starting Airflow (scheduler, triggerer, API server, DAG processor) in {HOME} …")
    with AirflowEnv(HOME / "airflow", ROOT / "dags", settings=settings) as airflow:
        console.print(f"Airflow is up at {airflow.url} after {time.monotonic() - started:.0f} s.")
        ended = _run_both(airflow, console, started + DEADLINE)
    problems = [text for name, run in ended.items() for text in _problems(name, run)]
    report = {name: _summary(run) for name, run in ended.items()} | {"seconds": round(time.monotonic() - started, 1)}
    REPORT.write_text(json.dumps(report, indent=2) + "\n")
    console.print(_table(ended))
    for name, run in ended.items():
        console.print(f"Why it was {name}, with every changed answer: {run['report'] or 'no report'}")
    console.print(f"Production: {_production() or 'nothing'}\nAll of this as JSON: {REPORT}  ({report['seconds']} s)")
    for problem in problems:
        console.print(f"[red]not as expected:[/] {problem}")
    return 1 if problems else 0


def _run_both(airflow: AirflowEnv, console: Console, deadline: float) -> dict[str, dict[str, Any]]:
    api = airflow.api
    runs = {name: api.trigger(DAG, {"candidate": candidate}) for name, candidate in CANDIDATES.items()}
    for name, run_id in runs.items():
        console.print(f"Started {DAG} with a candidate to be {name}: {run_id}")
    try:
        Watch(api, DAG, {CANDIDATES[name]: run_id for name, run_id in runs.items()}, console).until_ended(deadline)
    except TimeoutError as error:
        console.print(airflow.log_tails(), markup=False)
        sys.exit(f"error: {error} after {DEADLINE:.0f} s; Airflow's logs are in {airflow.home / 'logs'}")
    ended = {name: _outcome(airflow, run_id) for name, run_id in runs.items()}
    for name, run in ended.items():
        if _problems(name, run):
            _explain(airflow, run, console)
    return ended


def _outcome(airflow: AirflowEnv, run_id: str) -> dict[str, Any]:
    api = airflow.api
    return {
        "run_id": run_id,
        "state": api.run_state(DAG, run_id),
        "tasks": {name: task["state"] for name, task in api.tasks(DAG, run_id).items()},
        "verdict": api.xcom(DAG, run_id, "gate") or {},
        "report": api.xcom(DAG, run_id, "gate", "report_uri"),
        "candidate": api.xcom(DAG, run_id, "evaluate_candidate") or {},
        "baseline": api.xcom(DAG, run_id, "evaluate_baseline") or {},
        "model": api.xcom(DAG, run_id, "train_candidate"),
    }


def _problems(name: str, run: dict[str, Any]) -> list[str]:
    found = {"run": run["state"], "verdict": run["verdict"].get("outcome")}
    found |= {task: run["tasks"].get(task) for task in ("gate", "promote")}
    wrong = [
        f"{name}: {what} is {found[what]}, must be {must}"
        for what, must in EXPECTED[name].items()
        if found[what] != must
    ]
    in_production = _production() == run["model"]
    if in_production != (name == "promoted"):
        wrong.append(f"{name}: {run['model']} is {'' if in_production else 'not '}in production")
    if not run["report"] or run["verdict"].get("outcome", "none") not in Path(run["report"]).read_text("utf-8"):
        wrong.append(f"{name}: the gate has left no report of its verdict")
    if name == "blocked" and not run["verdict"].get("reasons"):
        wrong.append("blocked: the verdict gives no reason")
    return wrong


def _summary(run: dict[str, Any]) -> dict[str, Any]:
    return {
        "verdict": run["verdict"].get("outcome"),
        "reasons": run["verdict"].get("reasons", []),
        "report": run["report"],
        "run_id": run["run_id"],
        "metrics": run["candidate"].get("results", {}),
        "baseline": run["baseline"].get("results", {}),
        "result_uri": run["candidate"].get("result_uri"),
        "tasks": run["tasks"],
    }


def _production() -> str | None:
    link = HOME / "models" / "production"
    return str(link.resolve()) if link.is_symlink() else None


def _table(ended: dict[str, dict[str, Any]]) -> Table:
    table = Table(title=f"{DAG}: held-out questions", title_justify="left", show_lines=True)
    for column in ("model", "task", "metric", "value ± stderr", "baseline", "verdict", "why"):
        table.add_column(column, justify="right" if column in ("value ± stderr", "baseline") else "left")
    for name, run in ended.items():
        outcome = run["verdict"].get("outcome", "none")
        verdict = f"[{'green' if outcome == 'PASS' else 'red'}]{outcome}[/]"
        rows = _scores(run) or [["-"] * 4 + ["\n".join(run["verdict"].get("reasons", []))]]
        for *cells, why in rows:
            table.add_row(CANDIDATES[name], *cells, verdict, why)
    return table


def _scores(run: dict[str, Any]) -> list[list[str]]:
    """Return task, metric, value, baseline and what the gate says about it, for each score of the candidate."""
    rows = []
    for task, scores in run["candidate"].get("results", {}).items():
        before = run["baseline"].get("results", {}).get(task, {})
        for key in (key for key in scores if "_stderr," not in key):
            metric, _, filter_name = key.partition(",")
            stderr = scores.get(f"{metric}_stderr,{filter_name}")
            value = f"{_number(scores[key])} ± {_number(stderr)}"
            rows.append([task, metric, value, _number(before.get(key)), _why(run, task, metric)])
    return rows


def _why(run: dict[str, Any], task: str, metric: str) -> str:
    checks = run["verdict"].get("checks", [])
    return "\n".join(c["message"] for c in checks if c["task"] == task and str(c["metric"]).partition(",")[0] == metric)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _explain(airflow: AirflowEnv, run: dict[str, Any], console: Console) -> None:
    """Print the logs of the tasks that did not succeed."""
    for task, state in run["tasks"].items():
        if state not in ("success", "upstream_failed", "skipped"):
            console.print(f"--- log of {task} ({state}) in {run['run_id']}")
            for line in airflow.api.log(DAG, run["run_id"], task)[-60:]:
                console.print(line, markup=False)


if __name__ == "__main__":
    sys.exit(main())
