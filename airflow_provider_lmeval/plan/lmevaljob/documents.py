"""Text into documents: YAML streams, lists of resources, what ``kustomize build`` prints; each value with its line.

Built on PyYAML's nodes, which know where they stand. The stream is looked over before anything is built from it: text from
anywhere must not exhaust memory or the stack. Aliases are refused, since they are how small text becomes large data.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from airflow_provider_lmeval.errors import ManifestError
from airflow_provider_lmeval.plan.lmevaljob.schema import KIND, MAX_BYTES, MAX_DEPTH, MAX_VALUES
from airflow_provider_lmeval.spec.text import Locate, line_of

MAX_STREAM_BYTES = 20 * MAX_BYTES
"""Longest text: a stream may hold many resources."""
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DEEPER = {yaml.MappingStartEvent: 1, yaml.SequenceStartEvent: 1, yaml.MappingEndEvent: -1, yaml.SequenceEndEvent: -1}


@dataclass(frozen=True)
class SourceDocument:
    """One resource of a stream.

    :param data: the resource. :param locate: tells the line of a path in it.
    """

    data: Any
    locate: Locate

    @property
    def kind(self) -> str:
        """Its kind, or what stands in its place."""
        found = self.data.get("kind") if isinstance(self.data, dict) else None
        return str(found or f"a {type(self.data).__name__} without kind")

    @property
    def is_lmevaljob(self) -> bool:
        """Whether it says it is an ``LMEvalJob``."""
        return self.kind == KIND


def read_documents(text: str) -> list[SourceDocument]:
    """Split a stream into its resources; lists of resources are opened.

    :raises ManifestError: not YAML, too long, too deep, aliases, or a key twice in one mapping; with the line.
    """
    if len(text) > MAX_STREAM_BYTES:
        raise ManifestError(f"text of {len(text):,} characters; the limit is {MAX_STREAM_BYTES:,}")
    try:
        _look_over(text)
        nodes = list(yaml.compose_all(text, Loader=_Loader))
        return [document for node in nodes if node is not None for document in _resources(node)]
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ManifestError(f"{line}no valid YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ManifestError(f"no valid YAML: {str(error).splitlines()[0]}") from None


def _look_over(text: str) -> None:
    depth = values = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += _DEEPER.get(type(event), 0)
        values += isinstance(event, yaml.NodeEvent)
        if depth > MAX_DEPTH or values > MAX_VALUES or type(event) is yaml.AliasEvent:
            raise ManifestError(f"{_at(event)}{_why_refused(event, depth)}")


def _at(event: Any) -> str:
    return f"line {event.start_mark.line + 1}: " if event.start_mark else ""


def _why_refused(event: Any, depth: int) -> str:
    if isinstance(event, yaml.AliasEvent):
        return f"the alias *{event.anchor}; write out what it stands for"
    most = f"deeper than {MAX_DEPTH} levels" if depth > MAX_DEPTH else f"with more than {MAX_VALUES:,} values"
    return f"a document {most}"


def _resources(node: Any) -> Iterator[SourceDocument]:
    _refuse_double_keys(node)
    data = _Loader("").construct_document(node)
    if data is None:
        return
    items = data.get("items") if isinstance(data, dict) and str(data.get("kind", "")).endswith("List") else None
    if not isinstance(items, list):
        yield SourceDocument(data, lambda path: line_of(node, path))
        return
    for index, item in enumerate(items):
        yield SourceDocument(item, lambda path, index=index: line_of(node, ("items", index, *path)))  # type: ignore[misc]


def _refuse_double_keys(top: Any) -> None:
    left = [top]
    while left:
        node = left.pop()
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode) and key.value in seen:
                    line = key.start_mark.line + 1
                    raise ManifestError(f"line {line}: the key {key.value!r} is twice in one mapping; keep one")
                seen.add(getattr(key, "value", "") if isinstance(key, yaml.ScalarNode) else "")
                left.append(value)
        elif isinstance(node, yaml.SequenceNode):
            left.extend(node.value)
