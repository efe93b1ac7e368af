"""``taskList.customTasks``, both ways: task definitions from a git repository.

The operator clones a repository whole and then checks out the branch, if there is one, and the commit, if there is one. We
fetch the one revision that this comes to. Where our source alone would not give the manifest back as it was, the job's
settings keep the operator's words beside it; where there is no such revision to name, they are all there is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from airflow_provider_lmeval.plan.lmevaljob.findings import Findings, Path
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.spec.lmevaljob import LMEvalJobSettings
from airflow_provider_lmeval.spec.sources import GitSource
from airflow_provider_lmeval.spec.wording import describe

GIT: Path = ("spec", "taskList", "customTasks", "source", "git")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_KEPT = "only the backend lmevaljob takes it over; elsewhere, give task_sources"


def read_git(task_list: Mapping[str, Any], findings: Findings) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a spec says of the repository, and what only the job's settings can.

    :param task_list: ``spec.taskList``, which has passed the schema.
    """
    given = task_list.get("customTasks", {}).get("source", {}).get("git", {})
    git = {name: value for name, value in given.items() if value}
    if not git:
        return {}, {}
    try:
        source = _source(git)
    except ValueError as error:
        findings.warn(GIT, f"{error}; {_KEPT}")
        return {}, {"git_tasks": git}
    if source.ref == "HEAD":
        findings.warn(GIT, "no branch: the operator takes `main` if there is one, we take the repository's default")
    kept = {} if _words(source) == git else {"git_tasks": git}
    return {"task_sources": [source.model_dump(exclude_defaults=True)]}, kept


def write_git(
    spec: EvalSpec, job: LMEvalJobSettings, findings: Findings, origins: dict[Path, str]
) -> dict[str, dict[str, Any]]:
    """Return the part of ``taskList``; nothing where no repository is named.

    :param origins: filled with which of our fields it comes from.
    """
    given = None if job.git_tasks is None else job.git_tasks.model_dump(exclude_none=True)
    if spec.task_sources:
        origins[GIT[:3]] = "task_sources"
        given = _agreed(spec, given, findings)
    return {} if given is None else {"customTasks": {"source": {"git": given}}}


def _agreed(spec: EvalSpec, given: dict[str, Any] | None, findings: Findings) -> dict[str, Any] | None:
    """Return the operator's words for the spec's source: the job's own, if they mean the same."""
    source, *others = spec.task_sources
    if others or not isinstance(source, GitSource):
        findings.error(("task_sources",), "LMEvalJob has words for one git repository; leave one, and nothing else")
        return given
    if given is None:
        return _words(source)
    if not _means(given, source):
        findings.error(
            ("lmevaljob", "git_tasks"), "names another source than the spec's task_sources; drop one of both"
        )
    return given


def _means(git: Mapping[str, Any], source: GitSource) -> bool:
    try:
        return _source(git) == source
    except ValueError:
        return False


def _source(git: Mapping[str, Any]) -> GitSource:
    """Return the revision that the operator would end up with.

    :raises ValueError: there is none that could be fetched by name.
    """
    commit, branch = git.get("commit"), git.get("branch")
    if not git.get("url"):
        raise ValueError("names no repository, so the operator fetches nothing")
    if commit and not _COMMIT.fullmatch(commit):
        raise ValueError(f"commit {commit!r} is abbreviated, and only a full one can be fetched alone")
    if branch and not commit and _COMMIT.fullmatch(branch):
        raise ValueError(f"branch {branch!r} is named like a commit")
    path = "/".join(part for part in git.get("path", "").split("/") if part not in ("", "."))
    try:
        return GitSource(type="git", url=git["url"], ref=commit or branch or "HEAD", path=path)
    except ValidationError as error:
        raise ValueError("; ".join(describe(error).splitlines())) from None


def _words(source: GitSource) -> dict[str, str]:
    """Return a source in the operator's words: what it checks out as a branch may be a tag as well."""
    revision = {} if source.ref == "HEAD" else {"commit" if _COMMIT.fullmatch(source.ref) else "branch": source.ref}
    return {"url": source.url} | revision | ({"path": source.path} if source.path else {})
