"""The gate operator: the verdict is on the record before the DAG stops."""

from __future__ import annotations

import json

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException

from airflow_provider_lmeval import wire
from airflow_provider_lmeval.driver import outcome
from airflow_provider_lmeval.errors import GateError
from airflow_provider_lmeval.operators.gate import LMEvalGateOperator
from airflow_provider_lmeval.store import Store
from tests.support.context import context
from tests.support.scripts import GOLDEN

DOCUMENT = json.loads(GOLDEN.read_text())
TASK, METRIC = next((name, key) for name, task in DOCUMENT["tasks"].items() for key in task["metrics"])
VALUE = DOCUMENT["tasks"][TASK]["metrics"][METRIC]["value"]
LIMITED = {"allow_limit": True} if DOCUMENT["config"].get("limit") is not None else {}
PASSING = {"task": TASK, "metric": METRIC, "floor": VALUE - 0.01, **LIMITED}
FAILING = {"task": TASK, "metric": METRIC, "floor": VALUE + 0.01, **LIMITED}


@pytest.fixture
def stored(tmp_path) -> str:
    """URI of the golden result in a store."""
    run_dir = wire.RunDir(tmp_path / "run")
    for path in [DOCUMENT["tasks"][t].get(k) for t in DOCUMENT["tasks"] for k in ("scores", "samples")]:
        if path:
            (run_dir.root / path).parent.mkdir(parents=True, exist_ok=True)
            (run_dir.root / path).write_bytes(b"x")
    for path in DOCUMENT["files"].get("logs", []):
        (run_dir.root / path).parent.mkdir(parents=True, exist_ok=True)
        (run_dir.root / path).write_bytes(b"x")
    run_dir.root.mkdir(exist_ok=True)
    outcome.write(run_dir, DOCUMENT)
    store = Store(tmp_path / "store")
    store.put_run(run_dir)
    return store.uri(DOCUMENT["run_id"])


def gate(**fields: object) -> LMEvalGateOperator:
    return LMEvalGateOperator(**{"task_id": "gate", "rules": [PASSING]} | fields)


def test_a_passing_model_goes_on(stored: str) -> None:
    ctx = context()
    verdict = gate(candidate=stored).execute(ctx)
    assert verdict["outcome"] == "PASS"
    assert ctx["ti"].xcoms["return_value"] == verdict


def test_the_output_of_an_evaluation_is_evidence(stored: str) -> None:
    assert gate(candidate={"result_uri": stored, "reason": "Succeeded"}).execute(context())["outcome"] == "PASS"


@pytest.mark.parametrize(("on_fail", "kind"), [("fail", AirflowFailException), ("skip", AirflowSkipException)])
def test_a_failing_model_stops_the_dag_and_leaves_the_verdict(stored: str, on_fail: str, kind: type[Exception]) -> None:
    ctx = context()
    with pytest.raises(kind, match=TASK):
        gate(candidate=stored, rules=[FAILING], on_fail=on_fail).execute(ctx)
    assert ctx["ti"].xcoms["return_value"]["outcome"] == "FAIL"


@pytest.mark.parametrize("candidate", [None, "", {"result_uri": None}, "/no/such/result", {"other": 1}])
def test_evidence_that_is_not_there_is_an_error_and_never_a_pass(candidate: object) -> None:
    ctx = context()
    with pytest.raises(AirflowFailException, match="verdict ERROR"):
        gate(candidate=candidate).execute(ctx)
    assert ctx["ti"].xcoms["return_value"]["outcome"] == "ERROR"


def test_wrong_rules_are_found_when_the_dag_is_parsed(stored: str) -> None:
    with pytest.raises(GateError, match="floor"):
        gate(candidate=stored, rules=[{"task": TASK, "metric": METRIC, "flor": 0.5}])
    with pytest.raises(GateError, match="on_fail"):
        gate(candidate=stored, on_fail="ignore")


def test_rules_may_be_yaml_or_come_from_a_template(stored: str) -> None:
    text = f"rules: [{json.dumps(PASSING)}]"
    assert gate(candidate=stored, rules=text).execute(context())["outcome"] == "PASS"
    assert gate(candidate=stored, rules="{{ params.rules }}").rules == "{{ params.rules }}"
