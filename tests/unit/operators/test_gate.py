"""The gate operator: the verdict is on the record before the DAG stops."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    DownstreamTasksSkipped,
)
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, task

from airflow_provider_lmeval import wire
from airflow_provider_lmeval.driver import outcome
from airflow_provider_lmeval.errors import GateError
from airflow_provider_lmeval.operators.decorator import gate_task
from airflow_provider_lmeval.operators.gate import LMEvalGateOperator
from airflow_provider_lmeval.store import Store
from airflow_provider_lmeval.store.promotion import JudgedBy
from tests.support import unavailable
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


def test_a_store_that_cannot_be_reached_may_be_there_at_the_next_try() -> None:
    unavailable.register()
    ctx = context()
    with pytest.raises(AirflowException, match=r"verdict ERROR: .*unavailable") as caught:
        gate(candidate="unavailable://ada:hunter22@bucket/results/run").execute(ctx)
    assert not isinstance(caught.value, AirflowFailException)
    assert ctx["ti"].xcoms["return_value"]["outcome"] == "ERROR"
    assert "hunter22" not in json.dumps(ctx["ti"].xcoms)


def test_wrong_rules_are_found_when_the_dag_is_parsed(stored: str) -> None:
    with pytest.raises(GateError, match="floor"):
        gate(candidate=stored, rules=[{"task": TASK, "metric": METRIC, "flor": 0.5}])
    with pytest.raises(GateError, match="on_fail"):
        gate(candidate=stored, on_fail="ignore")


def test_rules_may_be_yaml_or_come_from_a_template(stored: str) -> None:
    text = f"rules: [{json.dumps(PASSING)}]"
    assert gate(candidate=stored, rules=text).execute(context())["outcome"] == "PASS"
    assert gate(candidate=stored, rules="{{ params.rules }}").rules == "{{ params.rules }}"


def test_a_soft_gate_stops_nothing_and_leaves_the_verdict(stored: str) -> None:
    ctx = context()

    verdict = gate(candidate=stored, rules=[FAILING], on_fail="soft").execute(ctx)

    assert (verdict["outcome"], verdict["action"]) == ("FAIL", "block")
    assert ctx["ti"].xcoms["return_value"] == verdict


WAYS = {"allow": "promote", "ask": "approve", "block": ["hold", "tell"]}


def branching(stored: str, rule: dict, branches: dict) -> tuple[set[str], dict]:
    """Run a gate that branches in a DAG; return the tasks that are skipped, and the verdict."""
    with DAG("dag", schedule=None) as found:
        task = gate(candidate=stored, rules=[rule], on_fail="branch", branches=branches)
        task >> [EmptyOperator(task_id=name) for name in ("promote", "approve", "hold", "tell")]
    ctx = context(task_id="gate")
    ctx["ti"].task = found.get_task("gate")
    with pytest.raises(DownstreamTasksSkipped) as skipped:
        task.execute(ctx)
    return {name if isinstance(name, str) else name[0] for name in skipped.value.tasks}, ctx["ti"].xcoms["return_value"]


@pytest.mark.parametrize(
    ("rule", "skipped"),
    [
        (PASSING, {"approve", "hold", "tell"}),
        (PASSING | {"min_samples": 10**6}, {"promote", "hold", "tell"}),
        (FAILING, {"promote", "approve"}),
        (FAILING | {"task": "no_such_task"}, {"promote", "approve"}),
    ],
)
def test_a_branching_gate_follows_the_verdicts_action(stored: str, rule: dict, skipped: set[str]) -> None:
    found, verdict = branching(stored, rule, WAYS)

    assert found == skipped
    assert verdict["action"] in WAYS


def test_an_action_without_a_way_goes_nowhere(stored: str) -> None:
    assert branching(stored, FAILING, {"allow": "promote"})[0] == {"promote", "approve", "hold", "tell"}


@pytest.mark.parametrize(
    "fields",
    [
        {"on_fail": "branch"},
        {"branches": WAYS},
        {"on_fail": "branch", "branches": {"pass": "promote"}},
        {"on_fail": "branch", "branches": {}},
    ],
)
def test_branches_that_cannot_be_meant_are_refused(fields: dict) -> None:
    with pytest.raises(GateError, match="branches"):
        gate(candidate="x", **fields)


@pytest.mark.parametrize("on_fail", ["soft", "skip"])
def test_evidence_that_cannot_be_read_fails_whatever_is_asked(tmp_path, on_fail: str) -> None:
    with pytest.raises(AirflowFailException, match="ERROR"):
        gate(candidate=str(tmp_path / "missing"), on_fail=on_fail).execute(context())


def test_the_verdict_is_stored_and_its_digest_pushed(stored: str, tmp_path, scripted) -> None:
    ctx = context(run_id="manual__2026-01-01T00:00:00+00:00")

    verdict = gate(candidate=stored, lmeval_conn_id=scripted({}, results_uri=str(tmp_path / "kept"))).execute(ctx)

    record = ctx["ti"].xcoms["verdict"]
    raw = Path(record["uri"]).read_bytes()
    assert json.loads(raw) == verdict
    assert record["sha256"] == hashlib.sha256(raw).hexdigest() == JudgedBy.of(verdict).digest
    assert Path(record["uri"]).is_relative_to(tmp_path / "kept" / "verdicts" / "dag")


# --- @task.lmeval_gate


def decorated(function, **fields):
    with DAG("decorated", schedule=None) as found:
        gate_task(function, **fields)()
    return found.get_task(function.__name__)


def test_a_function_finds_the_candidate(stored: str) -> None:
    def newest(ti=None) -> str:
        assert ti.task_id == "newest"
        return stored

    assert decorated(newest, rules=[PASSING]).execute(context(task_id="newest"))["outcome"] == "PASS"


def test_a_function_may_find_the_rules_too(stored: str) -> None:
    def strict() -> dict:
        return {"candidate": {"result_uri": stored}, "rules": [FAILING]}

    with pytest.raises(AirflowFailException, match="FAIL"):
        decorated(strict).execute(context(task_id="strict"))


def test_a_function_that_names_something_else_is_told(stored: str) -> None:
    def wrong() -> dict:
        return {"candidate": stored, "rule": [PASSING]}

    with pytest.raises(AirflowFailException, match="rule"):
        decorated(wrong).execute(context(task_id="wrong"))


def test_airflow_knows_the_decorator_by_its_name() -> None:
    assert task.lmeval_gate is gate_task
