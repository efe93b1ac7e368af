"""The ``lm-eval run`` command that gives the same scores: for the log, for reproducing a result by hand. Never executed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from airflow_provider_lmeval.plan.data import task_directories
from airflow_provider_lmeval.plan.parallel import launch_prefix
from airflow_provider_lmeval.plan.suites import split_tasks
from airflow_provider_lmeval.spec import EvalSpec

_VALUES = ("num_fewshot", "limit", "batch_size", "max_batch_size", "device", "system_instruction", "use_cache")
_JSON = ("gen_kwargs", "samples", "metadata")
_FLAGS = ("log_samples", "predict_only", "write_out", "check_integrity")


def equivalent_command(spec: EvalSpec, parallel: Mapping[str, Any] | None = None, *, in_pod: bool = False) -> list[str]:
    """Return argv of the command-line tool for a spec.

    Suites, inline tasks and one's own data are named; their YAML would have to lie in an ``--include_path``. Secrets stay
    references. lm-eval has no option for ``bootstrap_iters``, so bootstrapped standard errors may differ.

    :param parallel: ``Request.parallel``: its launcher and model arguments are part of the command.
    :param in_pod: ConfigMaps with task files are mounted.
    """
    names, inline = split_tasks(spec)
    shown = [*names, *(str(task.get("group") or task["task"]) for task in inline), *(r.task_name for r in spec.unitxt)]
    shown += [data.name for data in spec.data]
    model_args = spec.model.lm_eval_args() | (dict(parallel["model_args"]) if parallel else {})
    argv = [*launch_prefix(parallel), "run", "--model", spec.model.type, "--model_args", _json(model_args)]
    data = spec.to_data()
    argv += ["--tasks", *shown]
    argv += [part for name in _VALUES if name in data for part in (f"--{name}", str(data[name]))]
    argv += [part for name in _JSON if name in data for part in (f"--{name}", _json(data[name]))]
    argv += [f"--{name}" for name in _FLAGS if data.get(name)]
    argv += [part for path in task_directories(spec, in_pod=in_pod) for part in ("--include_path", path)]
    return [*argv, *_prompts(spec), *_trust(spec)]


def _prompts(spec: EvalSpec) -> list[str]:
    argv = ["--seed", ",".join(map(str, spec.seeds))] if "seed" in spec.to_data() else []
    if spec.apply_chat_template:
        argv += [
            "--apply_chat_template",
            *([spec.apply_chat_template] if isinstance(spec.apply_chat_template, str) else []),
        ]
    if spec.fewshot_as_multiturn is not None:
        argv += ["--fewshot_as_multiturn", str(spec.fewshot_as_multiturn).lower()]
    return argv


def _trust(spec: EvalSpec) -> list[str]:
    trusted = ["--trust_remote_code"] if getattr(spec.model, "trust_remote_code", False) else []
    return [*trusted, *(["--confirm_run_unsafe_code"] if spec.allow_code_execution else [])]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
