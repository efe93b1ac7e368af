"""The datasets of the Hugging Face Hub that a spec's tasks are made of, as the catalogue knows them.

For whoever can look whether they are there: a run without network has what is in its cache, and nothing else.
"""

from __future__ import annotations

from airflow_provider_lmeval.catalog import CATALOG_VERSION, catalog
from airflow_provider_lmeval.plan.suites import referenced, split_tasks
from airflow_provider_lmeval.spec import EvalSpec


def hub_datasets(spec: EvalSpec, lm_eval_version: str = CATALOG_VERSION) -> dict[str, str]:
    """Return the datasets (``owner/name``) that certainly have to be there, each with a task that needs it.

    :param lm_eval_version: that will run; of another one the catalogue knows nothing for certain, and neither does it where
        tasks of one's own may have the names of lm-eval's.
    """
    known = catalog()
    if lm_eval_version != known.lm_eval_version or spec.include_paths or spec.task_sources:
        return {}
    names, inline = split_tasks(spec)
    tasks = known.expand(name for name in referenced(names, inline) if known.match(name))
    found: dict[str, str] = {}
    for task in tasks:
        if task.dataset_path and "/" in task.dataset_path:
            found.setdefault(task.dataset_path, task.name)
    return found
