"""Score tables: read row by row, and never partly."""

from __future__ import annotations

import gzip
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lmeval.errors import DamagedResultError
from airflow_provider_lmeval.results import read_scores
from tests.support.evidence import score, table

GOOD = table([score(n) for n in range(50)])


def test_rows_come_in_order_with_all_their_fields():
    found = list(read_scores(table([score(0), score(1, response_hash="r", metrics={"f1": [1, 0], "acc": None})])))
    assert [row.doc_id for row in found] == [0, 1]
    assert found[0].loglikelihoods == (-1.5, -2.25)
    assert found[1].metrics == {"f1": [1, 0], "acc": None}
    assert found[1].response_hash == "r"


def test_log_likelihoods_may_be_absent():
    row = score(0)
    del row["loglikelihoods"]
    assert next(read_scores(table([row]))).loglikelihoods is None


def test_rows_are_read_one_at_a_time_from_a_stream():
    stream = BytesIO(table([score(n, prompt_hash=f"{n * 7919:064}") for n in range(20_000)]))
    assert next(read_scores(stream)).doc_id == 0
    assert stream.tell() < len(stream.getbuffer()) / 2


@pytest.mark.parametrize("field", ["doc_id", "doc_hash", "prompt_hash", "target_hash", "filter", "metrics"])
def test_a_row_without_a_field_is_damaged_and_numbered(field):
    row = score(1)
    del row[field]
    with pytest.raises(DamagedResultError, match=f"row 2 .*{field}"):
        list(read_scores(table([score(0), row])))


@pytest.mark.parametrize(
    "change", [{"doc_id": "1"}, {"doc_id": True}, {"doc_hash": 5}, {"metrics": []}, {"loglikelihoods": "-1"}]
)
def test_a_field_of_another_type_is_damage(change):
    with pytest.raises(DamagedResultError, match="row 1 "):
        list(read_scores(table([score(0) | change])))


@pytest.mark.parametrize(
    "raw",
    [b"", b"text", *(gzip.compress(rows, mtime=0) for rows in (b"", b"\n", b"[]\n", b'{"doc_id": NaN}'))],
)
def test_what_is_no_score_table_is_refused(raw):
    with pytest.raises(DamagedResultError):
        list(read_scores(raw))


@given(st.integers(0, len(GOOD) - 1))
def test_a_truncated_table_is_never_read_to_its_end(length):
    with pytest.raises(DamagedResultError):
        list(read_scores(GOOD[:length]))


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 7))
def test_a_flipped_bit_never_changes_a_row_unnoticed(at, bit):
    damaged = bytearray(GOOD)
    damaged[at] ^= 1 << bit
    try:
        found = list(read_scores(bytes(damaged)))
    except DamagedResultError:
        return
    assert found == list(read_scores(GOOD))
