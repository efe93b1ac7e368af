"""What tests of LMEvalJobs share: a Role, results as the operator finds them, and a task's try from start to end."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_lmeval.plan import run_id
from airflow_provider_lmeval.spec import EvalSpec
from tests.kube import KubeServer, Rule
from tests.kube.custom import LMEVALJOBS
from tests.kube_backend.acts import Worker
from tests.kube_backend.conftest import NAMESPACE, Airflow, context, defer, finish, fire, spec

PAGE = (Path(__file__).parents[3] / "docs" / "lmevaljob.md").read_text(encoding="utf-8")
RUN = run_id("dag", "manual__1", "evaluate", -1, 0, EvalSpec.parse(spec()).content_hash)
GROUP = "trustyai.opendatahub.io"


def results(pretrained: str = "/models/tiny", **scores: float) -> str:
    """Return what the operator finds in lm-eval's result file."""
    tasks = scores or {"arc_easy": 0.9}
    return json.dumps(
        {
            "results": {
                task: {"alias": task, "acc,none": value, "acc_stderr,none": 0.01} for task, value in tasks.items()
            },
            "configs": {task: {"task": task, "output_type": "multiple_choice"} for task in tasks},
            "versions": dict.fromkeys(tasks, 1.0),
            "n-shot": dict.fromkeys(tasks, 0),
            "n-samples": {task: {"original": 500, "effective": 500} for task in tasks},
            "higher_is_better": {task: {"acc": True} for task in tasks},
            "config": {"model": "hf", "model_args": f"pretrained={pretrained}", "batch_size": "8", "limit": None},
            "lm_eval_version": "0.4.13",
        }
    )


def role() -> list[Rule]:
    """Return the Role that the page asks for: no test here has more rights than that."""
    (text,) = re.findall(r"```yml\n(.*?)```", PAGE, re.DOTALL)
    rules = yaml.safe_load(text)["rules"]
    return [
        Rule(tuple(rule["verbs"]), tuple(rule["resources"]), namespaces=(NAMESPACE,), groups=tuple(rule["apiGroups"]))
        for rule in rules
    ]


def without(*verbs: str) -> list[Rule]:
    """Return the Role without some verbs on LMEvalJobs."""

    def allowed(rule: Rule) -> tuple[str, ...]:
        return tuple(verb for verb in rule.verbs if rule.resources != ("lmevaljobs",) or verb not in verbs)

    return [Rule(allowed(rule), rule.resources, rule.namespaces, rule.groups) for rule in role()]


def jobs(server: KubeServer) -> list[dict[str, Any]]:
    return server.all(LMEVALJOBS, NAMESPACE)


def state(server: KubeServer) -> str | None:
    found = jobs(server)
    return (found[0].get("status") or {}).get("state") if found else None


def foreign(server: KubeServer) -> dict[str, Any]:
    job = {
        "model": "hf",
        "modelArgs": [{"name": "pretrained", "value": "/models/tiny"}],
        "taskList": {"taskNames": ["arc_easy"]},
    }
    meta = {"name": "theirs", "namespace": NAMESPACE}
    return server.create(
        {"apiVersion": f"{GROUP}/v1alpha1", "kind": "LMEvalJob", "metadata": meta, "spec": job}, LMEVALJOBS
    )


def play(
    airflow: Airflow, during: Any = None, *, within_s: float = 20, **fields: Any
) -> tuple[dict[str, Any], BaseException | None]:
    """Execute, wait, resume; return what is in XCom, and what the task raised."""
    task, ctx = airflow.operator(**fields), context()
    deferral = defer(task, ctx)
    worker = Worker(during or (lambda: None))
    event = json.loads(json.dumps(fire(deferral, within_s)))
    worker.join()
    try:
        finish(task, ctx, deferral, event)
    except AirflowException as error:
        return ctx["ti"].xcoms["return_value"], error
    return ctx["ti"].xcoms["return_value"], None


class Shown:
    """What tasks and triggers have written to their logs so far, which tests see on standard output."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys, self._text = capsys, ""

    @property
    def text(self) -> str:
        self._text += self._capsys.readouterr().out
        return self._text
