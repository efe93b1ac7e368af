"""How soon a pod ends after its evaluation, and how soon the scores are in XCom after that. A real Airflow, the test server.

``end_to_pod_end_s``: from the last document's answer, by the driver's own account of its phases, to the pod's final phase in
the API; aggregating, storing and the exit of lm-eval lie between. ``pod_end_to_xcom_s``: from there to XCom's
``return_value``. Airflow has to start a task process in between, which is ``task_start_s``: from the trigger's event to the
resumed task's first line. Medians of a few runs, one after the other.

Prints one JSON line. Exit status 1: a goal is missed.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

import tests.conftest  # noqa: F401 - an Airflow home of its own, before anything imports Airflow
from airflow_provider_lmeval.store import open_result
from tests.kube import Image, KubeServer
from tests.kube_backend.conftest import IMAGE, NAMESPACE, ROLE, connections
from tests.support.airflow_env import ROOT, AirflowEnv
from tests.support.tiny import tiny_model, tiny_tasks

RUNS = 3
DAG, TASK = "e2e_kubernetes", "evaluate"
GOAL_POD_S, GOAL_XCOM_S = 2.0, 5.0
AFTER_EVALUATING = ("aggregating", "saving")
WAIT_S = 300.0

Json = dict[str, Any]


def main() -> int:
    """Measure, print, and return the exit status."""
    image = Image(path=(Path(sys.executable).parent,), environment={"PYTHONPATH": str(ROOT)})
    with (
        tempfile.TemporaryDirectory(prefix="bench-pod-") as name,
        KubeServer({IMAGE: image}, namespaces=("default", NAMESPACE)) as server,
    ):
        home = Path(name)
        server.user("airflow", ROLE)
        with AirflowEnv(home, ROOT / "tests" / "airflow" / "dags", settings=connections(server, home)) as airflow:
            measure(airflow, server)  # everything once: the triggerer's first connections, files in memory
            rounds = [measure(airflow, server) for _ in range(RUNS)]
    found = {key: round(median(each[key] for each in rounds), 3) for key in rounds[0]}
    print(json.dumps({"bench": "pod", **found}))
    return int(
        found["end_to_pod_end_s"] > GOAL_POD_S or found["pod_end_to_xcom_s"] - found["task_start_s"] > GOAL_XCOM_S
    )


def measure(airflow: AirflowEnv, server: KubeServer) -> dict[str, float]:
    """Return the three times of one run, in seconds.

    :raises RuntimeError: the run failed.
    """
    api = airflow.api
    run = api.trigger(DAG, {"spec": spec()})
    server.wait(lambda: phases(server) == ["Succeeded"], WAIT_S)
    pod_end = time.time()
    if api.wait_run(DAG, run, WAIT_S) != "success":
        raise RuntimeError("\n".join(api.log(DAG, run, TASK)))
    server.wait(lambda: phases(server) == [], WAIT_S)
    timings = open_result(api.xcom(DAG, run, TASK)["result_uri"]).timings
    before = sum(seconds for phase, seconds in timings.phases.items() if phase not in AFTER_EVALUATING)
    fired, resumed, pushed = times(airflow, run)
    return {
        "end_to_pod_end_s": pod_end - (float(timings.started or 0) + before),
        "pod_end_to_xcom_s": pushed - pod_end,
        "task_start_s": resumed - fired,
    }


def times(airflow: AirflowEnv, run: str) -> tuple[float, float, float]:
    """Return when the trigger's event came, when the resumed task said its first word, and when its result was pushed."""
    task = f"dags/{DAG}/dagRuns/{run}/taskInstances/{TASK}"
    log = airflow.api.call(
        "GET", f"{task}/logs/1", headers={"Accept": "application/json"}, params={"full_content": True}
    )
    lines = [line for line in log["content"] if line.get("timestamp")]
    (fired,) = [posix(line["timestamp"]) for line in lines if "Trigger fired event" in line["event"]]
    resumed = max(posix(line["timestamp"]) for line in lines if "Pre Execute" in line["event"])  # the first was before
    pushed = airflow.api.call("GET", f"{task}/xcomEntries/return_value")["timestamp"]
    return fired, resumed, posix(pushed)


def posix(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def phases(server: KubeServer) -> list[str]:
    return [pod["status"].get("phase", "") for pod in server.pods(NAMESPACE)]


def spec() -> Json:
    """Return the spec of a small evaluation."""
    model = {"type": "hf", "pretrained": str(tiny_model()), "dtype": "float32"}
    return {"model": model, "tasks": ["tiny_mc"], "include_paths": [str(tiny_tasks())], "device": "cpu"}


if __name__ == "__main__":
    sys.exit(main())
