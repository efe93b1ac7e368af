"""The driver's request for a spec: lm-eval's own words, no secret, nothing about Airflow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_lmeval.catalog import CATALOG_VERSION, catalog
from airflow_provider_lmeval.plan.checks import Grants
from airflow_provider_lmeval.plan.command import equivalent_command
from airflow_provider_lmeval.plan.data import git_sources, own_task, task_directories
from airflow_provider_lmeval.plan.parallel import plan_parallel
from airflow_provider_lmeval.plan.suites import referenced, split_tasks
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.wire import Request

if TYPE_CHECKING:  # its models are built where somebody asks for devices, not in every DAG file
    from airflow_provider_lmeval.spec.pod_parts import Gpu


@dataclass(frozen=True, kw_only=True)
class Placement:
    """What a backend decides about a run: everything in a request that the spec does not say.

    :param store: ``{"url", "options"}`` of the results, or None to leave them in the run directory.
    :param slots: ``{"directory", "count"}`` of the machine's slots, or None.
    :param status_server: ``{"host", "port", "token_sha256"}``, or None.
    :param gpu: the accelerators it gets, or None; ``gpu_required``: they were reserved for it.
    :param grace_s: seconds between SIGTERM and SIGKILL.
    :param report_s: seconds after which progress is worth another line in the run's log.
    :param in_pod: the run has a pod of its own, in which ConfigMaps are mounted.
    """

    store: dict[str, Any] | None = None
    slots: dict[str, Any] | None = None
    status_server: dict[str, Any] | None = None
    gpu: Gpu | None = None
    gpu_required: bool = False
    grace_s: float = 10.0
    report_s: float = 10.0
    in_pod: bool = False


def plan_request(spec: EvalSpec, run_id: str, grants: Grants, placement: Placement) -> Request:
    """Translate a spec that has passed :func:`~airflow_provider_lmeval.plan.checks.check`.

    :param run_id: from :func:`~airflow_provider_lmeval.plan.names.run_id`.
    :param grants: the administrator's permissions; the run gets what both sides allow.
    :param placement: the backend's part.
    """
    names, inline = split_tasks(spec)
    known = catalog()
    parallel = plan_parallel(spec.model.type, placement.gpu, required=placement.gpu_required)
    listed = [name for name in referenced(names, inline) if known.match(name)]
    return Request(
        run_id=run_id,
        spec_hash=spec.content_hash,
        model=spec.model.type,
        model_args=spec.model.lm_eval_args(),
        model_digest=getattr(spec.model, "digest", None),
        tasks=names,
        inline_tasks=inline,
        unitxt=_unitxt(spec),
        families=known.families(listed) or ["unitxt"],  # none at all would mean "index everything"
        catalog_version=CATALOG_VERSION,
        include_paths=task_directories(spec, in_pod=placement.in_pod),
        data=[own_task(data).to_json() for data in spec.data],
        git_sources=git_sources(spec),
        git_hosts=sorted(grants.git_hosts),
        git_max_bytes=grants.git_max_bytes,
        data_roots=list(grants.data_roots),
        evaluate=_evaluate(spec),
        checkpoint=spec.checkpoint,
        env=spec.to_data().get("env", {}),
        allowed_env=sorted(grants.env),
        allow_online=spec.allow_online and grants.online,
        allow_code_execution=spec.allow_code_execution and grants.code_execution,
        offline=spec.offline.to_request() if spec.offline else None,
        warm_up=spec.warm_up,
        store=placement.store,
        slots=placement.slots,
        status_server=placement.status_server,
        parallel=parallel,
        timeout_s=spec.timeout,
        no_progress_s=None if spec.warm_up else spec.no_progress_timeout,  # a download makes no requests to a model
        grace_s=placement.grace_s,
        report_s=placement.report_s,
        equivalent_command=equivalent_command(spec, parallel, in_pod=placement.in_pod),
    )


def _evaluate(spec: EvalSpec) -> dict[str, Any]:
    data = spec.model_dump(mode="json")
    same = (
        "num_fewshot", "limit", "samples", "batch_size", "max_batch_size", "device", "system_instruction",
        "apply_chat_template", "fewshot_as_multiturn", "bootstrap_iters", "log_samples", "predict_only", "write_out",
        "check_integrity", "use_cache", "gen_kwargs", "metadata",
    )  # fmt: skip
    seeds = zip(("random_seed", "numpy_seed", "torch_seed", "fewshot_seed"), spec.seeds, strict=True)
    trusted = bool(getattr(spec.model, "trust_remote_code", False) or spec.model.args.get("trust_remote_code"))
    return {name: data[name] for name in same} | dict(seeds) | {"trust_remote_code": trusted}


def _unitxt(spec: EvalSpec) -> list[dict[str, Any]]:
    artifacts = spec.artifacts.model_dump(mode="json")
    return [
        {
            "task": recipe.task_name,
            "recipe": recipe.model_dump(mode="json", exclude={"name"}, exclude_none=True),
            "artifacts": artifacts,
        }
        for recipe in spec.unitxt
    ]
