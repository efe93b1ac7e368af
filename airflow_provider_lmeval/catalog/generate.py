"""Write the catalogue's data file from the installed lm-eval.

Run it as ``python -m airflow_provider_lmeval.catalog.generate``. Airflow must know lm-eval's tasks without
importing lm-eval (torch, seconds, and often not installed beside Airflow). So this script asks lm-eval's own
index once, at release time, and records what a plan or a gate needs. Where a YAML file is silent it records
what lm-eval would do, from lm-eval's own registries. It loads no data set and runs no task's code.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, cast

from airflow_provider_lmeval.catalog.groups import group_rows
from airflow_provider_lmeval.catalog.layout import FORMAT, CatalogFile, GroupRow, Profile, encode
from airflow_provider_lmeval.catalog.load import CATALOG_VERSION, DATA_FILE
from airflow_provider_lmeval.catalog.python_tasks import class_config

Config = Mapping[str, Any]


class Defaults(NamedTuple):
    """lm-eval's answers where a task is silent.

    :param metrics: output type → names of the metrics (``DEFAULT_METRIC_REGISTRY``).
    :param higher_is_better: name of a metric → its direction (``is_higher_better``).
    """

    metrics: Mapping[str, list[str]]
    higher_is_better: Callable[[str], bool | None]


class Definition(NamedTuple):
    """One task: its name, its resolved configuration and the directory of its file below ``lm_eval/tasks``."""

    name: str
    config: Config
    family: str


def build(lm_eval_version: str, index: Mapping[str, Any], root: Path, defaults: Defaults) -> CatalogFile:
    """Return the catalogue of an index.

    :param index: name → ``lm_eval.tasks._index.Entry``, as ``TaskManager().task_index``.
    :param root: the directory ``lm_eval/tasks``.
    """
    groups: dict[str, GroupRow] = {}
    definitions: list[Definition] = []
    for name, entry in index.items():
        family = posixpath.dirname(entry.yaml_path.relative_to(root).as_posix()) if entry.yaml_path else ""
        if entry.kind.name == "GROUP":
            rows, inline = group_rows(name, entry.cfg, family, index)
            groups.update(rows)
            definitions += [Definition(task, config, family) for task, config in inline.items()]
        elif entry.kind.name != "TAG":
            definitions.append(Definition(name, _task_config(entry), family))
    document = _document(lm_eval_version, sorted(definitions), defaults)
    position = {name: at for at, name in enumerate(document["tasks"]["name"])}
    document["groups"] = groups
    document["tags"] = {
        name: [position[task] for task in sorted(entry.tags)]
        for name, entry in index.items()
        if entry.kind.name == "TAG"
    }
    return document


def _document(lm_eval_version: str, definitions: list[Definition], defaults: Defaults) -> CatalogFile:
    profiles: dict[str, int] = {}
    positions = []
    for definition in definitions:
        key = json.dumps(profile(definition.config, definition.family, defaults))
        positions.append(profiles.setdefault(key, len(profiles)))
    return {
        "format": FORMAT,
        "lm_eval_version": lm_eval_version,
        "profiles": [json.loads(key) for key in profiles],
        "tasks": {
            "name": [definition.name for definition in definitions],
            "profile": positions,
            "dataset_name": [definition.config.get("dataset_name") for definition in definitions],
        },
        "groups": {},
        "tags": {},
    }


def profile(config: Config, family: str, defaults: Defaults) -> Profile:
    """Return what the catalogue keeps of one task's configuration, with lm-eval's defaults filled in."""
    output_type = config.get("output_type", "generate_until")  # the default in lm_eval.config.task.TaskConfig
    declared = config.get("metric_list")
    if declared is None:
        declared = [{"metric": name} for name in defaults.metrics.get(output_type, [])]
    metadata = config.get("metadata") or {}
    return {
        "output_type": output_type,
        "metrics": _metrics(declared, defaults),
        "filters": [each["name"] for each in config.get("filter_list") or [{"name": "none"}]],
        "num_fewshot": config.get("num_fewshot"),
        "unsafe_code": bool(config.get("unsafe_code", False)),
        "family": family,
        "dataset_path": config.get("dataset_path"),
        "version": str(metadata["version"]) if "version" in metadata else None,
    }


def _metrics(declared: list[Config], defaults: Defaults) -> list[tuple[str, bool | None]]:
    directions: dict[str, bool | None] = {}
    for entry in declared:
        for name in _result_names(entry):
            given = "higher_is_better" in entry
            directions[name] = entry["higher_is_better"] if given else defaults.higher_is_better(name)
    return list(directions.items())


def _result_names(entry: Config) -> Iterator[str]:
    """Yield the names under which lm-eval reports one entry of ``metric_list``.

    A function reports under its own name, which ends the path that an unresolved ``!function`` reads as. The functions
    that take ``k`` return a dictionary instead, and lm-eval reports its keys: ``pass@1`` for k = 1.
    """
    if "k" in entry:
        ks = entry["k"] if isinstance(entry["k"], list) else [entry["k"]]
        yield from (f"pass@{k}" for k in ks)
    else:
        yield entry["metric"].rpartition("/")[2].rpartition(".")[2]


def _task_config(entry: Any) -> Config:
    """Return a task's configuration; for a Python class, which ignores its YAML, what the class says instead."""
    if entry.kind.name != "PY_TASK":
        return cast("Config", entry.cfg)
    module, _, class_name = entry.cfg["class"].rpartition(".")
    return class_config(Path(f"{module}.py").read_text(encoding="utf-8"), class_name)


def from_installed() -> CatalogFile:
    """Return the catalogue of the lm-eval that is installed; takes some ten seconds."""
    import lm_eval.tasks
    from lm_eval.api.registry import DEFAULT_METRIC_REGISTRY, is_higher_better

    root = Path(lm_eval.tasks.__file__).parent
    defaults = Defaults(DEFAULT_METRIC_REGISTRY, is_higher_better)
    return build(version("lm_eval"), lm_eval.tasks.TaskManager().task_index, root, defaults)


def main() -> None:
    """Write the data file of the catalogued version.

    :raises SystemExit: another version of lm-eval is installed.
    """
    document = from_installed()
    installed = document["lm_eval_version"]
    if installed != CATALOG_VERSION:
        raise SystemExit(
            f"lm-eval {installed} is installed, but the package catalogues {CATALOG_VERSION}: "
            "install that version, or change CATALOG_VERSION in catalog/load.py."
        )
    Path(__file__).parent.joinpath(DATA_FILE).write_bytes(encode(document))


if __name__ == "__main__":
    main()
