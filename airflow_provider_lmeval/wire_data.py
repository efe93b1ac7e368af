"""One's own data as an evaluation task: what the driver is told of it, and what its rows have to be.

``spec/data.py`` checks what people write and ``plan/`` turns it into :class:`OwnTask`; the driver makes an lm-eval task of
the documents that :func:`examine` returns. The prompt is put together here, from columns, and no template language is
involved: no text of a row or a spec is ever executed.

The data's version is a hash of the documents and not of the file: the same questions in another order, format or file
are the same data.
"""

from __future__ import annotations

import hashlib
import json
import re
import string
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from airflow_provider_lmeval.wire_rows import Fault, Row

MULTIPLE_CHOICE, GENERATE_UNTIL = "multiple_choice", "generate_until"
PLACEHOLDER = re.compile(r"\{(question|context)\}")
Document = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where rows come from: one of ``path``, ``uri`` and ``dataset``.

    :param path: on the machine of the run. :param uri: fsspec URL. :param dataset: id on the Hugging Face Hub.
    :param config: of the dataset. :param split: of the dataset. :param revision: of the dataset.
    :param format: ``jsonl``, ``csv`` or ``parquet``; of a file.
    :param sha256: of the file's bytes, in hexadecimal, or None.
    """

    path: str | None = None
    uri: str | None = None
    dataset: str | None = None
    config: str | None = None
    split: str = "test"
    revision: str | None = None
    format: str | None = None
    sha256: str | None = None

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return self.path or self.uri or str(self.dataset)


@dataclass(frozen=True, kw_only=True)
class OwnTask:
    """A task made of rows; see ``spec/data.py`` for the meaning of its fields."""

    name: str
    output_type: str
    source: Source
    columns: dict[str, Any]
    answer_is: str = "index"
    prompt: str = "{question}"
    metrics: list[dict[str, Any]] = field(default_factory=list)
    num_fewshot: int | None = None
    fewshot: Source | None = None
    until: list[str] = field(default_factory=list)
    max_gen_toks: int = 256

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Build the task from what :meth:`to_json` returned.

        :raises TypeError: a field that does not exist, or one that is missing.
        """
        shots = data.get("fewshot")
        return cls(**{**data, "source": Source(**data["source"]), "fewshot": Source(**shots) if shots else None})


@dataclass
class Examined:
    """Rows that became documents, and what is wrong with the others.

    :param documents: in the order of the rows. :param places: where each was.
    """

    documents: list[Document] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def examine(task: OwnTask, rows: Iterable[Row | Fault]) -> Examined:
    """Turn rows into the documents of a task.

    :param rows: as ``wire_rows.read_rows`` yields them.
    """
    found = Examined()
    seen: dict[str, str] = {}
    for row in rows:
        try:
            document = _document(task, _sound(row))
            place = row.place
            _check_new(document, place, seen)
        except _FaultError as error:
            found.faults.append(error.fault)
        else:
            found.documents.append(document)
            found.places.append(place)
    if not found.documents and not found.faults:
        found.faults.append(Fault("", "there are no rows"))
    return found


def examine_fewshot(task: OwnTask, rows: Iterable[Row | Fault], tested: Examined) -> Examined:
    """Turn the rows of the few-shot examples into documents; none of them may be among those that are tested.

    :param tested: what :func:`examine` found in the task's own rows.
    """
    found = examine(task, rows)
    theirs = {_question(document): place for document, place in zip(tested.documents, tested.places, strict=True)}
    for document, place in zip(found.documents, found.places, strict=True):
        if (other := theirs.get(_question(document))) is not None:
            found.faults.append(Fault(place, f"this example gives away an answer: the tested data have it, {other}"))
    if not found.faults and (task.num_fewshot or 0) > len(found.documents):
        found.faults.append(
            Fault("", f"{len(found.documents)} examples, but num_fewshot asks for {task.num_fewshot} in each prompt")
        )
    return found


def data_hash(documents: Iterable[Document], fewshot: Iterable[Document] = ()) -> str:
    """Return the SHA-256 of documents, in hexadecimal, whatever their order.

    :param fewshot: the examples, if the task has any of its own.
    """
    total = hashlib.sha256()
    for part in (documents, fewshot):
        for line in sorted(json.dumps(document, sort_keys=True) for document in part):
            total.update(line.encode() + b"\n")
        total.update(b"\n")
    return total.hexdigest()


