"""What rows have to be, and when two sets of them are the same data."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lmeval.wire_data import OwnTask, Source, data_hash, examine, examine_fewshot
from airflow_provider_lmeval.wire_rows import Fault, Row

COLUMNS = {"question": "q", "choices": "c", "answer": "a"}
GOOD = {"q": "2 + 2?", "c": ["3", "4"], "a": 1}


def task(**changes: Any) -> OwnTask:
    fields = {"name": "mine", "output_type": "multiple_choice", "source": Source(path="/d.jsonl"), "columns": COLUMNS}
    return OwnTask(**{**fields, **changes})


def rows(*values: dict[str, Any]) -> list[Row]:
    return [Row(f"line {number}", each) for number, each in enumerate(values, start=1)]


def faults(given: OwnTask, *values: dict[str, Any]) -> list[str]:
    return [str(fault) for fault in examine(given, rows(*values)).faults]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"q": ""}, "column 'q' is empty"),
        ({"q": None}, "column 'q' has to be text, found None"),
        ({"q": "\ud800"}, "half a character"),
        ({"c": ["3"]}, "at least two choices are needed, found 1"),
        ({"c": ["3", "3"]}, "the choice '3' is there twice"),
        ({"c": ["3", ""]}, "choice 2 is empty"),
        ({"c": "3 or 4"}, 'a list such as ["yes", "no"]'),
        ({"c": {"text": ["3", "4"]}}, "a list of choices"),
        ({"a": 2}, "column 'a' is 2; answer_is: index allows 0 to 1"),
        ({"a": -1}, "answer_is: index allows 0 to 1"),
        ({"a": True}, "answer_is: index allows 0 to 1"),
        ({"a": "B"}, "answer_is: index allows 0 to 1"),
        ({"a": 1.0}, "answer_is: index allows 0 to 1"),
    ],
)
def test_a_faulty_row_is_named_with_what_is_allowed(change: dict[str, Any], words: str) -> None:
    (fault,) = faults(task(), GOOD, GOOD | {"q": "other"} | change)

    assert fault.startswith("line 2: ")
    assert words in fault


SEVERAL = {"output_type": "generate_until", "columns": {"question": "q", "answers": "a"}}


@pytest.mark.parametrize(
    ("columns", "row"),
    [
        ("a", {"a": ["four", " 4 "]}),
        ("a", {"a": '["four", 4]'}),
        (["a", "b", "c"], {"a": "four", "b": 4, "c": ""}),
        ("a.text", {"a": {"text": ["four", "4"], "start": [1, 2]}}),
        ("a.text", {"a": {"text": "another"}, "a.text": ["four", "4"]}),
    ],
)
def test_several_answers_are_a_list_or_columns_at_any_depth(columns: Any, row: dict[str, Any]) -> None:
    given = task(output_type="generate_until", columns={"question": "q", "answers": columns})
    (document,) = examine(given, rows({"q": "2 + 2?"} | row)).documents

    assert document["answer"] == ["four", "4"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ([], "column 'a': there is no answer"),
        (["4", ""], "answer 2 is empty"),
        (["4", "4 "], "the answer '4' is there twice"),
        ("four", 'a list such as ["yes", "no"]'),
        ({"text": ["4"]}, "a list of answers"),
    ],
)
def test_faulty_answers_are_named_by_line(answer: Any, words: str) -> None:
    (fault,) = faults(task(**SEVERAL), {"q": "1 + 1?", "a": ["2"]}, {"q": "2 + 2?", "a": answer})

    assert fault.startswith("line 2: ")
    assert words in fault


def test_an_answer_that_the_model_is_to_write_has_no_space_around_it() -> None:
    given = task(output_type="generate_until", columns={"question": "q", "answer": "a"})

    assert examine(given, rows({"q": "2 + 2?", "a": " 4\n"})).documents[0]["answer"] == "4"


def test_a_path_that_leads_nowhere_is_answered_with_those_there_are() -> None:
    given = task(columns=COLUMNS | {"question": "item.q"})

    assert faults(given, GOOD | {"item": {"x": 1, "y": {"z": 2}}, "empty": {}}) == [
        "line 1: no column 'item.q'; there are 'q', 'c', 'a', 'item.x', 'item.y.z', 'empty'"
    ]


def test_a_column_that_is_missing_is_named_with_those_there_are() -> None:
    assert faults(task(), {"question": "x", "c": ["a", "b"]}) == ["line 1: no column 'q'; there are 'question', 'c'"]


@pytest.mark.parametrize(
    ("answer_is", "answer", "index"),
    [("index", 1, 1), ("index", " 1 ", 1), ("number", 2, 1), ("letter", "b", 1), ("letter", "A", 0), ("text", "4", 1),
     ("text", 4, 1)],
)  # fmt: skip
def test_each_way_to_give_the_right_choice(answer_is: str, answer: Any, index: int) -> None:
    (document,) = examine(task(answer_is=answer_is), rows(GOOD | {"a": answer})).documents

    assert document["answer"] == index


@pytest.mark.parametrize(
    ("answer_is", "answer", "allowed"),
    [("number", 0, "1 to 2"), ("letter", "C", "'A', 'B'"), ("text", "5", "'3', '4'")],
)
def test_answers_out_of_range_are_told_what_is_in_range(answer_is: str, answer: Any, allowed: str) -> None:
    (fault,) = faults(task(answer_is=answer_is), GOOD | {"a": answer})

    assert fault.endswith(f"answer_is: {answer_is} allows {allowed}")


def test_choices_may_have_a_column_each_and_the_last_may_be_empty() -> None:
    columns = {"question": "q", "choices": ["x", "y", "z"], "answer": "a"}
    found = examine(task(columns=columns), rows({"q": "?", "x": "1", "y": "2", "z": "", "a": "1"}))

    assert found.documents == [{"prompt": "?", "choices": ["1", "2"], "answer": 1}]


def test_a_question_that_is_there_twice_is_named_with_its_first_place() -> None:
    assert faults(task(), GOOD, GOOD | {"q": "x"}, GOOD | {"a": 0}) == [
        "line 3: the same question as in line 1; remove one of them"
    ]


def test_nothing_in_a_row_or_a_prompt_is_a_template() -> None:
    given = task(prompt="{{ 7*7 }} {context}: {question} {answer}", columns=COLUMNS | {"context": "t"})
    (document,) = examine(given, rows(GOOD | {"q": "{context} {{x}} %s", "t": "{question}"})).documents

    assert document["prompt"] == "{{ 7*7 }} {question}: {context} {{x}} %s {answer}"


def test_no_rows_are_a_fault() -> None:
    assert faults(task()) == ["there are no rows"]


def test_faults_of_reading_and_of_checking_come_in_order() -> None:
    found = examine(task(), [Fault("line 1", "not JSON"), Row("line 2", GOOD), Row("line 3", GOOD | {"q": ""})])

    assert [fault.place for fault in found.faults] == ["line 1", "line 3"]
    assert found.places == ["line 2"]


def test_an_example_that_is_also_tested_is_a_fault() -> None:
    tested = examine(task(), rows(GOOD))
    found = examine_fewshot(task(num_fewshot=1), rows(GOOD | {"q": "x"}, GOOD), tested)

    assert [str(fault) for fault in found.faults] == [
        "line 2: this example gives away an answer: the tested data have it, line 1"
    ]


def test_too_few_examples_are_a_fault() -> None:
    found = examine_fewshot(task(num_fewshot=2), rows(GOOD | {"q": "x"}), examine(task(), rows(GOOD)))

    assert "num_fewshot asks for 2" in str(found.faults[0])


@given(st.lists(st.text(min_size=1), min_size=1, unique=True), st.randoms(use_true_random=False))
def test_the_order_of_documents_does_not_change_their_hash_and_everything_else_does(
    texts: list[str], dice: random.Random
) -> None:
    documents = [{"prompt": text, "answer": "x"} for text in texts]
    shuffled = dice.sample(documents, len(documents))
    changed = [documents[0] | {"answer": "y"}, *documents[1:]]

    assert data_hash(shuffled) == data_hash(documents)
    assert len({data_hash(documents), data_hash(changed), data_hash(documents[1:]), data_hash((), documents)}) == 4


@given(
    st.dictionaries(
        st.sampled_from(["q", "c", "a", "other"]),
        st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists),
    ),
    st.sampled_from(["index", "number", "letter", "text"]),
)
def test_any_row_is_a_document_that_lm_eval_can_take_or_a_fault(values: dict[str, Any], answer_is: str) -> None:
    found = examine(task(answer_is=answer_is), rows(values))

    assert len(found.documents) + len(found.faults) == 1
    for document in found.documents:
        assert 0 <= document["answer"] < len(document["choices"])
        assert all(isinstance(choice, str) and choice.strip() for choice in document["choices"])


def test_a_task_survives_the_wire() -> None:
    given = task(fewshot=Source(uri="s3://b/x.csv", format="csv"), metrics=[{"metric": "acc"}], num_fewshot=3)

    assert OwnTask.from_json(json.loads(json.dumps(given.to_json()))) == given
