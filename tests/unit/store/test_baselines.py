"""Baselines: what is in force, since when, on whose word; history is never lost, and doubt is never an answer."""

from __future__ import annotations

import json
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lmeval.errors import DamagedResultError, GateError, StoreError
from airflow_provider_lmeval.gate.calibration import Calibration
from airflow_provider_lmeval.results import EvalResult
from airflow_provider_lmeval.store import Store
from airflow_provider_lmeval.store.baselines import Baselines, resolve_baseline
from airflow_provider_lmeval.store.promotion import Override
from tests.support.evidence import document, failed, sha, write_run
from tests.support.foreign import samples, write_output

NAME, SUITE = "chat", "mmlu"
SAID = {"by": "dag.promote", "reason": "the gate allows it"}


def verdict(run_id: str, action: str = "allow") -> dict[str, Any]:
    outcome = {"allow": "PASS", "ask": "INCONCLUSIVE", "block": "FAIL"}[action]
    return {"schema_version": 1, "outcome": outcome, "action": action, "candidate": {"run_id": run_id}}


def override(**changes: Any) -> Override:
    now = time.time()
    return Override.parse({"approver": "ada", "reason": "tested by hand", "at": now, "expires": now + 3600} | changes)


class Place:
    """A store, and runs to put into it."""

    def __init__(self, url: str, scratch: Path) -> None:
        self.store, self._scratch = Store(url), scratch
        self.baselines = Baselines(self.store)

    def run(self, run_id: str, **changes: Any) -> str:
        data = document(run_id=run_id) | changes
        self.store.put_run(write_run(self._scratch / uuid.uuid4().hex, data))
        return run_id

    def promote(self, run_id: str, **more: Any) -> Any:
        more = {"verdict": verdict(run_id)} | SAID | more
        return self.baselines.promote(NAME, SUITE, self.run(run_id), **more)


@pytest.fixture(params=["file", "memory"])
def place(request, tmp_path):
    """Stores on a disk and in an object store."""
    url = str(tmp_path / "store") if request.param == "file" else f"memory://{uuid.uuid4().hex}"
    return Place(url, tmp_path)


@pytest.fixture
def disk(tmp_path):
    return Place(str(tmp_path / "store"), tmp_path)


def pointer(place: Place) -> Path:
    return Path(place.store.url) / "_baselines" / NAME / SUITE / "current.json"


# --- promotion


def test_a_verdict_on_other_weights_under_the_same_run_promotes_nothing(place):
    judged = verdict("first")
    judged["candidate"]["identity"] = "sha256:what was there when the gate looked"
    with pytest.raises(GateError, match="gate it again"):
        place.promote("first", verdict=judged)
    judged["candidate"]["identity"] = f"sha256:{sha('first')}"
    assert place.promote("first", verdict=judged).run_id == "first"


def test_nothing_is_in_force_before_the_first_promotion(place):
    assert place.baselines.current(NAME, SUITE) is None
    assert place.baselines.history(NAME, SUITE) == []


def test_the_promoted_model_is_in_force_with_everything_it_rests_on(place):
    promoted = place.promote("first")

    current = place.baselines.current(NAME, SUITE)
    assert current == promoted
    assert (current.run_id, current.uri) == ("first", place.store.uri("first"))
    assert current.model.identity == f"sha256:{sha('first')}"
    assert current.metrics == {"tiny_mc": {"acc,none": 0.85, "acc_stderr,none": 0.04}}
    assert (current.by, current.reason) == (SAID["by"], SAID["reason"])
    assert (current.verdict.outcome, current.override) == ("PASS", None)
    assert current.fingerprint.tasks["tiny_mc"].documents == sha("tiny_mc documents")


def test_every_promotion_stays_in_the_history_and_names_what_it_replaces(place):
    made = [place.promote(run_id) for run_id in ("first", "second", "third")]

    assert place.baselines.history(NAME, SUITE) == made
    assert [each.replaces for each in made] == [None, made[0].id, made[1].id]
    assert place.baselines.current(NAME, SUITE) == made[2]


def test_promoting_the_model_in_force_again_changes_nothing(place):
    first = place.promote("first")

    assert place.promote("first") == first
    assert len(place.baselines.history(NAME, SUITE)) == 1


def test_names_and_suites_do_not_get_into_each_other_s_way(disk):
    disk.promote("first")
    other = disk.baselines.promote("org/chat", "mmlu", disk.run("other"), verdict=verdict("other"), **SAID)

    assert disk.baselines.current(NAME, SUITE).run_id == "first"
    assert disk.baselines.current("org/chat", SUITE) == other
    assert disk.baselines.current("org_chat", SUITE) is None
    assert disk.store.runs() == ["first", "other"], "baselines are no runs"


