"""Score tables side by side: by content, whatever their order, and every document once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from airflow_provider_lmeval.gate.stats.paired import pair, read_column
from tests.support.tables import rows


def column(values, *, order=None, **changes):
    table = rows("t", values, model=changes.pop("model", "m"))
    return read_column([replace(table[at], **changes) for at in order or range(len(table))], "acc", "none")


def joined(one, other):
    found = pair(one, other)
    return sorted(zip(one.values[found.candidate, 0].tolist(), other.values[found.baseline, 0].tolist(), strict=True))


@given(st.permutations(range(12)), st.permutations(range(12)))
def test_tables_in_any_order_give_the_same_pairs(one, other):
    found = joined(column(range(12), order=one), column(range(100, 112), order=other))
    assert found == [(float(at), 100.0 + at) for at in range(12)]


def test_the_order_of_the_table_does_not_change_the_order_of_the_sample():
    straight, reverse = column(range(9)), column(range(9), order=range(8, -1, -1))
    assert straight.values.tolist() == reverse.values.tolist()
    assert [straight.hash_of(at) for at in range(9)] == [reverse.hash_of(at) for at in range(9)]


@given(st.sets(st.integers(0, 9), min_size=1), st.sets(st.integers(0, 9), min_size=1))
def test_documents_of_one_side_are_counted_and_left_out(ours, theirs):
    one, other = column(range(10), order=sorted(ours)), column(range(10), order=sorted(theirs))
    found = pair(one, other)
    assert joined(one, other) == [(float(at), float(at)) for at in sorted(ours & theirs)]
    assert (found.only_candidate, found.only_baseline) == (len(ours - theirs), len(theirs - ours))


def test_a_document_with_another_answer_is_another_document():
    found = pair(column([1, 0]), column([1, 0], target_hash="another"))
    assert (len(found.candidate), found.only_candidate, found.only_baseline) == (0, 2, 2)


def test_another_prompt_to_the_same_document_is_the_same_document():
    assert pair(column([1, 0]), column([1, 0], prompt_hash="with a chat template")).only_candidate == 0


def test_true_duplicates_are_paired_in_the_order_of_the_data_set():
    one = column([1, 2, 3], doc_hash="same", target_hash="same")
    other = column([4, 5, 6], doc_hash="same", target_hash="same", order=[2, 0, 1])
    assert joined(one, other) == [(1.0, 4.0), (2.0, 5.0), (3.0, 6.0)]
    assert pair(one, other).duplicated == 2
    assert pair(one, column([4, 5], doc_hash="same", target_hash="same")).only_candidate == 1


def test_other_filters_are_not_read():
    table = rows("t", [1, 0], model="m") + rows("t", [0, 0], model="m", filter_name="strict")
    assert read_column(table, "acc", "none").values[:, 0].tolist() != []
    assert len(read_column(table, "acc", "strict").keys) == 2
    assert read_column(table, "acc", "flexible") is None
    assert read_column([], "acc", "none") is None


def test_what_is_no_number_is_missing():
    assert column([1, None, 0]).missing == 1
    assert column([1, [1, 2], 0]).missing == 1
    assert read_column(rows("t", [1, 0], model="m"), "f1", "none").missing == 2


def test_several_numbers_per_document_are_kept_together():
    wide = column([[-10.5, 4], [-7.25, 3], None, [-1.0, 2, 3]])
    assert wide.values.shape == (4, 3)
    assert wide.missing == 3
    pairs = column([[-10.5, 4], [-7.25, 3]])
    assert sorted(pairs.values.tolist()) == [[-10.5, 4.0], [-7.25, 3.0]]


def test_a_guess_is_right_once_in_so_many_choices():
    assert column([1, 0, 1]).choices == pytest.approx(0.5)
    assert column([1, 0], loglikelihoods=None).choices is None


def test_unicode_and_foreign_hashes_are_only_names():
    one = column([1, 0], doc_hash="文書-é", target_hash="答え")
    assert one.hash_of(0) == "文書-é"
    assert np.array_equal(one.keys, column([0, 1], doc_hash="文書-é", target_hash="答え").keys)
