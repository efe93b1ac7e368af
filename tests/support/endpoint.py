"""Served models that misbehave: one keeps its callers waiting, one loses requests and answers some with nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

from tests.support.loopback import Answer, Loopback


class _Endpoint(Loopback):
    """Answers questions, and has no list of models.

    :param path: where it is asked. :param say: answers one question's document.
    """

    def __init__(self, path: str, say: Callable[[dict[str, Any]], Answer]) -> None:
        super().__init__(lambda asked: say(json.loads(asked.body)) if asked.method == "POST" else Answer(404))
        self.address = f"{self.url}{path}"

    @property
    def questions(self) -> int:
        """How often it was asked something."""
        return sum(asked.method == "POST" for asked in self.asked)


class HangingEndpoint(_Endpoint):
    """An OpenAI-compatible completions endpoint on loopback.

    :param answers: requests it answers, each prompt with "red", before it falls silent; by default the two of a
        run that tries it.
    """

    def __init__(self, answers: int = 2) -> None:
        super().__init__("/v1/completions", self._complete)
        self.silent = threading.Event()
        self._answers, self._over = answers, threading.Event()

    def _complete(self, question: dict[str, Any]) -> Answer:
        if self.questions > self._answers:
            self.silent.set()
            self._over.wait()
            return Answer(503)
        asked = question.get("prompt")
        prompts = asked if isinstance(asked, list) and not isinstance(asked[0], int) else [asked]
        return Answer.json(
            {"choices": [{"index": index, "text": "red", "logprobs": None} for index in range(len(prompts))]}
        )

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        super().__exit__(*exc)


class FlakyEndpoint(_Endpoint):
    """An OpenAI-compatible chat endpoint on loopback that does not answer everything it is asked.

    :param answer: is given the last message and returns the document's ``choices``, or None to break off with status 503.
    """

    def __init__(self, answer: Callable[[str], Any]) -> None:
        super().__init__("/v1/chat/completions", self._chat)
        self._choices = answer

    def _chat(self, question: dict[str, Any]) -> Answer:
        choices = self._choices(question["messages"][-1]["content"])
        return Answer.json({"error": "overloaded"}, 503) if choices is None else Answer.json({"choices": choices})


def says(text: str | None) -> list[dict[str, Any]]:
    """Return the ``choices`` of a chat endpoint's document with one answer; None for no content."""
    return [{"index": 0, "message": {"role": "assistant", "content": text}}]
