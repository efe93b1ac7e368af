"""Rows are read with the line they begin on, and whatever a file holds is a row or a fault."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_lmeval.wire_rows import Fault, Row, read_rows

KEPT = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), min_size=1)


def read(place: Path, kind: str, content: bytes | str) -> list[Row | Fault]:
    path = place / f"rows.{kind}"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(read_rows(path, kind))


def said(found: list[Row | Fault]) -> list[str]:
    return [str(item) if isinstance(item, Fault) else f"{item.place} is fine" for item in found]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"a": 1', "not JSON: Expecting ',' delimiter at column 8"),
        ("[1]", "a JSON object is expected, found list"),
        ('{"a": 1, "a": 2}', "the key 'a' is there twice"),
        ('{"a": NaN}', "NaN is no JSON value"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_line_that_is_no_object_is_named_and_the_next_one_read(tmp_path: Path, line: str, words: str) -> None:
    first, second, third = said(read(tmp_path, "jsonl", f'{{"a": 1}}\n\n{line}\n{{"a": 2}}\n'))

    assert (first, third) == ("line 1 is fine", "line 4 is fine")
    assert second.startswith("line 3: ")
    assert words in second


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_wrong_encodings_are_named(tmp_path: Path, kind: str) -> None:
    line = b'{"a": "caf\xe9"}\n' if kind == "jsonl" else b"a\nok\ncaf\xe9\n"
    (*_, fault) = read(tmp_path, kind, line)
    (utf16,) = read(tmp_path, kind, "a,b\n1,2\n".encode("utf-16"))

    assert "byte 0xe9 at position" in str(fault)
    assert "UTF-16" in str(utf16)


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    assert read(tmp_path, "csv", b"\xef\xbb\xbfa,b\n1,2\n") == [Row("line 2", {"a": "1", "b": "2"})]


def test_a_row_begins_on_its_first_line(tmp_path: Path) -> None:
    found = read(tmp_path, "csv", 'a,b\n"two\nlines",x\n\nshort\nlast,y\n')

    assert said(found) == ["line 2 is fine", "line 5: 1 cells, but the header names 2 columns", "line 6 is fine"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a,a\n1,2\n", "the header has to name each column once"),
        ("a,\n1,2\n", "the header has to name each column once"),
        ('a,b\n1,"2\n', "line 2: not CSV"),
        ('a,b\n1,"2"3\n', "line 2: not CSV"),
        ("a,b\n1,\0\n", "line 2: contains a NUL character"),
        (b"a,\xff\n1,2\n", "line 1: byte 0xff"),
        ("a,b\r1,2\r", "not CSV"),
        ("a;b\n1;2\n", "line 1: one column, 'a;b': cells are separated by semicolons; save them with commas"),
        ("a\tb\n1\t2\n", "line 1: one column, 'a\\tb': cells are separated by tabs; save them with commas"),
    ],
)
def test_a_file_that_is_no_csv_is_a_fault(tmp_path: Path, content: bytes | str, words: str) -> None:
    assert words in said(read(tmp_path, "csv", content))[-1]


def test_what_is_no_parquet_is_a_fault(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")

    assert "not Parquet" in said(read(tmp_path, "parquet", b"PAR1 but no more"))[0]


def test_parquet_rows_are_counted(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"a": ["x", "y"], "b": [["1"], None]}), tmp_path / "rows.parquet")

    assert list(read_rows(tmp_path / "rows.parquet", "parquet")) == [
        Row("row 1", {"a": "x", "b": ["1"]}),
        Row("row 2", {"a": "y", "b": None}),
    ]


@KEPT
@given(st.lists(st.tuples(CELLS, CELLS)))
def test_what_is_written_is_read(tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([("a", "b"), *rows])
    lines = "".join(json.dumps({"a": a, "b": b}, ensure_ascii=False) + "\n" for a, b in rows)

    for kind, content in {"csv": stream.getvalue(), "jsonl": lines}.items():
        found = read(tmp_path, kind, content)
        assert [tuple(row.values.values()) for row in found if isinstance(row, Row)] == rows
        assert len(found) == len(rows)


@KEPT
@given(st.binary(max_size=300), st.sampled_from(["jsonl", "csv"]))
def test_no_file_breaks_the_reader(tmp_path: Path, content: bytes, kind: str) -> None:
    assert all(isinstance(item, Row | Fault) for item in read(tmp_path, kind, content))
