"""From a spec to an ``LMEvalJob``.

LMEvalJob has words for less than a spec: what it cannot say is an error that names the field, because a job that quietly
evaluates something else is worse than none. What comes out has been held against the CRD.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from decimal import Decimal
from typing import Any

from airflow_provider_lmeval.plan.batch import OPERATOR, BatchRules
from airflow_provider_lmeval.plan.lmevaljob.findings import Finding, Findings, Path, raise_found
from airflow_provider_lmeval.plan.lmevaljob.metadata import write_metadata
from airflow_provider_lmeval.plan.lmevaljob.pods import write_pod
from airflow_provider_lmeval.plan.lmevaljob.recipes import write_tasks
from airflow_provider_lmeval.plan.lmevaljob.schema import API_VERSION, KIND, check_schema
from airflow_provider_lmeval.plan.lmevaljob.sources import write_git
from airflow_provider_lmeval.plan.lmevaljob.storage import write_offline
from airflow_provider_lmeval.plan.lmevaljob.values import text_fields, write_value
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.spec.lmevaljob import LMEvalJobSettings

EXPRESSED = frozenset(
    {"allow_code_execution", "allow_online", "apply_chat_template", "artifacts", "batch_size", "device", "env"}
    | {"gen_kwargs", "limit", "log_samples", "max_batch_size", "model", "num_fewshot", "system_instruction", "tasks"}
    | {"offline", "task_sources", "unitxt"}
)
"""Fields of a spec that LMEvalJob has words for; any other must be at its default."""
_INSTEAD = {
    "bootstrap_iters": "the operator leaves it at lm-eval's 100,000",
    "checkpoint": "the operator always evaluates all tasks in one call",
    "include_paths": "the operator takes custom tasks from git only: task_sources",
    "samples": "use limit for fewer documents",
    "warm_up": "evaluate with limit 1 and allow_online instead, which fetches what it reads",
    "timeout": "set execution_timeout on the task",
}
"""What to do about fields that have no equal."""
_ORIGINS: dict[Path, str] = {
    ("spec", "model"): "model.type",
    ("spec", "outputs"): "lmevaljob.outputs",
    ("spec", "offline"): "lmevaljob.offline",
    ("spec", "taskList", "customTasks"): "lmevaljob.git_tasks",
}
"""Where parts of a manifest come from, for what the CRD says about them."""
_CAMEL = {"verify_ssl": "verifySSL"}


def write_lmevaljob(
    spec: EvalSpec,
    job: LMEvalJobSettings | None = None,
    *,
    batch: BatchRules = OPERATOR,
    elsewhere: Collection[str] = (),
) -> dict[str, Any]:
    """Return the manifest of a job.

    :param job: everything that is not the evaluation itself.
    :param batch: the batch sizes of the cluster's operator.
    :param elsewhere: fields of the spec that the caller sees to itself, such as ``timeout``; ``unitxt.name`` for names of
        recipes.
    :raises ManifestError: one line per field that LMEvalJob has no words for.
    """
    job = job or LMEvalJobSettings()
    findings, origins = Findings(), dict(_ORIGINS)
    _refuse_unknown(spec, elsewhere, findings)
    own_names = "unitxt.name" in elsewhere
    written: dict[str, Any] = {
        "model": spec.model.type,
        "modelArgs": _arguments(spec, findings, origins),
        "taskList": write_tasks(spec, findings, origins, own_names=own_names) | write_git(spec, job, findings, origins),
        "numFewShot": spec.num_fewshot,
        "limit": _limit(spec, findings),
        "genArgs": _generation(spec, findings, origins),
        "logSamples": spec.log_samples or None,
        "batchSize": _batch_size(spec, batch, findings),
        "systemInstruction": spec.system_instruction or None,
        "chatTemplate": _chat(spec),
        "suspend": job.suspend or None,
        "allowOnline": spec.allow_online,
        "allowCodeExecution": spec.allow_code_execution,
        "pod": write_pod(spec, job, findings, origins) or None,
        "outputs": None if job.outputs is None else camel(job.outputs.model_dump(exclude_none=True)),
        "offline": camel(write_offline(spec, job, findings)),
    }
    findings.check()
    kept = {name: value for name, value in written.items() if value is not None and value != []}
    metadata = write_metadata(job)
    manifest = {"apiVersion": API_VERSION, "kind": KIND} | ({"metadata": metadata} if metadata else {}) | {"spec": kept}
    _check(manifest, origins)
    return manifest


def _refuse_unknown(spec: EvalSpec, elsewhere: Collection[str], findings: Findings) -> None:
    for name, field in type(spec).model_fields.items():
        if (
            name in EXPRESSED
            or name in elsewhere
            or getattr(spec, name) == field.get_default(call_default_factory=True)
        ):
            continue
        instead = _INSTEAD.get(name, "leave it at its default, or choose another backend")
        findings.error((name,), f"LMEvalJob has no field for it; {instead}")


def _arguments(spec: EvalSpec, findings: Findings, origins: dict[Path, str]) -> list[dict[str, str]]:
    model, cls = spec.model, type(spec.model)
    values = {
        name: value for name, value in model.model_dump(exclude_unset=True).items() if name not in ("type", "args")
    }
    typed = {f"model.{name}": (name, value, name in text_fields(cls)) for name, value in values.items()}
    typed |= {f"model.args.{name}": (name, value, False) for name, value in model.args.items()}
    if spec.device:
        typed["device"] = ("device", spec.device, True)
    return _pairs(typed, "modelArgs", findings, origins)


def _generation(spec: EvalSpec, findings: Findings, origins: dict[Path, str]) -> list[dict[str, str]]:
    values = {f"gen_kwargs.{name}": (name, value, False) for name, value in spec.gen_kwargs.items()}
    return _pairs(values, "genArgs", findings, origins)


def _pairs(
    values: dict[str, tuple[str, Any, bool]], field: str, findings: Findings, origins: dict[Path, str]
) -> list[dict[str, str]]:
    pairs = []
    for index, (origin, (name, value, text_only)) in enumerate(values.items()):
        origins[("spec", field, index)] = origin
        try:
            pairs.append({"name": name, "value": write_value(value, text_only=text_only)})
        except ValueError as error:
            findings.error((origin,), str(error))
    return pairs


def _limit(spec: EvalSpec, findings: Findings) -> str | None:
    if spec.limit is None:
        return None
    text = format(Decimal(repr(spec.limit)), "f")
    if float(text) != spec.limit or len(text) > 32:
        findings.error(("limit",), f"found {spec.limit}; lm-eval reads it as {float(text)}")
    return text


def _batch_size(spec: EvalSpec, batch: BatchRules, findings: Findings) -> str | None:
    """Return what the job asks for; a spec that names none leaves it to the operator's default."""
    most = batch.maximum or OPERATOR.maximum
    if spec.max_batch_size not in (None, most):
        findings.error(("max_batch_size",), f"the operator's maximum is {most}, for all jobs; leave it out")
    if isinstance(spec.batch_size, int) and batch.maximum and spec.batch_size > batch.maximum:
        findings.error(("batch_size",), f"found {spec.batch_size}; the operator takes {batch.maximum} at most")
    return None if spec.batch_size is None else str(spec.batch_size)


