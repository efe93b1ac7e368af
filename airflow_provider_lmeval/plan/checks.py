"""Checks of a spec against the catalogue and the permissions, each with an id and a remedy, before anything is created.

They return problems instead of raising, so that ``validate`` can list all of them at once; operators raise the errors.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

from airflow_provider_lmeval.catalog import CATALOG_VERSION, Catalog, catalog
from airflow_provider_lmeval.errors import EvaluationPermissionError, ManifestError, SpecError, UnknownTaskError
from airflow_provider_lmeval.plan.code import code_in, some
from airflow_provider_lmeval.plan.data import git_hosts
from airflow_provider_lmeval.plan.preflight_rules import RULES
from airflow_provider_lmeval.plan.served import check_served
from airflow_provider_lmeval.plan.suites import referenced, split_tasks
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.spec.sources import DirectorySource, GitSource
from airflow_provider_lmeval.wire import GIT_MAX_BYTES, Cause
from airflow_provider_lmeval.wire_env import takes_both, why_not

LOGLIKELIHOOD = frozenset({"loglikelihood", "loglikelihood_rolling", "multiple_choice"})
"""Output types for which lm-eval asks the model for log-likelihoods."""
OPENAI_LOGLIKELIHOOD = ("babbage-002", "davinci-002")
"""The only models whose log-likelihoods OpenAI's API still gives (``openai_completions.py`` of lm-eval)."""

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class Grants:
    """What the administrator allows, in configuration or connection; the spec has to ask for it as well.

    :param online: downloads and endpoints on the internet.
    :param code_execution: running code that models, tasks or datasets bring.
    :param env: names of environment variables that a spec may refer to.
    :param git_hosts: hosts that task definitions may be fetched from.
    :param git_max_bytes: what one fetch may bring.
    :param data_roots: directories that data files may be read from.
    """

    online: bool = False
    code_execution: bool = False
    env: frozenset[str] = frozenset()
    git_hosts: frozenset[str] = frozenset()
    git_max_bytes: int = GIT_MAX_BYTES
    data_roots: tuple[str, ...] = ()


@dataclass(frozen=True)
class Problem:
    """One finding.

    :param id: stable name of the rule.
    :param level: an ``error`` stops the run, a ``warning`` is logged.
    :param message: what was found and what to do.
    """

    id: str
    level: Literal["error", "warning"]
    message: str

    @property
    def remedy(self) -> str:
        """One line on what to do."""
        return RULES[self.id]


def check(spec: EvalSpec, grants: Grants, *, lm_eval_version: str = CATALOG_VERSION) -> list[Problem]:
    """Return everything that is wrong with a spec, worst first.

    :param spec: a valid spec.
    :param grants: the administrator's permissions.
    :param lm_eval_version: version that will run; names are only held against the catalogue when it is the same.
    """
    known = catalog()
    names, inline = split_tasks(spec)
    listed = [name for name in referenced(names, inline) if known.match(name)]
    closed = lm_eval_version == known.lm_eval_version and not spec.include_paths and not spec.task_sources
    problems = [
        *_unknown(names, known, closed),
        *_clashes(spec, known),
        *_defects(listed, known),
        *_loglikelihood(spec, listed, inline, known),
        *_code(spec, listed, inline, known, grants),
        *_permissions(spec, grants),
        *_elsewhere(spec, grants),
        *_outside(spec, grants),
        *_hub(spec, grants),
        *_advice(spec),
    ]
    return sorted(problems, key=lambda problem: problem.level)


def raise_errors(problems: list[Problem]) -> None:
    """Raise the errors among the problems as one exception, the most telling type first.

    :raises UnknownTaskError, EvaluationPermissionError, ManifestError, SpecError: one line per error.
    """
    errors = [problem for problem in problems if problem.level == "error"]
    if not errors:
        return
    kinds: dict[str, type[SpecError]] = {
        "unknown-task": UnknownTaskError,
        "code-denied": EvaluationPermissionError,
        "online-denied": EvaluationPermissionError,
        "env-denied": EvaluationPermissionError,
        "git-denied": EvaluationPermissionError,
        "lmevaljob-field": ManifestError,
    }
    raise kinds.get(errors[0].id, SpecError)("\n".join(f"{e.message} [{e.id}]" for e in errors))


