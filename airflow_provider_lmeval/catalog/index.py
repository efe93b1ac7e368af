"""Look-ups over the catalogue: what a name means, what it expands to, and which directories define it.

A DAG author writes ``mmlu``, ``mmlu_*`` or ``ai2_arc`` and means tasks; the driver wants to index only the
directories those need, because indexing all of lm-eval's takes seconds. Both answers must be lm-eval's own, so
the rules here follow its ``TaskIndex`` and ``TaskFactory``. Records are made when asked for: building all of
them would cost more than reading the file.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from fnmatch import filter as fnmatch_filter
from functools import cached_property
from typing import TypeAlias

from airflow_provider_lmeval.catalog.layout import CatalogFile
from airflow_provider_lmeval.catalog.model import GroupInfo, MetricInfo, TagInfo, TaskInfo
from airflow_provider_lmeval.catalog.spelling import nearest
from airflow_provider_lmeval.errors import UnknownTaskError

Entry: TypeAlias = TaskInfo | GroupInfo | TagInfo
INLINE = "::"  # what lm-eval puts between a group and a member defined inside it; such names are no arguments

WILDCARDS = frozenset("*?[")


class Catalog:
    """Everything lm-eval offers by name, in one version.

    :param document: the decoded data file; see :mod:`airflow_provider_lmeval.catalog.layout`.
    """

    def __init__(self, document: CatalogFile) -> None:
        self.lm_eval_version = document["lm_eval_version"]
        self._document = document
        self._position = {name: at for at, name in enumerate(document["tasks"]["name"])}

    def find(self, name: str) -> Entry | None:
        """Return what the exact name, also that of an inline definition, stands for; None if lm-eval lacks it."""
        try:
            return self._entry(name)
        except KeyError:
            return None

    def tasks(self, pattern: str | None = None) -> list[TaskInfo]:
        """Return the tasks, sorted by name.

        :param pattern: a shell-style wildcard, as ``lm-eval --tasks`` takes it; None for all.
        """
        return [self._task(name) for name in _select(self._position, pattern)]

    def groups(self, pattern: str | None = None) -> list[GroupInfo]:
        """Return the groups, sorted by name; ``pattern`` as for :meth:`tasks`."""
        return [self._group(name) for name in _select(self._document["groups"], pattern)]

    def tags(self, pattern: str | None = None) -> list[TagInfo]:
        """Return the tags, sorted by name; ``pattern`` as for :meth:`tasks`."""
        return [self._tag(name) for name in _select(self._document["tags"], pattern)]

    def match(self, pattern: str) -> list[str]:
        """Return the names, of any kind, that a name or wildcard selects: sorted, empty when there are none."""
        if not WILDCARDS & set(pattern):
            return [pattern] if INLINE not in pattern and self.find(pattern) else []
        return fnmatch_filter(self._public, pattern)

    def expand(self, names: Iterable[str]) -> list[TaskInfo]:
        """Return the tasks that are evaluated for these names: in order, each once.

        Groups are followed down to their tasks. What a group changes in a member (``openllm`` sets ``num_fewshot``) is
        not applied: the records describe the tasks themselves.

        :param names: tasks, groups, tags and wildcards.
        :raises UnknownTaskError: a name that selects nothing.
        """
        return [entry for entry in self._reachable(names) if isinstance(entry, TaskInfo)]

    def families(self, names: Iterable[str]) -> list[str]:
        """Return the fewest directories below ``lm_eval/tasks`` that make lm-eval know these names fully.

        Meant for ``TaskManager(include_defaults=False, include_path=[...])``. There a later directory *replaces* a tag
        that an earlier one defined, so the tasks of one tag must lie below one returned directory: ``"."``, that is
        everything, for the few tags whose tasks have no closer one in common.

        :param names: tasks, groups, tags and wildcards.
        :returns: sorted POSIX paths, none inside another.
        :raises UnknownTaskError: a name that selects nothing.
        """
        return _outermost({self._home(entry) for entry in self._reachable(names)})

    def defects(self, names: Iterable[str]) -> list[GroupInfo]:
        """Return the groups, among these names and below them, whose results lm-eval gets wrong or cannot compute.

        :raises UnknownTaskError: a name that selects nothing.
        """
        return [entry for entry in self._reachable(names) if isinstance(entry, GroupInfo) and entry.defect]

    def near(self, name: str, n: int = 5) -> list[str]:
        """Return up to ``n`` names that someone who wrote ``name`` may have meant, the likeliest first.

        Many know a benchmark by its directory in lm-eval, such as ``arc``, so the tasks there come before look-alikes.
        """
        likely = [*self._below(name)[:n], *nearest(name, self._public, n)]
        return list(dict.fromkeys(likely))[:n]

    def _below(self, directory: str) -> list[str]:
        """Return the tasks defined anywhere below a top-level directory of lm-eval's, sorted."""
        columns, profiles = self._document["tasks"], self._document["profiles"]
        inside = [profile["family"].partition("/")[0] == directory for profile in profiles]
        placed = zip(columns["name"], columns["profile"], strict=True)
        return [name for name, at in placed if inside[at] and INLINE not in name]

    @cached_property
    def _public(self) -> list[str]:
        """The names that lm-eval takes as arguments, sorted."""
        document = self._document
        return _select([*document["tasks"]["name"], *document["groups"], *document["tags"]], None)

    def _selected(self, names: Iterable[str]) -> Iterator[str]:
        for name in names:
            found = [name] if self.find(name) and INLINE not in name else self.match(name)
            if not found:
                raise UnknownTaskError(self._unknown(name))
            yield from found

    def _unknown(self, name: str) -> str:
        near = ", ".join(repr(each) for each in self.near(name))
        advice = f"did you mean {near}?" if near else "the command `ls tasks` lists what it has."
        return f"lm-eval {self.lm_eval_version} has no task, group or tag {name!r}: {advice}"

    def _reachable(self, names: Iterable[str]) -> Iterable[Entry]:
        """Return the selected names and everything below them, depth first in lm-eval's order, each once."""
        seen: dict[str, Entry] = {}
        pending = list(self._selected(names))[::-1]
        while pending:
            name = pending.pop()
            if name not in seen:
                entry = seen[name] = self._entry(name)
                pending.extend(() if isinstance(entry, TaskInfo) else reversed(entry.members))
        return seen.values()

    def _home(self, entry: Entry) -> str:
        """Return the directory that has to be indexed for lm-eval to know the entry as the full index does."""
        if isinstance(entry, TagInfo):
            return posixpath.commonpath([self._task(member).family for member in entry.members]) or "."
        return entry.family

    def _entry(self, name: str) -> Entry:
        if name in self._position:
            return self._task(name)
        return self._group(name) if name in self._document["groups"] else self._tag(name)

    def _task(self, name: str) -> TaskInfo:
        columns, at = self._document["tasks"], self._position[name]
        profile = self._document["profiles"][columns["profile"][at]]
        return TaskInfo(
            name=name,
            output_type=profile["output_type"],
            metrics=tuple(MetricInfo(metric, higher) for metric, higher in profile["metrics"]),
            filters=tuple(profile["filters"]),
            num_fewshot=profile["num_fewshot"],
            unsafe_code=profile["unsafe_code"],
            family=profile["family"],
            dataset_path=profile["dataset_path"],
            dataset_name=columns["dataset_name"][at],
            version=profile["version"],
        )

    def _group(self, name: str) -> GroupInfo:
        row = self._document["groups"][name]
        return GroupInfo(name, tuple(row["members"]), row["aggregates"], row["family"], row["defect"])

    def _tag(self, name: str) -> TagInfo:
        names = self._document["tasks"]["name"]
        return TagInfo(name, tuple(names[at] for at in self._document["tags"][name]))


def _select(names: Iterable[str], pattern: str | None) -> list[str]:
    public = [name for name in names if INLINE not in name]
    return sorted(public if pattern is None else fnmatch_filter(public, pattern))


def _outermost(directories: set[str]) -> list[str]:
    """Drop every directory that lies inside another of them."""
    kept: list[str] = []
    for directory in sorted(directories, key=lambda path: (path != ".", path.count("/"), path)):
        if not any(parent == "." or directory.startswith(f"{parent}/") for parent in kept):
            kept.append(directory)
    return sorted(kept)
