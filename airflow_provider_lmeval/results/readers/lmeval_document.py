"""Turns the results file of ``lm-eval run`` into our result document, as if our driver had watched the run.

Unknown stays absent. lm-eval does not write down which documents were chosen by index, the fingerprint of the data set, or a
digest of local weights: the first shows in the numbers of documents, the second is made up for by the samples' hashes, the
third is not made up for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from airflow_provider_lmeval.results.model import EvalResult
from airflow_provider_lmeval.results.readers.bundle import (
    SUCCEEDED,
    Data,
    count,
    mapping,
    number,
    result_of,
    sha,
    text,
    without_secrets,
)
from airflow_provider_lmeval.results.readers.lmeval_samples import SampleSummary

SEEDS = ("random_seed", "numpy_seed", "torch_seed", "fewshot_seed")
Summaries = Mapping[str, SampleSummary]


def build(what: str, calls: list[Data], time: str, summaries: Summaries) -> EvalResult:
    """Return the result document.

    :param what: the file, for messages.
    :param calls: contents of the results files, the newest first; a task is in one only.
    :param time: of the newest. :param summaries: of the samples, by task.
    :raises DamagedResultError: a file says something that cannot be.
    """
    newest = calls[0]
    tasks = {task: _task(task, call, summaries) for call in reversed(calls) for task in call["results"]}
    model, seconds = _model(newest), _seconds(newest)
    started = number(newest.get("date"))
    return result_of(
        what,
        f"{str(model['name'] or 'lm-eval').rstrip('/').rpartition('/')[2]}_{time}",
        SUCCEEDED
        | {
            "model": model,
            "tasks": tasks,
            "config": _config(newest),
            "versions": {"lm_eval": _version(newest), "transformers": text(newest.get("transformers_version"))},
            "fingerprint": _fingerprint(newest, model, calls, summaries),
            "timings": {
                "started": started,
                "ended": None if started is None or seconds is None else started + seconds,
                "seconds": seconds,
            },
        },
    )


def settings(call: Data) -> Data:
    """Return what two calls must have in common to be one evaluation."""
    config = mapping(call.get("config"))
    of_call = ("lm_eval_version", "model_name", "chat_template_sha", "system_instruction_sha", "fewshot_as_multiturn")
    of_config = ("model", "model_args", "model_sha", "model_dtype", "limit", "gen_kwargs", *SEEDS)
    return {key: call.get(key) for key in of_call} | {key: config.get(key) for key in of_config}


def identity(call: Data) -> str | None:
    """Return the Hub commit that was evaluated, combined with the adapter's; None for local weights and served models."""
    config, args = mapping(call.get("config")), _args(call)
    parts = {"pretrained": text(config.get("model_sha"))}
    if args.get("peft"):
        parts["peft"] = text(config.get("peft_sha"))
    if args.get("delta") or None in parts.values():
        return None
    if len(parts) == 1:
        return parts["pretrained"]
    return f"sha256:{hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()}"


def _args(call: Data) -> Data:
    """Return the model arguments; older releases keep them as they were typed."""
    args = mapping(call.get("config")).get("model_args")
    if isinstance(args, str):
        return dict(item.partition("=")[::2] for item in args.split(",") if item)
    return dict(mapping(args))


def _model(call: Data) -> Data:
    config = mapping(call.get("config"))
    dtype = text(config.get("model_dtype"))
    return {
        "type": text(config.get("model")),
        "args": without_secrets(_args(call)),
        "name": text(call.get("model_name")),
        "identity": identity(call),
        "parameters": count(config.get("model_num_parameters")),
        "dtype": dtype.removeprefix("torch.") if dtype else None,
        "device": text(config.get("device")),
    }


def _config(call: Data) -> Data:
    config = mapping(call.get("config"))
    kept = ("limit", "gen_kwargs", "bootstrap_iters", "use_cache", "device", *SEEDS)
    return {key: config[key] for key in kept if key in config} | {"batch_size": _batch_size(config)}


def _batch_size(config: Mapping[str, Any]) -> Any:
    """Return the batch size; the command line's are texts."""
    size = config.get("batch_size")
    return int(size) if isinstance(size, str) and size.isdecimal() else size


def _seconds(call: Data) -> float | None:
    try:
        return number(float(call["total_evaluation_time_seconds"]))
    except (KeyError, TypeError, ValueError):
        return None


def _version(call: Data) -> str | None:
    return text(call.get("lm_eval_version"))


def _task(task: str, call: Data, summaries: Summaries) -> Data:
    config, subtasks = mapping(call["configs"].get(task)), _subtasks(task, call)
    return {
        "kind": "group" if subtasks else "task",
        "alias": text(mapping(call["results"][task]).get("alias")),
        "output_type": text(config.get("output_type")),
        "version": mapping(call.get("versions")).get(task),
        "num_fewshot": count(mapping(call.get("n-shot")).get(task)),
        "n_samples": _samples(_leaves(task, call), call),
        "metrics": _metrics(task, call, summaries.get(task)),
        "subtasks": subtasks,
        "task_hash": text(mapping(call.get("task_hashes")).get(task)),
    }


