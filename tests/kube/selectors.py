"""Label and field selectors: the grammar of ``apimachinery/pkg/labels`` and ``fields``, as predicates over objects."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tests.kube.errors import bad_request
from tests.kube.kinds import Kind

Json = dict[str, Any]
Predicate = Callable[[Json], bool]

_TERM = re.compile(
    r"""\s*(?:
        (?P<set_key>[\w./-]+)\s+(?P<set_op>in|notin)\s*\((?P<values>[^)]*)\)
      | (?P<key>[\w./-]+)\s*(?P<op>==|!=|=)\s*(?P<value>[\w./-]*)
      | (?P<absent>!)?\s*(?P<exists>[\w./-]+)
    )\s*(?:,|$)""",
    re.VERBOSE,
)

COMMON = ("metadata.name", "metadata.namespace")
FIELDS: dict[str, tuple[str, ...]] = {
    "Pod": (
        "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "status.phase",
        "status.podIP",
    ),
    "Event": (
        "involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
        "involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath", "reason", "type",
        "source", "reportingComponent",
    ),
    "Secret": ("type",),
    "Namespace": ("status.phase",),
    "Node": ("spec.unschedulable",),
}  # fmt: skip
"""What each kind can be selected by; anything else is a 400."""


def by_labels(selector: str) -> Predicate:
    """Return a predicate for a label selector; an empty one selects everything.

    :raises ApiError: 400, it cannot be read.
    """
    tests, position, text = [], 0, selector.strip()
    while position < len(text):
        if not (term := _TERM.match(text, position)):
            raise bad_request(f'unable to parse requirement: found {text[position:]!r}, in selector "{selector}"')
        tests.append(_label_test(term))
        position = term.end()
    return lambda found: all(test(found.get("metadata", {}).get("labels") or {}) for test in tests)


def _label_test(term: re.Match[str]) -> Callable[[dict[str, str]], bool]:
    if key := term["set_key"]:
        values = {value.strip() for value in term["values"].split(",")}
        if term["set_op"] == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if key := term["key"]:
        value = term["value"]
        if term["op"] == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    name, absent = term["exists"], bool(term["absent"])
    return lambda labels: (name in labels) is not absent


def by_fields(selector: str, kind: Kind) -> Predicate:
    """Return a predicate for a field selector.

    :raises ApiError: 400, a field the kind cannot be selected by.
    """
    tests: list[tuple[str, bool, str]] = []
    for term in filter(None, selector.split(",")):
        field, operator, value = re.split(r"(==|!=|=)", term, maxsplit=1) if "=" in term else (term, "", "")
        if not operator:
            raise bad_request(f"invalid selector: '{selector}'; can't understand '{term}'")
        if field not in (*COMMON, *FIELDS.get(kind.kind, ())):
            raise bad_request(f"field label not supported: {field}")
        tests.append((field, operator != "!=", value))
    return lambda found: all((_field(found, field) == value) is wanted for field, wanted, value in tests)


def _field(found: Json, path: str) -> str:
    value: Any = found
    for part in path.split("."):
        value = value.get(part, "") if isinstance(value, dict) else ""
    if isinstance(value, dict):
        value = value.get("component", "")  # of an event's source
    return str(value).lower() if isinstance(value, bool) else str(value)