def test_evidence_of_another_tool_can_be_promoted(disk, tmp_path):
    write_output(tmp_path / "theirs", {"quiz": samples(5)})
    run_id = disk_run_id(tmp_path / "theirs")

    made = disk.baselines.promote(NAME, SUITE, str(tmp_path / "theirs"), verdict=verdict(run_id), **SAID)

    assert (made.uri, made.model.identity) == (str(tmp_path / "theirs"), "c0ffee")


def disk_run_id(place: Path) -> str:
    from airflow_provider_lmeval.store.evidence import read_evidence

    return read_evidence(str(place)).result.run_id


# --- permission


@pytest.mark.parametrize("action", ["ask", "block"])
def test_a_verdict_that_does_not_allow_it_is_overruled_only_on_the_record(disk, action):
    with pytest.raises(GateError, match="nobody has overruled it"):
        disk.promote("first", verdict=verdict("first", action))
    assert disk.baselines.current(NAME, SUITE) is None

    made = disk.promote("first", verdict=verdict("first", action), override=override())

    assert (made.override.approver, made.override.reason) == ("ada", "tested by hand")
    assert made.verdict.action == action


def test_without_a_verdict_only_a_person_can_promote(disk):
    with pytest.raises(GateError, match="no verdict"):
        disk.promote("first", verdict=None)
    assert disk.promote("first", verdict=None, override=override()).verdict is None


def test_an_expired_override_is_none(disk):
    with pytest.raises(GateError, match="expired"):
        disk.promote("first", verdict=verdict("first", "ask"), override=override(expires=time.time() - 1))


@pytest.mark.parametrize("field", ["approver", "reason", "at", "expires"])
def test_an_override_without_a_person_a_reason_or_an_end_is_refused(field):
    data = {"approver": "ada", "reason": "because", "at": 1.0, "expires": 2.0}
    for spoilt in ({k: v for k, v in data.items() if k != field}, data | {field: ""}, data | {field: None}):
        with pytest.raises(GateError, match=field):
            Override.parse(spoilt)


def test_the_verdict_on_another_run_allows_nothing(disk):
    with pytest.raises(GateError, match="about run 'second'"):
        disk.promote("first", verdict=verdict("second"))
    with pytest.raises(GateError, match="not a verdict"):
        disk.promote("first", verdict={"outcome": "PASS"})


def test_a_failed_evaluation_cannot_be_promoted_even_by_a_person(disk):
    disk.store.put_run(write_run(disk._scratch / "failed", failed(run_id="broken")))

    with pytest.raises(GateError, match="Failed"):
        disk.baselines.promote(NAME, SUITE, "broken", override=override(), **SAID)


def test_a_promotion_needs_somebody_and_a_reason(disk):
    with pytest.raises(GateError, match="by whom"):
        disk.promote("first", by=" ")
    with pytest.raises(GateError, match="why"):
        disk.promote("first", reason="")


def test_a_model_gated_against_a_baseline_that_was_replaced_meanwhile_is_not_promoted(disk):
    first = disk.promote("first")
    second = disk.promote("second", expected=first.id)

    with pytest.raises(GateError, match="gate again"):
        disk.promote("third", expected=first.id)
    assert disk.baselines.current(NAME, SUITE) == second


def test_what_is_not_there_cannot_be_promoted(disk):
    with pytest.raises(StoreError):
        disk.baselines.promote(NAME, SUITE, "missing", verdict=verdict("missing"), **SAID)


# --- rollback


def test_a_rollback_puts_the_model_before_in_force_and_the_next_one_goes_further_back(place):
    made = [place.promote(run_id) for run_id in ("first", "second", "third")]

    back = place.baselines.rollback(NAME, SUITE, by="ada", reason="complaints")
    assert (back.run_id, back.action, back.restores) == ("second", "rollback", made[1].id)
    assert place.baselines.current(NAME, SUITE) == back

    assert place.baselines.rollback(NAME, SUITE, by="ada", reason="more complaints").run_id == "first"
    with pytest.raises(GateError, match="none before it"):
        place.baselines.rollback(NAME, SUITE, by="ada", reason="still")
    assert [each.run_id for each in place.baselines.history(NAME, SUITE)] == [
        "first", "second", "third", "second", "first",
    ]  # fmt: skip