class _FaultError(Exception):
    """Carries a fault out of the checks of one row."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


def _sound(row: Row | Fault) -> Row:
    if isinstance(row, Fault):
        raise _FaultError(row)
    return row


def _check_new(document: Document, place: str, seen: dict[str, str]) -> None:
    """Refuse a question that was there before: it would count twice, or contradict itself."""
    first = seen.setdefault(_question(document), place)
    if first != place:
        raise _FaultError(Fault(place, f"the same question as in {first}; remove one of them"))


def _question(document: Document) -> str:
    return json.dumps([document["prompt"], document.get("choices")])


def _document(task: OwnTask, row: Row) -> Document:
    """Return what lm-eval gets: the prompt, the choices, and the right answer."""
    texts = {
        name: _text(row, column)
        for name, column in task.columns.items()
        if name in ("question", "context") and isinstance(column, str)
    }
    prompt = PLACEHOLDER.sub(lambda match: texts.get(match[1], match[0]), task.prompt)
    if task.output_type == GENERATE_UNTIL:
        if "answers" in task.columns:
            return {"prompt": prompt, "answer": _answers(row, task.columns["answers"])}
        return {"prompt": prompt, "answer": _text(row, task.columns["answer"], numbers=True).strip()}
    choices = _choices(row, task.columns["choices"])
    return {"prompt": prompt, "choices": choices, "answer": _label(task, row, choices)}


def _cell(row: Row, column: str) -> Any:
    """Return what a column holds, or the field of the object in it that a dotted path leads to."""
    if column in row.values:
        return row.values[column]
    value: Any = row.values
    for part in column.split("."):
        if not isinstance(value, Mapping) or part not in value:
            there = ", ".join(map(repr, _names(row.values)))
            raise _FaultError(Fault(row.place, f"no column {column!r}; there are {there}"))
        value = value[part]
    return value


def _names(values: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _names(value, f"{above}{name}.")
        else:
            yield f"{above}{name}"


def _text(row: Row, column: str, *, numbers: bool = False) -> str:
    return _as_text(row, f"column {column!r}", _cell(row, column), numbers=numbers)


def _as_text(row: Row, what: str, value: Any, *, numbers: bool) -> str:
    if numbers and isinstance(value, int | float) and not isinstance(value, bool):
        return json.dumps(value)
    if not isinstance(value, str):
        raise _FaultError(Fault(row.place, f"{what} has to be text, found {_short(value)}"))
    if not value.strip():
        raise _FaultError(Fault(row.place, f"{what} is empty"))
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise _FaultError(Fault(row.place, f"{what} holds half a character (a lone surrogate)")) from None
    return value


def _choices(row: Row, columns: str | list[str]) -> list[str]:
    choices, what = _several(row, columns, "choice")
    if len(choices) < 2:
        raise _FaultError(Fault(row.place, f"{what}: at least two choices are needed, found {len(choices)}"))
    return choices


def _answers(row: Row, columns: str | list[str]) -> list[str]:
    """Return the answers that count as right, without the space around them that is not compared either."""
    answers, what = _several(row, columns, "answer")
    if not answers:
        raise _FaultError(Fault(row.place, f"{what}: there is no answer"))
    return answers


def _several(row: Row, columns: str | list[str], each: str) -> tuple[list[str], str]:
    """Return the texts of a list in one column, or of the cells of several, of which the last may be empty.

    :param each: what one of them is called in messages.
    """
    if isinstance(columns, str):
        value, what = _list(row, columns, each), f"column {columns!r}"
    else:
        value, what = [_cell(row, column) for column in columns], f"the {each}s"
        while value and value[-1] in (None, ""):
            value.pop()
    texts = [_as_text(row, f"{each} {index + 1}", item, numbers=True) for index, item in enumerate(value)]
    if each == "answer":
        texts = [text.strip() for text in texts]
    if len(set(texts)) < len(texts):
        twice = next(text for index, text in enumerate(texts) if text in texts[:index])
        raise _FaultError(Fault(row.place, f"{what}: the {each} {_short(twice)} is there twice"))
    return texts, what


def _list(row: Row, column: str, each: str) -> list[Any]:
    """Return the list in a cell; a CSV file can only hold it as JSON."""
    value = _cell(row, column)
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise _FaultError(
                Fault(row.place, f'column {column!r} has to hold a list such as ["yes", "no"], found {_short(value)}')
            ) from None
    if not isinstance(value, list):
        raise _FaultError(Fault(row.place, f"column {column!r} has to hold a list of {each}s, found {_short(value)}"))
    return value


def _label(task: OwnTask, row: Row, choices: list[str]) -> int:
    """Return the index of the right choice, counted from 0."""
    column = task.columns["answer"]
    value = _cell(row, column)
    if task.answer_is in ("index", "number"):
        first = 0 if task.answer_is == "index" else 1
        label, allowed = _whole(value), f"{first} to {len(choices) - 1 + first}"
        index = None if label is None else label - first
    else:
        allowed_texts = choices if task.answer_is == "text" else list(string.ascii_uppercase[: len(choices)])
        text = str(value).strip() if task.answer_is == "letter" else _as_text(row, "the answer", value, numbers=True)
        allowed = ", ".join(_short(item) for item in allowed_texts)
        wanted = text.upper() if task.answer_is == "letter" else text
        index = allowed_texts.index(wanted) if wanted in allowed_texts else None
    if index is None or not 0 <= index < len(choices):
        raise _FaultError(
            Fault(row.place, f"column {column!r} is {_short(value)}; answer_is: {task.answer_is} allows {allowed}")
        )
    return index


def _whole(value: Any) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"\s*[0-9]{1,9}\s*", value, re.ASCII):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _short(value: Any, limit: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
