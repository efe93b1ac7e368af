"""Keeps lm-eval's tasks from reading files that the run may not read, whoever wrote the task.

A task's definition may be inline, in a file, put together from included files, or changed by the group that holds it.
Whatever it is in the end passes ``ConfigurableTask.download``, which hands it to ``datasets``; the rules are applied there.
A file named relative to the directory of task files, as in a repository that brings its data, is found there; by itself
lm-eval looks in the directory it happens to work in. The method is replaced because lm-eval offers no hook. Python classes
of lm-eval's own read what they are written to read.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from airflow_provider_lmeval.driver.worker.data_files import (
    SAFE_BUILDERS,
    FileDeniedError,
    Roots,
    UrlDeniedError,
    dataset_files,
    runs_scripts,
)
from airflow_provider_lmeval.errors import RunFailedError
from airflow_provider_lmeval.wire import Cause, Request
from airflow_provider_lmeval.wire_env import takes_both


def guard_datasets(request: Request, run: Path) -> None:
    """Apply the rules in this process from now on.

    :param run: the run's directory.
    """
    from lm_eval.api.task import ConfigurableTask

    original = ConfigurableTask.download
    roots = Roots.of(request, run)

    def download(self: Any, dataset_kwargs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        found = dict(dataset_kwargs or {})
        if self.DATASET_PATH in SAFE_BUILDERS and "data_files" in found:
            found["data_files"] = beside(found["data_files"], request.include_paths)
        check_dataset(str(self.config.task), {**found, "path": self.DATASET_PATH}, request, roots)
        original(self, found, **kwargs)

    ConfigurableTask.download = download


def beside(files: Any, places: list[str]) -> Any:
    """Return data files with those made absolute that lie below one of several directories.

    :param files: a path, a list of paths, or a mapping of splits to these.
    """
    if isinstance(files, dict):
        return {split: beside(part, places) for split, part in files.items()}
    if isinstance(files, list):
        return [beside(part, places) for part in files]
    if not isinstance(files, str) or files.startswith(("/", "~")) or "://" in files or "::" in files:
        return files
    candidates = (f"{place}/{files}" for place in places)
    return next((path for path in candidates if os.path.exists(path)), files)  # noqa: PTH110 - never raises


def check_dataset(task: str, arguments: dict[str, Any], request: Request, roots: Roots) -> None:
    """Check what a task hands to ``datasets.load_dataset``.

    :param task: its name. :param arguments: ``path`` and the task's ``dataset_kwargs``.
    :raises RunFailedError: ``code_denied`` or ``online_denied``, naming the task, the file and the remedy.
    """
    try:
        dataset_files(arguments, roots, allow_online=request.allow_online)
        if arguments.get("trust_remote_code") and runs_scripts():
            raise FileDeniedError("dataset_kwargs.trust_remote_code runs code that comes with the dataset")
    except FileDeniedError as error:
        if not request.allow_code_execution:
            message = (
                f"task {task!r}: {error}. Without permission to execute code, files are read from these places only. "
                f"{takes_both('allow_code_execution')}"
            )
            raise RunFailedError(message, Cause.CODE_DENIED) from None
    except UrlDeniedError as error:
        raise RunFailedError(f"task {task!r}: {error}. {takes_both('allow_online')}", Cause.ONLINE_DENIED) from None