def test_a_rollback_may_name_the_run_or_the_promotion(place):
    made = [place.promote(run_id) for run_id in ("first", "second", "third")]

    assert place.baselines.rollback(NAME, SUITE, "first", by="ada", reason="r").run_id == "first"
    assert place.baselines.rollback(NAME, SUITE, made[2].id, by="ada", reason="r").run_id == "third"
    with pytest.raises(GateError, match="'first'"):
        place.baselines.rollback(NAME, SUITE, "frist", by="ada", reason="r")


def test_after_a_rollback_a_promotion_goes_on_from_there(place):
    for run_id in ("first", "second"):
        place.promote(run_id)
    back = place.baselines.rollback(NAME, SUITE, by="ada", reason="r")

    assert place.promote("third").replaces == back.id
    assert place.baselines.rollback(NAME, SUITE, by="ada", reason="r").run_id == "second"


# --- damage and concurrency


@given(st.data())
def test_a_damaged_pointer_is_never_taken_for_an_answer(tmp_path_factory, data):
    place = Place(str(tmp_path_factory.mktemp("store")), tmp_path_factory.mktemp("runs"))
    place.promote("first")
    path = pointer(place)
    raw = path.read_bytes()
    if data.draw(st.booleans()):
        path.write_bytes(raw[: data.draw(st.integers(0, len(raw) - 1))])
    else:
        at = data.draw(st.integers(0, len(raw) - 1))
        path.write_bytes(raw[:at] + bytes([raw[at] ^ (1 << data.draw(st.integers(0, 7)))]) + raw[at + 1 :])

    try:
        found = place.baselines.current(NAME, SUITE)
    except DamagedResultError:
        return
    assert found.run_id == "first", "a flipped bit in white space"


@given(st.data())
def test_a_damaged_entry_is_never_read(tmp_path_factory, data):
    place = Place(str(tmp_path_factory.mktemp("store")), tmp_path_factory.mktemp("runs"))
    made = place.promote("first")
    path = pointer(place).parent / "history" / f"{made.id}.json"
    raw = bytearray(path.read_bytes())
    raw[data.draw(st.integers(0, 9999)) % len(raw)] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(raw)

    with pytest.raises(DamagedResultError, match="digest"):
        place.baselines.current(NAME, SUITE)
    with pytest.raises(DamagedResultError):
        place.baselines.history(NAME, SUITE)


def test_a_lost_pointer_is_not_the_same_as_no_promotion_and_the_next_one_repairs_it(disk):
    disk.promote("first")
    pointer(disk).unlink()

    with pytest.raises(DamagedResultError, match="promote again"):
        disk.baselines.current(NAME, SUITE)
    disk.promote("second")
    assert disk.baselines.current(NAME, SUITE).run_id == "second"
    assert len(disk.baselines.history(NAME, SUITE)) == 2


def test_a_lost_pointer_can_be_repaired_by_rolling_back_to_a_run(disk):
    disk.promote("first")
    pointer(disk).write_text("{")

    assert disk.baselines.rollback(NAME, SUITE, "first", by="ada", reason="disk error").run_id == "first"
    assert disk.baselines.current(NAME, SUITE).run_id == "first"


def test_writers_who_meet_lose_no_history_and_agree_on_what_is_in_force(place):
    runs = [place.run(f"run-{number}") for number in range(8)]
    barrier, errors = threading.Barrier(len(runs)), []

    def promote(run_id: str) -> None:
        try:
            barrier.wait(timeout=30)
            Baselines(place.store).promote(NAME, SUITE, run_id, verdict=verdict(run_id), **SAID)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=promote, args=(run_id,)) for run_id in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)

    assert errors == []
    history = place.baselines.history(NAME, SUITE)
    assert sorted(each.run_id for each in history) == sorted(runs)
    assert place.baselines.current(NAME, SUITE) == history[-1]


def test_on_a_disk_each_of_them_replaces_the_one_before(disk):
    runs = [disk.run(f"run-{number}") for number in range(6)]
    threads = [
        threading.Thread(
            target=lambda run_id=run_id: disk.baselines.promote(NAME, SUITE, run_id, verdict=verdict(run_id), **SAID)
        )
        for run_id in runs
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)

    history = disk.baselines.history(NAME, SUITE)
    assert [each.replaces for each in history] == [None, *(each.id for each in history[:-1])]


# --- reuse


def wanted(**changes: Any) -> EvalResult:
    return EvalResult.parse(document(run_id="candidate") | changes)


def test_the_promoted_evidence_is_used_again_if_it_is_comparable(place):
    made = place.promote("first")

    match = place.baselines.matching(NAME, SUITE, wanted().fingerprint, ["tiny_mc"])

    assert (match.promotion, match.uri, match.missing) == (made, made.uri, ())


