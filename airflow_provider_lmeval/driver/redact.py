"""Takes secret values out of whatever is about to be written.

Model servers echo headers, exceptions quote arguments, and lm-eval copies ``model_args`` into its results twice; so
every byte that leaves the driver passes through here. Streams are the hard case: a secret may be cut by a buffer's
end, so bytes that could be the beginning of a secret are held back until the next ones show what they are.

Supervisor and worker share this module. It hides literal values and their usual spellings (JSON, URL); it cannot hide
what a task's own code deliberately disguises.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

REPLACEMENT = "***"
SHORTEST_IN_TEXT = 4
"""Shorter secrets are hidden only where they are a whole JSON value: hiding every ``a`` of a text would destroy it."""


class Redactor:
    """Replaces secret values by ``***``.

    :param secrets: the values; empty ones are ignored.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._values = frozenset(filter(None, secrets))
        spellings = {form for value in self._values if len(value) >= SHORTEST_IN_TEXT for form in _spellings(value)}
        longest_first = sorted(spellings, key=lambda form: (-len(form), form))
        self._text = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        self._forms = [form.encode("utf-8", "surrogateescape") for form in longest_first]
        self._bytes = re.compile(b"|".join(map(re.escape, self._forms)) or rb"(?!)")

    def text(self, text: str) -> str:
        """Return ``text`` without secrets of four or more characters."""
        return self._text.sub(REPLACEMENT, text)

    def data(self, value: Any) -> Any:
        """Return JSON data without secrets. Keys are names, chosen by us or by tasks, and stay.

        :param value: what ``json.loads`` may return.
        """
        if isinstance(value, str):
            return REPLACEMENT if value in self._values else self.text(value)
        if isinstance(value, dict):
            return {key: self.data(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.data(item) for item in value]
        return value

    def stream(self) -> StreamRedactor:
        """Return a redactor for one stream of bytes that arrives in pieces."""
        return StreamRedactor(self._bytes, self._forms)


class StreamRedactor:
    """Redacts a stream piece by piece; made by :meth:`Redactor.stream`."""

    def __init__(self, pattern: re.Pattern[bytes], forms: list[bytes]) -> None:
        self._pattern = pattern
        self._forms = forms
        self._longest = max(map(len, forms), default=0)
        self._held = b""

    def feed(self, piece: bytes) -> bytes:
        """Take the next piece and return what can be shown by now."""
        data, shown, position = self._held + piece, [], 0
        cut = self._undecided_from(data, 0)
        while (match := self._pattern.search(data, position)) and match.start() < cut:
            shown += [data[position : match.start()], REPLACEMENT.encode()]
            position = match.end()
            if position > cut:
                cut = self._undecided_from(data, position)
        self._held = data[cut:]
        return b"".join(shown) + data[position:cut]

    def flush(self) -> bytes:
        """Return what is held back: the stream has ended, so only whole secrets are left to hide."""
        rest, self._held = self._pattern.sub(REPLACEMENT.encode(), self._held), b""
        return rest

    def _undecided_from(self, data: bytes, position: int) -> int:
        """Return where the earliest ending begins that more bytes could turn into a (longer) secret."""
        for start in range(max(position, len(data) - self._longest + 1), len(data)):
            ending = data[start:]
            if any(form.startswith(ending) and form != ending for form in self._forms):
                return start
        return len(data)


def _spellings(secret: str) -> set[str]:
    """Return the secret as it appears in plain text, inside a JSON string and in a URL."""
    escaped = {json.dumps(secret, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)}
    return {secret, quote(secret, safe="", errors="surrogateescape"), *escaped}