def _unknown(names: list[str], known: Catalog, closed: bool) -> Iterator[Problem]:
    strangers = [name for name in names if not known.match(name) and not name.endswith((".yaml", ".yml"))]
    if strangers and not closed:
        text = f"tasks: {some(strangers)}: not in the catalogue of lm-eval {known.lm_eval_version}"
        yield Problem(
            "unknown-task", "warning", f"{text}; the run will look in include_paths and in the lm-eval it has."
        )
        return
    for name in strangers:
        near = known.near(name)
        hint = f"Did you mean {', '.join(near)}?" if near else "`airflow lmeval ls tasks PATTERN` lists them."
        yield Problem(
            "unknown-task",
            "error",
            f"tasks: {name!r} is no task, group, tag or suite of lm-eval {known.lm_eval_version}. {hint} "
            "For a task of your own, give its directory in include_paths.",
        )


def _clashes(spec: EvalSpec, known: Catalog) -> Iterator[Problem]:
    """Refuse names of lm-eval's for tasks that are not lm-eval's: a rule on ``arc_easy`` has to mean the benchmark."""
    for name in [*(recipe.task_name for recipe in spec.unitxt), *(data.name for data in spec.data)]:
        if known.find(name):
            yield Problem(
                "name-clash",
                "error",
                f"{name!r} is the name of a task, group or tag of lm-eval {known.lm_eval_version}: "
                "give the recipe or the data another name.",
            )


def _defects(names: list[str], known: Catalog) -> Iterator[Problem]:
    for group in known.defects(names):
        yield Problem(
            "defective-group",
            "error",
            f"tasks: group {group.name!r} of lm-eval {known.lm_eval_version}: {group.defect}",
        )


def _loglikelihood(spec: EvalSpec, names: list[str], inline: list[dict[str, Any]], known: Catalog) -> Iterator[Problem]:
    openai = spec.model.type == "openai-completions" and spec.model.name not in OPENAI_LOGLIKELIHOOD
    if spec.model.supports_loglikelihood and not openai:
        return
    needing = [task.name for task in known.expand(names) if task.output_type in LOGLIKELIHOOD]
    needing += [str(task["task"]) for task in inline if task.get("output_type") in LOGLIKELIHOOD]
    needing += [data.name for data in spec.data if data.output_type in LOGLIKELIHOOD]
    if needing:
        remedy = (
            f"only {' and '.join(OPENAI_LOGLIKELIHOOD)} give them there"
            if openai
            else "serve the model behind /v1/completions and use type local-completions, or choose a generate_until task"
        )
        yield Problem(
            "loglikelihood-openai" if openai else "loglikelihood-chat",
            "error",
            f"tasks: {some(needing)} need log-likelihoods, which model type {spec.model.type} cannot give: {remedy}.",
        )


def _code(
    spec: EvalSpec, names: list[str], inline: list[dict[str, Any]], known: Catalog, grants: Grants
) -> Iterator[Problem]:
    reasons = list(dict.fromkeys(code_in(spec, names, inline, known)))
    if reasons and not (spec.allow_code_execution and grants.code_execution):
        yield Problem("code-denied", "error", f"{'; '.join(reasons)}. {takes_both('allow_code_execution')}")


def _permissions(spec: EvalSpec, grants: Grants) -> Iterator[Problem]:
    if spec.allow_online and not grants.online:
        yield Problem(
            "online-denied",
            "error",
            f"allow_online: the administrator has not allowed it. {takes_both('allow_online')}",
        )
    if spec.allow_code_execution and not grants.code_execution:
        yield Problem(
            "code-denied",
            "error",
            f"allow_code_execution: the administrator has not allowed it. {takes_both('allow_code_execution')}",
        )
    yield from _variables(spec, grants)
    for name in sorted(set(references(spec)) - grants.env):
        yield Problem(
            "env-denied",
            "error",
            f"{{'env': '{name}'}}: the administrator has not allowed this variable; add {name} to [lmeval] allowed_env "
            "or to the connection.",
        )


