"""What a served model did not answer is counted, by document, and scored as lm-eval scores it."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import pytest

from airflow_provider_lmeval.driver.worker.requests import NoAnswer, request_counts
from airflow_provider_lmeval.wire import Request
from tests.support.endpoint import FlakyEndpoint, says
from tests.support.tiny import FACTS, tiny_tasks
from tests.support.worker import Worker, evaluate

pytestmark = pytest.mark.driver

SILENT, EMPTY, FILTERED, REFUSED = list(FACTS)[:4]


def answering() -> Any:
    """Return a model that knows every colour, but has nothing to say of three things and is down when first asked of one."""
    times: Counter[str] = Counter()

    def answer(asked: str) -> Any:
        thing = next((each for each in FACTS if f" {each}?" in asked), None)
        if thing is None:
            return says("Hello")  # the driver's own question
        times[thing] += 1
        if thing == REFUSED and times[thing] == 1:
            return None
        silent = {SILENT: says(None), EMPTY: says(""), FILTERED: [{"index": 0, "finish_reason": "content_filter"}]}
        return silent.get(thing, says(FACTS[thing]))

    return answer


@pytest.fixture(scope="module", params=[1, 4], ids=["one after the other", "four at once"])
def served(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Worker:
    with FlakyEndpoint(answering()) as endpoint:
        model_args = {"model": "tiny", "base_url": endpoint.address, "num_concurrent": request.param}
        asked = Request(
            run_id="test",
            spec_hash="0" * 64,
            model="local-chat-completions",
            model_args={**model_args, "tokenizer_backend": None, "max_retries": 3},
            tasks=["tiny_gen"],
            include_paths=[str(tiny_tasks())],
            evaluate={"apply_chat_template": True},
        )
        return evaluate(tmp_path_factory.mktemp("served"), asked)


def test_documents_without_an_answer_are_counted_and_an_empty_answer_is_one(served: Worker) -> None:
    entry = served.evaluation["tasks"]["tiny_gen"]

    assert entry["n_samples"]["effective"] == len(FACTS)
    assert entry["failed"] == 2, "no content, and a document without a message"
    assert entry["requests"] == {"total": len(FACTS), "failed": 2, "repeated": 1}


def test_they_are_scored_as_wrong_like_lm_eval_does(served: Worker) -> None:
    value = served.evaluation["tasks"]["tiny_gen"]["metrics"]["exact_match,whole"]["value"]

    assert value == pytest.approx((len(FACTS) - 3) / len(FACTS))


def rows(*answers: list[Any]) -> list[dict[str, Any]]:
    both = itertools.product(enumerate(answers), ("strict", "loose"))
    return [{"doc_id": n, "filter": name, "resps": texts} for (n, texts), name in both]


def test_a_document_with_two_filters_is_counted_once() -> None:
    assert request_counts(rows([["red"]], [[NoAnswer("")]])) == ({"total": 2, "failed": 1}, 1)


def test_a_document_asked_several_times_fails_once() -> None:
    assert request_counts(rows([["a", NoAnswer(""), NoAnswer("")]])) == ({"total": 3, "failed": 2}, 1)


def test_loglikelihoods_are_one_request_for_each_choice() -> None:
    assert request_counts(rows([[(-1.5, True)], [(-2.5, False)]])) == ({"total": 2, "failed": 0}, 0)