def _chat(spec: EvalSpec) -> dict[str, Any] | None:
    chosen = spec.apply_chat_template
    if not chosen:
        return None
    return {"enabled": True} | ({"name": chosen} if isinstance(chosen, str) else {})


def camel(value: Any) -> Any:
    """Return our settings with Kubernetes' field names (``pvc_name`` → ``pvcName``)."""
    if isinstance(value, dict):
        spelt = {name: _CAMEL.get(name) or re.sub(r"_([a-z0-9])", lambda m: m[1].upper(), name) for name in value}
        return {spelt[name]: camel(item) for name, item in value.items()}
    return value


def _check(manifest: dict[str, Any], origins: dict[Path, str]) -> None:
    """Hold the manifest against the CRD, and tell which field of ours is to blame.

    :raises ManifestError: one line per problem.
    """
    paths: list[Path] = []
    found = Findings(paths.append)
    check_schema(manifest, found)
    ours = [
        Finding(_origin(path, origins) or e.field, f"{e.field}: {e.message}")
        for path, e in zip(paths, found.errors, strict=True)
    ]
    raise_found(ours)


def _origin(path: Path, origins: dict[Path, str]) -> str:
    return next((origins[path[:n]] for n in range(len(path), 0, -1) if path[:n] in origins), "")
