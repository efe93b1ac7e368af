"""The promote operator: only what the gate or a person allows, on the record, and announced."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from airflow.sdk import Asset
from airflow.sdk.execution_time.context import OutletEventAccessors

from airflow_provider_lmeval.errors import GateError
from airflow_provider_lmeval.operators.override import override_of
from airflow_provider_lmeval.operators.promote import LMEvalPromoteOperator, baseline_asset
from airflow_provider_lmeval.store import Store
from airflow_provider_lmeval.store.baselines import Baselines
from tests.support.context import context
from tests.support.evidence import document, write_run

ALLOWED = {"outcome": "PASS", "action": "allow", "candidate": {"run_id": "candidate-1"}}
ASKED = ALLOWED | {"outcome": "INCONCLUSIVE", "action": "ask"}


@pytest.fixture
def store(tmp_path) -> Store:
    found = Store(tmp_path / "store")
    found.put_run(write_run(tmp_path / "run", document()))
    return found


def answer(**changes: Any) -> dict[str, Any]:
    """Return what an ``ApprovalOperator`` returns."""
    return {
        "chosen_options": ["Approve"],
        "params_input": {"reason": "checked by hand", "valid_for_hours": 2},
        "responded_at": datetime.now(UTC),
        "responded_by_user": {"id": "7", "name": "ada"},
    } | changes


def promote(store: Store, **fields: Any) -> tuple[LMEvalPromoteOperator, dict[str, Any]]:
    defaults = {
        "task_id": "promote", "name": "chat", "suite": "mmlu", "candidate": store.uri("candidate-1"),
        "verdict": ALLOWED, "results_uri": store.url,
    }  # fmt: skip
    return LMEvalPromoteOperator(**defaults | fields), context(task_id="promote") | {
        "outlet_events": OutletEventAccessors()
    }


def test_an_allowed_model_comes_into_force(store: Store) -> None:
    operator, ctx = promote(store)

    data = operator.execute(ctx)

    current = Baselines(store).current("chat", "mmlu")
    assert (data["run_id"], data["id"]) == (current.run_id, current.id) == ("candidate-1", current.id)
    assert current.by == "dag.promote manual__1"
    assert current.reason == "the gate allows it"
    assert "fingerprint" not in data


def test_the_promotion_is_an_event_of_its_asset_with_the_metrics(store: Store) -> None:
    operator, ctx = promote(store)
    operator.execute(ctx)

    assert operator.outlets == [baseline_asset("chat", "mmlu")]
    extra = ctx["outlet_events"][baseline_asset("chat", "mmlu")].extra
    assert extra["metrics"] == {"tiny_mc": {"acc,none": 0.85, "acc_stderr,none": 0.04}}
    assert extra["model"]["identity"].startswith("sha256:")


def test_an_asset_of_one_s_own_takes_its_place_and_other_outlets_stay(store: Store) -> None:
    own, other = Asset("production"), Asset("audit")
    operator, ctx = promote(store, asset=own, outlets=[other])
    operator.execute(ctx)

    assert operator.outlets == [other, own]
    assert ctx["outlet_events"][own].extra["run_id"] == "candidate-1"
    assert ctx["outlet_events"][other].extra == {}


def test_a_templated_name_has_no_asset_by_itself(store: Store) -> None:
    operator, _ = promote(store, name="{{ params.name }}")

    assert operator.outlets == []


def test_the_output_of_an_evaluation_is_a_candidate(store: Store) -> None:
    operator, ctx = promote(store, candidate={"result_uri": store.uri("candidate-1"), "reason": "Succeeded"})

    assert operator.execute(ctx)["run_id"] == "candidate-1"


@pytest.mark.parametrize("verdict", [ASKED, ASKED | {"action": "block", "outcome": "FAIL"}, None])
def test_without_permission_nothing_is_promoted_and_no_retry_helps(store: Store, verdict: Any) -> None:
    operator, ctx = promote(store, verdict=verdict)

    with pytest.raises(AirflowFailException, match="not promoted"):
        operator.execute(ctx)
    assert Baselines(store).current("chat", "mmlu") is None
    assert len(ctx["outlet_events"]) == 0


def test_an_approval_overrules_the_gate_on_the_record(store: Store) -> None:
    operator, ctx = promote(store, verdict=ASKED, override=answer())
    operator.execute(ctx)

    current = Baselines(store).current("chat", "mmlu")
    assert (current.override.approver, current.override.reason) == ("ada", "checked by hand")
    assert current.reason == "checked by hand"
    assert current.override.expires - current.override.at == 2 * 3600


@pytest.mark.parametrize("candidate", [None, "", {"result_uri": None}, {"other": 1}])
def test_a_candidate_that_names_no_result_is_refused(store: Store, candidate: Any) -> None:
    operator, ctx = promote(store, candidate=candidate)

    with pytest.raises(AirflowFailException, match="names no stored result"):
        operator.execute(ctx)


def test_a_store_that_cannot_be_read_is_worth_another_try(store: Store) -> None:
    operator, ctx = promote(store, candidate=f"{store.url}/missing")

    with pytest.raises(AirflowException) as caught:
        operator.execute(ctx)
    assert not isinstance(caught.value, AirflowFailException)


def test_a_retry_after_the_promotion_changes_nothing(store: Store) -> None:
    operator, ctx = promote(store)

    assert operator.execute(ctx)["id"] == operator.execute(ctx)["id"]
    assert len(Baselines(store).history("chat", "mmlu")) == 1


# --- approvals


def test_nobody_was_asked_and_nobody_overruled() -> None:
    assert override_of(None) is None


def test_an_override_may_be_plain_data() -> None:
    now = time.time()
    assert override_of({"approver": "ada", "reason": "r", "at": now, "expires": now + 1}).approver == "ada"


def test_the_time_of_an_answer_may_be_text() -> None:
    assert override_of(answer(responded_at="2026-03-01T12:00:00+00:00")).at == 1772366400.0
    assert override_of(answer(responded_at="2026-03-01T12:00:00")).at == 1772366400.0
    with pytest.raises(GateError, match="not the time"):
        override_of(answer(responded_at="noon"))


def test_an_approval_lasts_a_day_unless_it_says_otherwise() -> None:
    found = override_of(answer(params_input={"reason": "r"}))
    assert found.expires - found.at == 24 * 3600


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"chosen_options": ["Reject"]}, "did not approve"),
        ({"chosen_options": []}, "did not approve"),
        ({"responded_by_user": None}, "nobody answered"),
        ({"timedout": True}, "nobody answered"),
        ({"params_input": {}}, "reason"),
        ({"params_input": {"reason": "   "}}, "reason"),
        ({"params_input": {"reason": "r", "valid_for_hours": 0}}, "valid_for_hours"),
        ({"responded_by_user": {}}, "approver"),
    ],
)
def test_what_is_no_approval_overrules_nothing(change: dict[str, Any], words: str) -> None:
    with pytest.raises(GateError, match=words):
        override_of(answer(**change))


@pytest.mark.parametrize("value", ["Approve", 1, ["Approve"], {}])
def test_anything_else_is_no_override(value: Any) -> None:
    with pytest.raises(GateError, match="override"):
        override_of(value)
