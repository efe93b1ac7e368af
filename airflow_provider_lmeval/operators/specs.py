"""The operator's ``spec`` argument: constant ones are checked at parse time, templated ones after rendering."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_lmeval.plan import Grants, check, raise_errors
from airflow_provider_lmeval.plan.checks import references
from airflow_provider_lmeval.plan.data import git_hosts
from airflow_provider_lmeval.spec import EvalSpec


def is_constant(value: Any) -> bool:
    """Whether a spec is known when the DAG file is parsed: plain data without templates or references to other tasks."""
    if isinstance(value, str):
        return "{{" not in value and "{%" not in value and not value.endswith((".yaml", ".yml", ".json"))
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and is_constant(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(is_constant(item) for item in value)
    return value is None or isinstance(value, int | float)


def constants(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that are known when the DAG file is parsed."""
    return {name: value for name, value in arguments.items() if is_constant(value)}


def check_job(spec: Any, backend: str | None, lmevaljob: Mapping[str, Any]) -> None:
    """Check what goes to TrustyAI's operator while the DAG file is parsed, as far as it is constant.

    :param backend: as the operator was given it; where the configuration chooses, the run's own checks find the same.
    :raises SpecError: a setting of the job is wrong, or the job cannot say what the spec says.
    """
    if not lmevaljob and backend != "lmevaljob":
        return
    from airflow_provider_lmeval.spec.lmevaljob import LMEvalJobRun

    job = LMEvalJobRun.parse(constants(lmevaljob))
    if backend == "lmevaljob" and is_constant(spec):
        from airflow_provider_lmeval.plan.lmevaljob.fit import job_problems

        raise_errors(job_problems(parse_spec(spec), job))


def parse_spec(value: EvalSpec | Mapping[str, Any] | str) -> EvalSpec:
    """Validate a rendered spec.

    :param value: a spec, a mapping, or YAML text.
    :raises SpecError: it is not a valid spec.
    """
    if isinstance(value, str):
        return EvalSpec.from_yaml(value)
    return value if isinstance(value, EvalSpec) else EvalSpec.parse(dict(value))


def parse_constant(value: Mapping[str, Any] | str) -> EvalSpec:
    """Validate a spec while the DAG file is parsed: everything but permissions, which are the running worker's to give.

    :raises SpecError: it cannot be right, wherever it will run.
    """
    spec = parse_spec(value)
    every = Grants(online=True, code_execution=True, env=frozenset(references(spec)), git_hosts=git_hosts(spec))
    permitted = spec.model_copy(update={"allow_code_execution": True})
    raise_errors(check(permitted, every))
    return spec
