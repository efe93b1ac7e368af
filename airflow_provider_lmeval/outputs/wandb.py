"""A result as a run in Weights & Biases, with the arguments that lm-eval's own ``--wandb_args`` takes.

Sent from the store when the evaluation has ended: the run, which may execute code of others, never sees the key, and a
server that cannot be reached costs no GPU time.
"""

from __future__ import annotations

import re
from typing import Any

from airflow_provider_lmeval.errors import OutputError
from airflow_provider_lmeval.outputs.credentials import Credentials
from airflow_provider_lmeval.outputs.stored import StoredRun
from airflow_provider_lmeval.spec.outputs import WandbRun

PROJECT = "lm-eval-harness-integration"
"""Project that lm-eval uses when none is named."""


def log(run: StoredRun, output: WandbRun, account: Credentials) -> str:
    """Log a run and return its address, or the directory of an offline one.

    :raises OutputError: ``wandb`` is missing, or the server refuses.
    """
    try:
        import wandb
    except ImportError:
        raise OutputError("wandb: pip install 'airflow-provider-lmeval[wandb]' on the workers") from None
    chosen: dict[str, Any] = {"project": PROJECT, "name": run.run_id, "job_type": "evaluation"} | output.wandb_args
    own = {
        "silent": True,
        "console": "off",
        "disable_git": True,
        "save_code": False,
        "api_key": account.password or None,
        "base_url": account.url() or None,
    }
    settings = wandb.Settings(**{name: value for name, value in own.items() if value is not None})
    try:
        with wandb.init(
            **chosen,
            id=_run_id(run),
            resume=None if output.offline else "allow",
            config=_config(run),
            settings=settings,
        ) as logged:
            logged.log(metrics(run), step=0)
            where = logged.dir if output.offline else logged.url
    except (wandb.errors.UsageError, wandb.errors.AuthenticationError) as error:
        raise OutputError(f"wandb: {error}") from error
    except wandb.Error as error:
        raise OutputError(f"wandb: {error}", transient=True) from error
    finally:
        wandb.teardown()  # waits until all is written; a task's process ends without the exit handlers that would
    return str(where)


def metrics(run: StoredRun) -> dict[str, float]:
    """Return the scores under the names that lm-eval's own logger gives them, ``task/metric``."""
    found: dict[str, float] = {}
    for task, metric, chosen, score in run.metrics():
        suffix = "" if chosen == "none" else f",{chosen}"
        found[f"{task}/{metric}{suffix}"] = float(score.value or 0.0)
        if score.stderr is not None:
            found[f"{task}/{metric}_stderr{suffix}"] = score.stderr
    return found


def _config(run: StoredRun) -> dict[str, Any]:
    model = run.result.model
    return {
        "model": model.name,
        "model_identity": model.identity,
        "dtype": model.dtype,
        "task_versions": {name: task.version for name, task in run.result.tasks.items()},
        "n_shot": {name: task.num_fewshot for name, task in run.result.tasks.items()},
        "cli_configs": run.result.config,
        "versions": run.result.versions,
        "result_uri": run.uri,
    }


def _run_id(run: StoredRun) -> str:
    """Return the run's id in W&B: the same for each attempt, so that a retry continues and does not add a second."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", run.run_id)[:128]