def test_what_stands_in_the_way_is_said(place):
    place.promote("first")
    fingerprint = document()["fingerprint"] | {"limit": 10}

    match = place.baselines.matching(NAME, SUITE, wanted(fingerprint=fingerprint).fingerprint, ["tiny_mc"])

    assert match.uri is None
    assert [text for text in match.missing if "limit" in text]


def test_other_evidence_on_the_same_weights_will_do(disk):
    disk.promote("first")
    fingerprint = document(run_id="first")["fingerprint"] | {"limit": 10}
    disk.run("again", fingerprint=fingerprint, model=document(run_id="first")["model"])

    match = disk.baselines.matching(NAME, SUITE, wanted(fingerprint=fingerprint).fingerprint, ["tiny_mc"])

    assert match.uri == disk.store.uri("again")


def test_a_run_of_the_same_name_but_other_weights_will_not_do(disk):
    disk.promote("first")
    fingerprint = document()["fingerprint"] | {"limit": 10}
    disk.run("again", fingerprint=fingerprint, model=document(run_id="again")["model"] | {"name": "/models/first"})

    assert disk.baselines.matching(NAME, SUITE, wanted(fingerprint=fingerprint).fingerprint, ["tiny_mc"]).uri is None


def test_a_model_without_a_digest_is_never_recognised(disk):
    model = document(run_id="served")["model"] | {"identity": None}
    disk.baselines.promote(NAME, SUITE, disk.run("served", model=model), verdict=verdict("served"), **SAID)

    match = disk.baselines.matching(NAME, SUITE, wanted().fingerprint, ["tiny_mc"])

    assert match.uri is None
    assert "digest" in match.missing[0]


def test_nothing_promoted_and_nothing_to_compare_are_no_match(place):
    assert place.baselines.matching(NAME, SUITE, wanted().fingerprint, ["tiny_mc"]).promotion is None
    place.promote("first")
    assert place.baselines.matching(NAME, SUITE, wanted().fingerprint, []).uri is None


# --- calibration, references


NOISE = {"n": 100, "discordance": 0.02, "damage": 0.01, "stderr": 0.014, "band": 0.028}


def calibration(run_id: str, **changes: Any) -> Calibration:
    data = {
        "run_id": run_id, "kind": "varied", "at": 1.0, "gates": 20, "false_blocks": 1, "false_block_rate": 0.05,
        "noise": {"tiny_mc": {"acc,none": NOISE}}, "identity": f"sha256:{sha(run_id)}",
    }  # fmt: skip
    return Calibration.model_validate(data | changes)


def test_a_calibration_belongs_to_the_baseline_in_force(place):
    place.promote("first")
    assert place.baselines.calibration(NAME, SUITE) is None
    place.baselines.calibrate(NAME, SUITE, calibration("first"))
    assert place.baselines.calibration(NAME, SUITE) == calibration("first")

    place.promote("second")
    assert place.baselines.calibration(NAME, SUITE) is None
    with pytest.raises(GateError, match="second is in force"):
        place.baselines.calibrate(NAME, SUITE, calibration("first"))

    place.baselines.rollback(NAME, SUITE, by="ada", reason="r")
    assert place.baselines.calibration(NAME, SUITE).run_id == "first", "the old model's own calibration holds again"


def test_a_calibration_of_other_weights_is_not_the_baselines(disk):
    disk.promote("first")

    with pytest.raises(GateError, match="other weights"):
        disk.baselines.calibrate(NAME, SUITE, calibration("first", identity="sha256:other"))


def test_a_damaged_calibration_is_not_read(disk):
    disk.promote("first")
    disk.baselines.calibrate(NAME, SUITE, calibration("first"))
    path = pointer(disk).parent / "calibration" / "first.json"
    for content in ("{", json.dumps({"schema_version": 1}), "[]"):
        path.write_text(content)
        with pytest.raises(DamagedResultError):
            disk.baselines.calibration(NAME, SUITE)


def test_a_reference_names_what_is_in_force(disk):
    url = disk.store.url
    assert resolve_baseline(f"promoted:{NAME}/{SUITE}", url) is None
    made = disk.promote("first")

    assert resolve_baseline(f"promoted:{NAME}/{SUITE}", url) == made.uri
    assert resolve_baseline("s3://bucket/run", url) == "s3://bucket/run"
    with pytest.raises(GateError, match="NAME/SUITE"):
        resolve_baseline("promoted:chat", url)


def test_a_name_with_slashes_is_a_name(disk):
    made = disk.baselines.promote("org/chat", SUITE, disk.run("first"), verdict=verdict("first"), **SAID)

    assert resolve_baseline(f"promoted:org/chat/{SUITE}", disk.store.url) == made.uri
