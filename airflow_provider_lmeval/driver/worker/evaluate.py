"""Evaluates tasks with lm-eval's own ``evaluate`` and aggregates groups with lm-eval's own functions.

With ``checkpoint: task`` each task is one call, kept on disk as soon as it is done; with ``none`` all tasks are one
call, as ``lm-eval run`` does it, which fills batches better and, for a sampling model, draws random numbers in the
same order. Either way groups are aggregated at the end, from the records: a resumed run cannot differ from an
uninterrupted one.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_lmeval.driver.worker.plain import plain
from airflow_provider_lmeval.driver.worker.progress import Progress
from airflow_provider_lmeval.driver.worker.record import Record, make_record, metric_table, raw_metrics
from airflow_provider_lmeval.driver.worker.requests import Attempts
from airflow_provider_lmeval.driver.worker.settings import Settings


@dataclass(frozen=True)
class Evaluator:
    """Everything an evaluation needs besides the tasks.

    :param lm: lm-eval's model object. :param model: the result's ``model`` part.
    :param settings: how to evaluate. :param hashes: of what decides each task's scores, by name.
    :param progress: told which task is under way. :param attempts: counts requests that had to be sent again.
    :param allow_code: unsafe tasks may run.
    :param origins: where the data of tasks come from that the driver wrote itself, by name; see ``make_record``.
    """

    lm: Any
    model: Mapping[str, Any]
    settings: Settings
    hashes: Mapping[str, str]
    progress: Progress
    attempts: Attempts
    allow_code: bool
    origins: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def one_by_one(self, tasks: Mapping[str, Any]) -> Iterator[tuple[Record, list[dict[str, Any]]]]:
        """Evaluate one task after the other; yield each one's record and sample rows when it is done.

        Random numbers start anew for each task, so that a task's scores do not depend on which others were done before.
        """
        for name, task in tasks.items():
            self.progress.begin(name)
            set_seeds(self.settings)
            yield from self._evaluated({name: task})

    def together(self, tasks: Mapping[str, Any]) -> Iterator[tuple[Record, list[dict[str, Any]]]]:
        """Evaluate all tasks in one call; yield each one's record and sample rows."""
        self.progress.begin(None)
        yield from self._evaluated(dict(tasks))

    def along(self, tasks: Mapping[str, Any], *, one_call: bool) -> None:
        """Evaluate the share of a rank that is not the first: the same calls, whose results the first one gets."""
        for part in [dict(tasks)] if one_call else [{name: task} for name, task in tasks.items()]:
            if not one_call:
                set_seeds(self.settings)
            self._call(part)

    def _evaluated(self, tasks: dict[str, Any]) -> Iterator[tuple[Record, list[dict[str, Any]]]]:
        started, before = time.monotonic(), self.attempts.repeated
        results = self._call(tasks)
        seconds, repeated = time.monotonic() - started, self.attempts.repeated - before
        if self.lm.world_size > 1:
            results["samples"] = {name: in_order(rows) for name, rows in results["samples"].items()}
        for name, task in tasks.items():
            made = make_record(
                name,
                task,
                results,
                settings=self.hashes[name],
                seconds=seconds / len(tasks),
                model=self.model,
                repeated=repeated if len(tasks) == 1 or not repeated else None,
                origin=self.origins.get(name),
            )
            yield made, results["samples"][name]
            self.progress.end()

    def _call(self, tasks: dict[str, Any]) -> Any:
        from lm_eval.evaluator import evaluate

        chosen = self.settings
        return evaluate(
            lm=self.lm,
            task_dict={"tasks": tasks, "groups": {}},
            limit=chosen.limit,
            samples=chosen.samples,
            bootstrap_iters=chosen.bootstrap_iters,
            write_out=chosen.write_out,
            log_samples=True,  # the score table needs them; whether texts are kept is decided later
            system_instruction=chosen.system_instruction,
            apply_chat_template=chosen.apply_chat_template,
            fewshot_as_multiturn=bool(chosen.fewshot_as_multiturn),
            confirm_run_unsafe_code=self.allow_code,
        )


def in_order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return sample rows in the order of a single process; several give one share after the other."""
    filters = list(dict.fromkeys(row["filter"] for row in rows))
    return sorted(rows, key=lambda row: (filters.index(row["filter"]), row["doc_id"]))


def set_seeds(settings: Settings) -> None:
    """Seed Python, NumPy and torch, as ``simple_evaluate`` does; None leaves a generator alone."""
    import numpy
    from lm_eval.utils import set_torch_seed

    seeders: tuple[Callable[[int], object], ...] = (random.seed, numpy.random.seed, set_torch_seed)
    for seed, seeder in zip(settings.seeds, seeders, strict=False):
        if seed is not None:
            seeder(seed)


def aggregate(groups: Mapping[str, Any], records: Mapping[str, Record]) -> dict[str, Any]:
    """Return the groups' documents, computed by lm-eval from the tasks' unrounded metrics.

    :param groups: lm-eval ``Group`` objects by name. :param records: finished tasks by name.
    """
    from lm_eval.evaluator_utils import EvalAcc, aggregate_groups

    collected = EvalAcc(
        metrics={name: raw_metrics(record) for name, record in records.items()},
        num_fewshot={name: record["document"]["num_fewshot"] for name, record in records.items()},
        higher_is_better={name: dict(record["raw"]["higher_is_better"]) for name, record in records.items()},
        groups=dict(groups),
    )
    results = aggregate_groups(collected)._to_eval_results()
    return {name: _group_document(group, results, records) for name, group in groups.items()}


def _group_document(group: Any, results: Mapping[str, Any], records: Mapping[str, Record]) -> dict[str, Any]:
    metrics = results["results"][group.name]
    leaves = [records[task.task_name]["document"] for task in group.get_all_tasks()]
    table = metric_table(metrics, results["higher_is_better"].get(group.name) or {}, metrics.get("sample_count") or {})
    return {
        "kind": "group",
        "alias": metrics.get("alias", group.name),
        "output_type": None,
        "version": plain(group.version),
        "num_fewshot": plain(results["n-shot"].get(group.name)),
        "n_samples": {key: sum(leaf["n_samples"][key] for leaf in leaves) for key in ("original", "effective")},
        "metrics": table,
        "subtasks": list(results["group_subtasks"][group.name]),
        "task_hash": None,
        "scores": None,
        "samples": None,
        "seconds": round(sum(leaf["seconds"] for leaf in leaves), 3),
    }
