"""The gate operator on stored score tables: pairs are read from the store, and only there."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_lmeval import wire
from airflow_provider_lmeval.driver import outcome
from airflow_provider_lmeval.operators.gate import LMEvalGateOperator
from airflow_provider_lmeval.store import Store, open_result, score_reader
from tests.support.context import context
from tests.support.evidence import table
from tests.support.tables import answers, result, rows


def stored(place: Path, run_id: str, values: list[float]) -> str:
    """Put a run with its score table into a store and return its URI."""
    data = result({"t": values}, run_id=run_id).to_data()
    data["tasks"]["t"]["scores"] = "tasks/t/scores.jsonl.gz"
    data["files"] = {"logs": []}
    run = wire.RunDir(place / "runs" / run_id)
    run.task("t").mkdir(parents=True)
    scores = [msgspec.to_builtins(row) for row in rows("t", values, model=run_id)]
    (run.task("t") / "scores.jsonl.gz").write_bytes(table(scores))
    outcome.write(run, data)
    store = Store(place / "store")
    store.put_run(run)
    return store.uri(run_id)


@pytest.fixture
def sides(tmp_path: Path) -> dict[str, str]:
    candidate, baseline = answers(1400, 15, 15, 570)
    return {
        "candidate": stored(tmp_path, "candidate-1", candidate),
        "baseline": stored(tmp_path, "production-7", baseline),
    }


def test_without_rules_the_suite_must_not_be_worse(sides: dict[str, str]) -> None:
    verdict = LMEvalGateOperator(task_id="gate", **sides).execute(context())
    pooled = next(check for check in verdict["checks"] if check["task"] == "*")
    assert (verdict["outcome"], verdict["findings"]) == ("PASS", [])
    assert (pooled["rule"], pooled["statistics"]["paired"]) == ("no regression of the suite", True)
    assert pooled["statistics"]["flips"]["worse"] == 15


def test_a_first_run_without_rules_and_baseline_warns(sides: dict[str, str]) -> None:
    assert LMEvalGateOperator(task_id="gate", candidate=sides["candidate"]).execute(context())["outcome"] == "WARN"


def test_a_worse_suite_is_held(tmp_path: Path, sides: dict[str, str]) -> None:
    worse, _ = answers(1300, 115, 15, 570)
    candidate, ctx = stored(tmp_path, "candidate-2", worse), context()
    with pytest.raises(AirflowFailException, match="at best"):
        LMEvalGateOperator(task_id="gate", candidate=candidate, baseline=sides["baseline"]).execute(ctx)
    assert ctx["ti"].xcoms["return_value"]["outcome"] == "FAIL"


def test_a_table_that_was_touched_is_an_error(tmp_path: Path, sides: dict[str, str]) -> None:
    (tmp_path / "store" / "production-7" / "tasks" / "t" / "scores.jsonl.gz").write_bytes(table([]))
    ctx = context()
    with pytest.raises(AirflowFailException, match="score table of t cannot be read"):
        LMEvalGateOperator(task_id="gate", rules="no_regression", **sides).execute(ctx)
    assert {found["id"] for found in ctx["ti"].xcoms["return_value"]["findings"]} == {"scores-damaged"}


def test_a_task_without_a_table_has_no_rows(sides: dict[str, str]) -> None:
    read = score_reader(sides["candidate"], open_result(sides["candidate"]))
    assert len(list(read("t") or ())) == 2000
    assert read("other") is None
