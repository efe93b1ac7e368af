"""The report's page reads what the gate wrote, where the administrator says, and nothing else."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from airflow_provider_lmeval.errors import ConfigError, DamagedResultError, ResultNotFoundError
from airflow_provider_lmeval.operators.gate import REFERENCE_KEY, LMEvalGateOperator
from airflow_provider_lmeval.plugin.reference import read, reference_of
from airflow_provider_lmeval.store.reports import task_report
from tests.support.context import context
from tests.support.foreign import samples, write_output

PATH = task_report("dag", "manual__1", "gate")


@pytest.fixture
def stored(tmp_path, scripted):
    """A gate's report: what its XCom says, and the file."""
    write_output(tmp_path / "model", {"quiz": samples(400, wrong=20)})
    rules = [{"task": "quiz", "metric": "acc", "floor": 0.1}]
    conn = scripted({}, results_uri=str(tmp_path / "store"))
    ctx = context(dag_id="dag", run_id="manual__1", task_id="gate")
    LMEvalGateOperator(task_id="gate", candidate=str(tmp_path / "model"), rules=rules, lmeval_conn_id=conn).execute(ctx)
    return ctx["ti"].xcoms[REFERENCE_KEY], Path(ctx["ti"].xcoms["report_uri"])


@pytest.mark.parametrize("as_kept", [json.dumps, dict])
def test_the_report_is_what_the_gate_wrote(stored, as_kept) -> None:
    reference = reference_of(as_kept(stored[0]), PATH)
    assert reference is not None
    assert read(reference) == stored[1].read_bytes()


@pytest.mark.parametrize("value", [None, "", "no json", "[]", "{}", 7, {"sha256": 7}, "/etc/passwd"])
def test_what_is_no_reference_is_none(value) -> None:
    assert reference_of(value, PATH) is None


def test_a_report_that_somebody_has_changed_is_not_shown(stored) -> None:
    said, file = stored
    file.write_text("<h1>PASS</h1>")
    with pytest.raises(DamagedResultError, match="clear the gate task"):
        read(reference_of(said, PATH))


def test_another_task_s_report_is_not_shown_and_no_path_leads_out_of_the_store(stored) -> None:
    said, _ = stored
    for path in (task_report("dag", "manual__1", "other"), task_report("..", "../..", "/etc/passwd")):
        with pytest.raises(ResultNotFoundError):
            read(reference_of(said, path))


@pytest.mark.parametrize("kind", ["http", "lmeval"])
def test_a_connection_that_is_none_of_ours_or_is_wrong_betrays_nothing(stored, kind) -> None:
    os.environ["AIRFLOW_CONN_FOREIGN"] = json.dumps({"conn_type": kind, "extra": {"api_key": "hunter2"}})
    try:
        with pytest.raises(ConfigError) as refused:
            read(reference_of(stored[0] | {"lmeval_conn_id": "foreign"}, PATH))
    finally:
        del os.environ["AIRFLOW_CONN_FOREIGN"]
    assert "hunter2" not in str(refused.value)


def test_a_connection_that_is_not_there_is_named(stored) -> None:
    with pytest.raises(ConfigError, match="gone"):
        read(reference_of(stored[0] | {"lmeval_conn_id": "gone"}, PATH))