def _variables(spec: EvalSpec, grants: Grants) -> Iterator[Problem]:
    """Refuse variables that would choose other code or go online; those that let code run are ``_code``'s."""
    online = spec.allow_online and grants.online
    reasons = {name: why_not(name, allow_online=online, allow_code_execution=True) for name in spec.env}
    if forbidden := [name for name, reason in reasons.items() if reason == Cause.BAD_SPEC]:
        yield Problem("env-forbidden", "error", f"env: {some(forbidden)}: decides which code runs; remove it.")
    if away := [name for name, reason in reasons.items() if reason == Cause.ONLINE_DENIED]:
        yield Problem("online-denied", "error", f"env: {some(away)}: goes online. {takes_both('allow_online')}")


def _elsewhere(spec: EvalSpec, grants: Grants) -> Iterator[Problem]:
    """Refuse what can only be had from other machines where that is not allowed."""
    online = spec.allow_online and grants.online
    away = [source.uri for data in spec.data for source in (data, data.fewshot) if source and source.uri]
    away += [source.url for source in spec.task_sources if isinstance(source, GitSource)]
    if away and not online:
        yield Problem("online-denied", "error", f"{some(away)}: on another machine. {takes_both('allow_online')}")
    if strangers := git_hosts(spec) - grants.git_hosts:
        allowed = ", ".join(sorted(grants.git_hosts)) or "none"
        yield Problem(
            "git-denied",
            "error",
            f"task_sources: {some(sorted(strangers))}: not among the hosts that task definitions may come from "
            f"({allowed}); the administrator adds them to [lmeval] allowed_git_hosts or to the connection.",
        )


def _outside(spec: EvalSpec, grants: Grants) -> Iterator[Problem]:
    """Warn of files that the run will not read: it knows the machine, and what is mounted there."""
    paths = [source.path for data in spec.data for source in (data, data.fewshot) if source and source.path]
    model = spec.model.lm_eval_args().get("pretrained")
    own = (source.path for source in spec.task_sources if isinstance(source, DirectorySource))
    named = [*spec.include_paths, *own, *([model] if isinstance(model, str) and model.startswith("/") else [])]
    roots = [*grants.data_roots, *named]
    outside = [path for path in paths if not any(PurePosixPath(path).is_relative_to(root) for root in roots)]
    if outside:
        yield Problem(
            "data-root",
            "warning",
            f"data: {some(outside)}: outside the directories that data are read from ({', '.join(roots) or 'none'}); "
            "the administrator adds them to [lmeval] allowed_data_roots. `airflow-lmeval run` also reads beside the spec.",
        )


def _hub(spec: EvalSpec, grants: Grants) -> Iterator[Problem]:
    """Warn of names of the Hub in a run without network: it has what is in its cache and no more."""
    if spec.allow_online and grants.online:
        return
    arguments = spec.model.lm_eval_args()
    names = [arguments.get(name) for name in ("pretrained", "tokenizer", "peft", "delta")]
    names += [source.dataset for data in spec.data for source in (data, data.fewshot) if source]
    hub = [name for name in names if isinstance(name, str) and _HUB_ID.fullmatch(name)]
    if hub:
        found = f"{some(hub)}: on the Hugging Face Hub, and the run is offline, so it has to be in the run's cache."
        yield Problem("hub-offline", "warning", f"{found} {takes_both('allow_online')}")


def _advice(spec: EvalSpec) -> Iterator[Problem]:
    if spec.limit is not None:
        yield Problem(
            "limit",
            "warning",
            f"limit {spec.limit}: for trying out only; the gate refuses it unless a rule says allow_limit.",
        )
    if spec.warm_up:
        yield Problem(
            "warm-up", "warning", "warm_up: fetches models and data, evaluates nothing; there is nothing to gate."
        )
    if spec.predict_only:
        yield Problem("predict-only", "warning", "predict_only: answers without scores; the result cannot be gated.")
    yield from (Problem(*found) for found in check_served(spec))


def references(spec: EvalSpec) -> Iterator[str]:
    """Yield the names of all environment variables a spec refers to."""
    yield from _references(spec.model.lm_eval_args())
    yield from _references(dict(spec.to_data().get("env", {})))
    yield from _references(dict(spec.to_data().get("offline", {})))


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if set(value) == {"env"} and isinstance(value["env"], str):
            yield value["env"]
        else:
            for item in value.values():
                yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)
