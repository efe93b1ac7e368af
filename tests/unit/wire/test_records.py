"""A document in a log: restored byte by byte, or not at all."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lmeval.errors import ProtocolError
from airflow_provider_lmeval.wire_record import MAX_RECORD_LINES, RecordReader, record_lines

KUBELET_PIECE = 16 * 1024
DOCUMENT = random.Random(1).randbytes(40_000)
"""Random, so that it needs several lines."""
LINES = record_lines("run-1", DOCUMENT)
positions = st.integers(0, len(LINES) - 1)


def read(lines: list[str], run_id: str = "run-1") -> RecordReader:
    reader = RecordReader(run_id)
    for line in lines:
        reader.feed(line)
    return reader


@given(document=st.binary(max_size=2000))
def test_a_document_comes_back_as_it_was(document: bytes) -> None:
    reader = read(record_lines("run-1", document))
    assert reader.document() == document
    assert reader.problem is None


def test_lines_are_several_and_short_enough_not_to_be_split() -> None:
    lines = record_lines("r" * 200, DOCUMENT)
    assert len(lines) > 3
    assert max(map(len, lines)) < 15 * 1024 < KUBELET_PIECE
    assert not [line for line in lines if "\n" in line or not line.isascii()]


@given(order=st.permutations(LINES), again=st.lists(positions))
def test_order_and_repetition_do_not_matter(order: list[str], again: list[int]) -> None:
    assert read([*order, *(LINES[position] for position in again)]).document() == DOCUMENT


@given(lost=st.sets(positions, min_size=1))
def test_with_a_line_missing_there_is_no_document_but_a_reason(lost: set[int]) -> None:
    reader = read([line for position, line in enumerate(LINES) if position not in lost])
    assert reader.document() is None
    assert str(len(lost)) in str(reader.problem) or "no record" in str(reader.problem)


@given(position=positions, data=st.data())
def test_with_a_character_changed_there_is_no_document(position: int, data: st.DataObject) -> None:
    line = LINES[position]
    at = data.draw(st.integers(0, len(line) - 1))
    other = data.draw(st.characters(min_codepoint=33, max_codepoint=126).filter(lambda char: char != line[at]))
    changed = [*LINES[:position], line[:at] + other + line[at + 1 :], *LINES[position + 1 :]]

    reader = read(changed)
    assert reader.document() is None
    assert reader.problem


@given(position=positions, cut=st.integers(1, 15_000))
def test_a_damaged_copy_does_no_harm_to_a_whole_one(position: int, cut: int) -> None:
    assert read([*LINES, LINES[position][: -min(cut, len(LINES[position]))]]).document() == DOCUMENT
    assert read([LINES[position][cut:], *LINES]).document() == DOCUMENT


def test_time_stamps_line_ends_and_an_unfinished_line_before_do_not_matter() -> None:
    stamped = [f"2026-01-01T00:00:00.123456789Z {line}\r\n" for line in LINES]
    stamped[0] = "Running: 10%|#   | 1/10" + LINES[0]
    assert read(stamped).document() == DOCUMENT


def test_other_lines_in_between_are_left_to_others() -> None:
    reader = RecordReader("run-1")
    taken = [reader.feed(line) for line in [LINES[0], "lmeval: ended", *LINES[1:], ""]]
    assert taken == [True, False, *[True] * (len(LINES) - 1), False]
    assert reader.document() == DOCUMENT


def test_another_runs_lines_are_told_apart() -> None:
    theirs = record_lines("run-2", b"their document")
    assert read([*theirs, *LINES, *theirs]).document() == DOCUMENT
    assert read(LINES, "run-2").document() is None
    assert "no record of run run-2" in str(read(LINES, "run-2").problem)


def test_the_last_record_counts() -> None:
    later = record_lines("run-1", b"later")
    assert read([*LINES, *later]).document() == b"later"
    assert read([*later, *LINES[:-1]]).document() is None


def test_a_document_too_large_for_a_log_is_refused() -> None:
    with pytest.raises(ProtocolError, match=str(MAX_RECORD_LINES)):
        record_lines("run-1", random.Random(1).randbytes(2_000_000))
