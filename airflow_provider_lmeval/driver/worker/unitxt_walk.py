"""Follows a unitxt artifact through everything it holds and refers to, and has each part checked before unitxt loads any.

References are strings like any other: a card's ``"task": "tasks.qa.open"``, a template's list of post-processors, with
arguments in brackets (``metrics.x[key=value]``). So each string that is the id of an artifact counts as a reference, and an
artifact hidden in a string as JSON is refused. What only appears in the data at run time is left to ``unitxt_guard``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_lmeval.driver.worker.unitxt_catalog import ID, Catalog, bad_spec, is_id
from airflow_provider_lmeval.driver.worker.unitxt_rules import Rules, code_denied
from airflow_provider_lmeval.wire_unitxt import DENIED_KEYS, LOADERS, TYPE

KINDS = (
    "augmentors", "cards", "formats", "metrics", "operators", "processors", "serializers", "splitters", "system_prompts",
    "tasks", "templates",
)  # fmt: skip
"""Directories of unitxt's catalogue: an id that starts so and does not exist is a mistake, not a text."""
_REFERENCE = re.compile(rf"\s*({ID.pattern})\s*(\[.*\])?\s*", re.IGNORECASE | re.ASCII | re.DOTALL)
_LONGEST_REFERENCE = 2000
_DEEPEST = 100


@dataclass
class Walk:
    """One pass over an artifact and all it refers to.

    :param catalog: where references are looked up.
    :param rules: the permissions, which also collect the data files that are read.
    """

    catalog: Catalog
    rules: Rules
    _seen: set[str] = field(default_factory=set)

    def reference(self, name: str) -> None:
        """Check an artifact by its id, once.

        :raises RunFailedError: ``bad_spec``: it does not exist; ``code_denied`` or ``online_denied``.
        """
        if name not in self._seen:
            self._seen.add(name)
            custom = self.catalog.find(name, others_only=True) is None
            self._visit(self.catalog.load(name), name, custom=custom, depth=0)

    def _visit(self, value: Any, where: str, *, custom: bool, depth: int) -> None:
        if depth > _DEEPEST:
            raise bad_spec(f"unitxt artifact {where!r} is nested more than {_DEEPEST} levels deep")
        if isinstance(value, str):
            self._text(value, where, custom=custom)
        elif isinstance(value, dict | list):
            if isinstance(value, dict) and TYPE in value:
                self._artifact(value, where)
            for item in _held(value):
                self._visit(item, where, custom=custom, depth=depth + 1)

    def _artifact(self, node: dict[str, Any], where: str) -> None:
        if not isinstance(node[TYPE], str):
            raise bad_spec(f"unitxt artifact {where!r}: '__type__' has to be a name, found {type(node[TYPE]).__name__}")
        self.rules.check(node, where)

    def _text(self, text: str, where: str, *, custom: bool) -> None:
        if TYPE in text and not self.rules.allow_code:
            raise code_denied(where, "text", "it hides an artifact in a string; write it as JSON")
        match = _REFERENCE.fullmatch(text) if len(text) <= _LONGEST_REFERENCE else None
        if match is None:
            return
        name, arguments = match.groups()
        for key in re.findall(r"(\w+)\s*=", arguments or ""):
            if key in DENIED_KEYS and not self.rules.allow_code:
                raise code_denied(where, name, f"the argument {key!r} is code or names a secret")
        for candidate in (name, *(part.group() for part in ID.finditer(arguments or ""))):
            self._candidate(candidate, where, custom=custom)

    def _candidate(self, name: str, where: str, *, custom: bool) -> None:
        if not is_id(name):
            return
        if self.catalog.find(name):
            self.reference(name)
        elif custom and "." in name and name.partition(".")[0] in KINDS:
            near = self.catalog.near(name)
            hint = f" Did you mean {', '.join(near)}?" if near else ""
            raise bad_spec(f"unitxt artifact {where!r} refers to {name!r}, which does not exist.{hint}")


def _held(value: dict[str, Any] | list[Any]) -> Iterator[Any]:
    """Yield what an artifact, object or list holds; a loader's arguments are data and places, not references."""
    if isinstance(value, list):
        yield from value
    elif value.get(TYPE) in LOADERS:
        yield from (value[key] for key in ("sources",) if key in value)
    else:
        yield from value.values()
