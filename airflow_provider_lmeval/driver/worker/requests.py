"""Counts what a served model did not answer: lm-eval scores such documents like any other and forgets which they were.

A request that a server refuses or breaks off is tried again, and if that does not help the evaluation fails. But a server
may also accept one and answer nothing: no content (a filter, a reasoning model out of tokens) or a document without any
text. Then lm-eval takes the empty string for the answer (``lm_eval/models/api_models.py``, 0.4.13). Here that string is of
a type of its own, so that it is known again in the samples, on its way through batches, caches and filters; its value, and
so every score, is lm-eval's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any


class NoAnswer(str):
    """The text that stands for an answer that never came."""

    __slots__ = ()


class Attempts:
    """Counts the requests over HTTP that failed and were tried again."""

    def __init__(self) -> None:
        self.repeated = 0

    def follow(self, lm: Any) -> None:
        """Watch a model from now on; one that is not served is left alone.

        :param lm: lm-eval's model object, without its cache.
        """
        from lm_eval.models import api_models

        if not isinstance(lm, api_models.TemplateAPI):
            return
        api_models.LMEVAL_MODEL_NONE_ANSWER_PLACEHOLDER = NoAnswer(api_models.LMEVAL_MODEL_NONE_ANSWER_PLACEHOLDER)
        lm.parse_generations = _marking(lm.parse_generations)
        lm.model_call = self._counting(lm.model_call)
        lm.amodel_call = self._counting_async(lm.amodel_call)

    def _counting(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            try:
                return call(*args, **kwargs)
            except Exception:
                self.repeated += 1
                raise

        return counted

    def _counting_async(self, call: Callable[..., Any]) -> Callable[..., Any]:
        async def counted(*args: Any, **kwargs: Any) -> Any:
            try:
                return await call(*args, **kwargs)
            except Exception:
                self.repeated += 1
                raise

        return counted


def _marking(parse: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``parse_generations`` with None for what lm-eval makes an empty text of, because it found no text at all."""

    def marked(outputs: Any, *args: Any, **kwargs: Any) -> list[Any]:
        answers: list[Any] = []
        for output in outputs if isinstance(outputs, list) else [outputs]:
            said = _says_something(output)
            answers += [text if text or said else None for text in parse(*args, outputs=output, **kwargs)]
        return answers

    return marked


def _says_something(output: Any) -> bool:
    """Whether a server's document holds texts at all, empty ones included."""
    choices = output.get("choices") if isinstance(output, Mapping) else None
    return bool(choices) and all(isinstance(_text(choice), str) for choice in choices or ())


def _text(choice: Any) -> Any:
    message = choice.get("message") if isinstance(choice, Mapping) else None
    return message.get("content") if isinstance(message, Mapping) else (choice or {}).get("text")


def request_counts(rows: Iterable[Mapping[str, Any]]) -> tuple[dict[str, int], int]:
    """Return a task's requests, and the number of documents that have an answer which never came.

    :param rows: lm-eval's sample rows, one per document and filter.
    :returns: ``{"total", "failed"}``, and documents.
    """
    by_document = {row["doc_id"]: [text for texts in row["resps"] for text in _flat(texts)] for row in rows}
    failed = [sum(isinstance(text, NoAnswer) for text in texts) for texts in by_document.values()]
    total = sum(len(texts) for texts in by_document.values())
    return {"total": total, "failed": sum(failed)}, sum(map(bool, failed))


def _flat(texts: Any) -> Iterable[Any]:
    """Return the answers to one request; a log-likelihood is one answer, whatever it consists of."""
    return texts if isinstance(texts, list) else [texts]
