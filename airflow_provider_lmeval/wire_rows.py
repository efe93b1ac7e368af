"""Reads the rows of somebody's own data file, and says on which line what is wrong.

Both sides need it: ``validate`` names bad lines before anything is started, the driver names them before the model loads,
and they have to say the same. Standard library only; Parquet, which has rows and no lines, is read by ``pyarrow`` where
that is installed. A row that cannot be read is a fault with its place, never an exception: people repair a file in one go.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from airflow_provider_lmeval.errors import MissingExtraError

SUFFIXES = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".parquet": "parquet"}
"""Formats by the ends of file names."""
LONGEST_CELL = 10_000_000
"""Characters in one cell of a CSV file; a forgotten quotation mark makes the rest of the file one cell."""
_SEPARATORS = {";": "semicolons", "\t": "tabs"}
"""What spreadsheets put between cells where the comma is the decimal mark."""
_UTF8_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Row:
    """One row as it was read.

    :param place: where it begins, for people: ``line 3``, or ``row 3`` of what has no lines; both count from 1.
    :param values: by column.
    """

    place: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Fault:
    """What is wrong at one place of the file.

    :param place: as in :class:`Row`, or empty for the file as a whole.
    :param message: what was found and what is allowed.
    """

    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message


def read_rows(path: Path, format: str) -> Iterator[Row | Fault]:  # noqa: A002 - as the spec calls it
    """Yield the rows of a file and the faults between them, in order.

    :param path: on this machine.
    :param format: ``jsonl``, ``csv`` or ``parquet``.
    :raises OSError: the file cannot be read. :raises MissingExtraError: Parquet, and ``pyarrow`` is not installed.
    """
    readers: dict[str, Callable[[Path], Iterator[Row | Fault]]] = {"jsonl": _jsonl, "csv": _csv, "parquet": _parquet}
    return readers[format](path)


def _lines(path: Path) -> Iterator[tuple[str, str | Fault]]:
    """Yield each line, decoded, with its place; what is not UTF-8 is a fault."""
    with open(path, "rb") as stream:
        for number, raw in enumerate(stream, start=1):
            place = f"line {number}"
            if number == 1 and raw.startswith(_UTF16):
                yield place, Fault(place, "the file is UTF-16; save it as UTF-8")
                return
            text = raw.removeprefix(_UTF8_BOM) if number == 1 else raw
            try:
                yield place, text.decode("utf-8")
            except UnicodeDecodeError as error:
                found = f"byte 0x{text[error.start]:02x} at position {error.start + 1} is not UTF-8"
                yield place, Fault(place, f"{found}; save the file as UTF-8")


def _jsonl(path: Path) -> Iterator[Row | Fault]:
    for place, line in _lines(path):
        if isinstance(line, Fault):
            yield line
        elif line.strip():
            yield _object(place, line.rstrip("\r\n"))


def _object(place: str, line: str) -> Row | Fault:
    try:
        values = json.loads(line, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        return Fault(place, f"not JSON: {error.msg} at column {error.colno}")
    except (ValueError, RecursionError) as error:
        return Fault(place, f"not JSON: {error}")
    if not isinstance(values, dict):
        return Fault(place, f"a JSON object is expected, found {type(values).__name__}")
    return Row(place, values)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        twice = next(key for index, (key, _) in enumerate(pairs) if key in dict(pairs[:index]))
        raise ValueError(f"the key {twice!r} is there twice")
    return values


def _refuse_constant(token: str) -> NoReturn:
    raise ValueError(f"{token} is no JSON value")


def _csv(path: Path) -> Iterator[Row | Fault]:
    csv.field_size_limit(LONGEST_CELL)
    faults: list[Fault] = []
    reader = csv.reader(_sound(path, faults), strict=True)
    records = _records(reader)
    header = _header(next(records, None))
    if isinstance(header, Fault):
        faults.append(header)
    if faults or isinstance(header, Fault):
        yield from faults
        return
    for record in records:
        if faults:
            yield from faults
            faults.clear()
        else:
            yield record if isinstance(record, Fault) else _fitted(header, record)
    yield from faults


def _sound(path: Path, faults: list[Fault]) -> Iterator[str]:
    """Yield the lines for the CSV reader, which must see all of them to count; note those that cannot be decoded."""
    for place, line in _lines(path):
        if isinstance(line, Fault):
            faults.append(line)
            yield "\n"
        elif "\0" in line:
            faults.append(Fault(place, "contains a NUL character; remove it"))
            yield "\n"
        else:
            yield line


def _records(reader: Any) -> Iterator[tuple[str, list[str]] | Fault]:
    """Yield each record with the line on which it begins: a cell in quotation marks may hold line breaks."""
    while True:
        place = f"line {reader.line_num + 1}"
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Fault(place, f"not CSV: {error}; is a quotation mark missing?")
            return
        if cells:
            yield place, cells


def _header(record: tuple[str, list[str]] | Fault | None) -> list[str] | Fault:
    if record is None:
        return []
    if isinstance(record, Fault):
        return record
    names = [name.strip() for name in record[1]]
    if len(names) == 1 and (others := [word for mark, word in _SEPARATORS.items() if mark in names[0]]):
        return Fault(record[0], f"one column, {names[0]!r}: cells are separated by {others[0]}; save them with commas")
    if len(set(names)) < len(names) or not all(names):
        return Fault(record[0], f"the header has to name each column once, found {', '.join(map(repr, names))}")
    return names


def _fitted(header: list[str], record: tuple[str, list[str]]) -> Row | Fault:
    place, cells = record
    if len(cells) != len(header):
        return Fault(place, f"{len(cells)} cells, but the header names {len(header)} columns")
    return Row(place, dict(zip(header, cells, strict=True)))


def _parquet(path: Path) -> Iterator[Row | Fault]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise MissingExtraError(f"{path} is Parquet, and this Python has no pyarrow to read it") from None
    try:
        with pyarrow.parquet.ParquetFile(path) as table:
            number = 0
            for batch in table.iter_batches():
                for values in batch.to_pylist():
                    number += 1
                    yield Row(f"row {number}", values)
    except pyarrow.ArrowInvalid as error:
        yield Fault("", f"not Parquet: {error}")
