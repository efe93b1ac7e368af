"""Decodes what people write in files: YAML, or JSON, which is almost YAML; and tells in which line something stands.

The difference is in characters beyond the basic plane: JSON spells one with two escapes (RFC 8259, section 7), and a YAML
reader takes them for two characters, neither of which is valid. So what is JSON is read as JSON. Neither reader minds a key
that is there twice, and the first of both values is lost; here it is an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import yaml

Locate = Callable[[tuple[str | int, ...]], int | None]
"""Tells the line a path stands in, counted from 1."""
MOST_VALUES = 1_000_000
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PATH = re.compile(r"([A-Za-z_]\w*(?:[.\[][^.\[\]:\s]+\]?)*): ")


class _Loader(_Base):  # type: ignore[misc]
    """Refuses a key that is twice in one mapping; one that is merged in (``<<``) may be overridden."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        own = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        seen: set[tuple[str, str]] = set()
        for key in own:
            if isinstance(key, yaml.ScalarNode) and (key.tag, key.value) in seen:
                problem = f"the key {key.value!r} is twice in one mapping; keep one"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add((key.tag, str(key.value)))
        found: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return found


def json_or_yaml(text: str) -> Any:
    """Decode a text.

    :raises yaml.YAMLError, ValueError, RecursionError: it is neither, has a key twice in one mapping, or more values than
        anybody writes: a few aliases of aliases are enough for that.
    """
    try:
        return json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        found = yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader
        _check_size(found)
        return found


def _check_size(found: Any) -> None:
    """Count values as they will be written out, aliases each time, and no further than the limit."""
    left, seen = [found], 0
    while left:
        value = left.pop()
        seen += 1
        if seen > MOST_VALUES:
            raise ValueError(f"more than {MOST_VALUES:,} values, counting what aliases stand for")
        if isinstance(value, dict):
            left.extend(value.values())
        elif isinstance(value, list):
            left.extend(value)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is twice in one object")
    return found


def reason(error: Exception) -> str:
    """Return why a text could not be decoded, in one line that begins with its line if that is known."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        return f"line {error.problem_mark.line + 1}: {error.problem or error.context}"
    return str(error).partition("\n")[0]


def line_of(node: Any, path: Sequence[str | int]) -> int:
    """Return the line of a path, or that of the nearest part around it that exists.

    :param node: PyYAML's, which knows where it stands.
    """
    line = node.start_mark.line
    for part in path:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == part), None)
            if found is None:
                break
            line, node = found[0].start_mark.line, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line
        else:
            break
    return int(line) + 1


def locator(text: str) -> Locate:
    """Return what tells the lines of a text with one document; of any other text it knows none."""
    try:
        node = yaml.compose(text, Loader=_Base)
    except (yaml.YAMLError, ValueError, RecursionError):
        node = None
    return lambda path: line_of(node, path) if node is not None else None


def with_lines(message: str, locate: Locate, inside: tuple[str | int, ...] = ()) -> str:
    """Add the line to each line of a message that begins with a field's path.

    :param inside: where the fields stand in the text.
    """
    return "\n".join(_with_line(each, locate, inside) for each in message.splitlines())


def _with_line(message: str, locate: Locate, inside: tuple[str | int, ...]) -> str:
    named = _PATH.match(message)
    if named is None:
        return message
    parts = tuple(int(part) if part.isdecimal() else part for part in re.findall(r"[^.\[\]]+", named[1]))
    line = locate((*inside, *parts))
    return message if line is None else f"{named[1]} (line {line}): {message[named.end() :]}"