def _subtasks(task: str, call: Data) -> list[str]:
    """Return what a group consists of. A group that does not say it is taken for a task: then nothing is passed over."""
    found = mapping(call.get("group_subtasks")).get(task)
    return [] if task in call["configs"] or not isinstance(found, list) else list(map(str, found))


def _leaves(task: str, call: Data, seen: frozenset[str] = frozenset()) -> list[str]:
    subtasks = [] if task in seen else _subtasks(task, call)
    below = [leaf for name in subtasks for leaf in _leaves(name, call, seen | {task})]
    return list(dict.fromkeys(below)) or [task]


def _samples(leaves: Iterable[str], call: Data) -> Data | None:
    """Return the numbers of documents of some tasks together; None if one of them does not say it."""
    entries = [mapping(mapping(call.get("n-samples")).get(leaf)) for leaf in leaves]
    found = {key: [count(entry.get(key)) for entry in entries] for key in ("original", "effective")}
    if any(None in counts for counts in found.values()):
        return None
    return {key: sum(each for each in counts if each is not None) for key, counts in found.items()}


def _metrics(task: str, call: Data, summary: SampleSummary | None) -> Data:
    results = mapping(call["results"][task])
    better = {} if _unitxt(call, task) else mapping(mapping(call.get("higher_is_better")).get(task))
    metrics = {}
    for key, value in results.items():
        name, comma, filter_name = key.partition(",")
        if not comma or (name.endswith("_stderr") and f"{name.removesuffix('_stderr')},{filter_name}" in results):
            continue
        direction = better.get(name)
        metrics[key] = {
            "value": number(value),
            "stderr": number(results.get(f"{name}_stderr,{filter_name}")),
            "n": _n(task, key, call, summary),
            "higher_is_better": direction if isinstance(direction, bool) else None,
        }
    return metrics


def _unitxt(call: Data, task: str) -> bool:
    """Whether it is a task of unitxt, of which lm-eval calls every metric higher-is-better, error rates included."""
    config = mapping(call["configs"].get(task))
    return not config.get("dataset_path") and "card=" in str(config.get("dataset_name"))


def _n(task: str, key: str, call: Data, summary: SampleSummary | None) -> int:
    """Return the number of documents behind a score, 0 if nobody knows."""
    if summary is not None:
        return summary.counts[key]
    results = mapping(call["results"][task])
    counted = count(mapping(results.get("sample_count")).get(key)) or count(results.get("sample_len"))
    samples = _samples(_leaves(task, call), call)
    return counted or (samples["effective"] if samples else 0)


def _fingerprint(newest: Data, model: Data, calls: list[Data], summaries: Summaries) -> Data:
    config = mapping(newest.get("config"))
    found: Data = {
        "schema_version": 1,
        "lm_eval": _version(newest),
        "checkpoint": "none",
        "model": {key: model[key] for key in ("type", "identity", "dtype")},
        "tasks": {task: _task_print(task, call, summaries.get(task)) for call in calls for task in call["configs"]},
        "batch_size": _batch_size(config),
        "device": model["device"],
    }
    if all(key in config for key in SEEDS):
        found["seeds"] = [config[key] for key in SEEDS]
    if "limit" in config:
        found["limit"] = number(config["limit"])
    if number(config.get("limit")) is not None or all(map(_complete, calls)):
        found["samples"] = None  # chosen documents exclude a limit, and show in the numbers without one
    for ours, theirs in (("chat_template", "chat_template_sha"), ("system_instruction", "system_instruction_sha")):
        if theirs in newest:
            found[ours] = newest[theirs]
    return found


def _complete(call: Data) -> bool:
    """Whether every task of a call says that all its documents were evaluated."""
    counts = [_samples([task], call) for task in call["configs"]]
    return all(each is not None and each["original"] == each["effective"] for each in counts)


def _task_print(task: str, call: Data, summary: SampleSummary | None) -> Data:
    config = mapping(call["configs"].get(task))
    generation = config.get("generation_kwargs") if config.get("output_type") == "generate_until" else None
    found: Data = {
        "version": mapping(call.get("versions")).get(task),
        "task_hash": text(mapping(call.get("task_hashes")).get(task)),
        "num_fewshot": count(config.get("num_fewshot")),
        "generation_kwargs": sha(generation) if generation else None,
        "dataset": {"path": text(config.get("dataset_path")), "name": text(config.get("dataset_name"))},
    }
    if summary is not None:
        return found | summary.fingerprint()
    keys = (key.partition(",") for key in mapping(call["results"].get(task)))
    return found | {"filters": sorted({filter_name for _, comma, filter_name in keys if comma})}
