"""The gate operator's report: stored beside the runs, told in XCom, and never in the verdict's way."""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_lmeval._compat import pages_know_the_user
from airflow_provider_lmeval.operators.gate import LMEvalGateOperator
from airflow_provider_lmeval.operators.links import LMEvalReportLink
from tests.support.context import context
from tests.support.foreign import samples, write_output

RULE = {"task": "quiz", "metric": "acc", "floor": 0.8}


@pytest.fixture
def evidence(tmp_path) -> str:
    write_output(tmp_path / "model", {"quiz": samples(400, wrong=200)})
    return str(tmp_path / "model")


@pytest.fixture
def connection(tmp_path, scripted):
    """Return a connection whose results are kept in a directory of the test."""
    return lambda place: scripted({}, results_uri=str(tmp_path / place))


def gate(**fields: object) -> LMEvalGateOperator:
    return LMEvalGateOperator(**{"task_id": "gate", "rules": [RULE]} | fields)


def test_a_blocked_model_leaves_a_report_and_its_place(tmp_path, evidence, connection) -> None:
    ctx = context(dag_id="train", run_id="manual__2026-01-01T00:00:00+00:00", task_id="gates.gate", map_index=3)
    with pytest.raises(AirflowFailException):
        gate(candidate=evidence, lmeval_conn_id=connection("store")).execute(ctx)
    place = Path(ctx["ti"].xcoms["report_uri"])
    assert place.is_relative_to(tmp_path / "store" / "reports" / "train")
    assert place.name == "gates.gate-3.html"
    assert "FAIL" in place.read_text(encoding="utf-8")


def test_a_store_that_cannot_be_written_changes_no_verdict(tmp_path, evidence, connection) -> None:
    (tmp_path / "file").write_text("no directory")
    ctx = context()
    verdict = gate(candidate=evidence, rules=[RULE | {"floor": 0.1}], lmeval_conn_id=connection("file")).execute(ctx)
    assert verdict["outcome"] in ("PASS", "WARN")
    assert "report_uri" not in ctx["ti"].xcoms


@pytest.mark.parametrize("missing", ["candidate", "baseline"])
def test_evidence_that_cannot_be_read_is_reported(tmp_path, evidence, connection, missing) -> None:
    ctx = context()
    sides = {"candidate": evidence, "baseline": evidence, missing: str(tmp_path / "gone")}
    with pytest.raises(AirflowFailException, match="verdict ERROR"):
        gate(lmeval_conn_id=connection("store"), **sides).execute(ctx)
    verdict, text = ctx["ti"].xcoms["return_value"], Path(ctx["ti"].xcoms["report_uri"]).read_text(encoding="utf-8")
    assert (verdict["outcome"], verdict["action"]) == ("ERROR", "block")
    assert verdict["candidate"]["run_id"] == sides["candidate"]
    assert str(tmp_path / "gone") in text
    assert ("No result could be read." in text) == (missing == "candidate"), "what could be read is shown"


def test_the_link_leads_to_the_report_s_page_once_there_is_a_report(tmp_path, evidence, connection) -> None:
    link = LMEvalReportLink()
    judged = gate(candidate=evidence, rules=[RULE | {"floor": 0.1}], lmeval_conn_id=connection("store"))
    ctx = context(dag_id="train", run_id="manual__2026+00:00", task_id="group.gate", map_index=2)
    assert link.get_link(judged, ti_key=ctx["ti"]) == ""
    judged.execute(ctx)
    address = link.get_link(judged, ti_key=ctx["ti"])
    assert not pages_know_the_user() or address.endswith(
        "/lmeval/reports/train/manual__2026%2B00%3A00/group.gate?map_index=2"
    )
    assert judged.operator_extra_links == (link,)


def test_no_report_is_written_where_none_is_wanted(tmp_path, evidence, connection) -> None:
    ctx = context()
    gate(candidate=evidence, rules=[RULE | {"floor": 0.1}], lmeval_conn_id=connection("store"), report=False).execute(
        ctx
    )
    assert "report_uri" not in ctx["ti"].xcoms
    assert not (tmp_path / "store" / "reports").exists()
