"""Looks at per-document scores for signs that they are not what they seem, before any of them is compared.

An average hides much: documents that fell out, an answer cache that two models shared, an endpoint that ignores the text it
is asked about. :mod:`airflow_provider_lmeval.gate.health` documents what each sign comes to.
"""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider_lmeval.gate.stats.levels import CONFIDENCE
from airflow_provider_lmeval.gate.stats.paired import Column, Pairing
from airflow_provider_lmeval.gate.stats.wilson import wilson
from airflow_provider_lmeval.gate.verdict import Finding, Outcome
from airflow_provider_lmeval.results.model import EvalResult, Metric

ENDPOINTS = frozenset({"local-completions", "openai-completions", "gguf", "ggml"})
"""Model types that get log-likelihoods from a server, which has to echo the prompt for it, and may silently not do so."""
ACCURACIES = frozenset({"acc", "acc_norm"})


def different_models(one: EvalResult, other: EvalResult) -> bool:
    """Return whether two results are of different models, as far as can be known.

    Weights decide; where a served model has no digest, what it was called with does.
    """
    ours, theirs = one.model.identity, other.model.identity
    if ours is not None and theirs is not None:
        return ours != theirs
    return (one.model.name, one.model.args) != (other.model.name, other.model.args)


def check_rows(task: str, side: str, column: Column, metric: Metric, max_error_rate: float) -> Iterator[Finding]:
    """Yield what is wrong with one side's rows.

    :param metric: what the result reports for them.
    """
    rows = len(column.keys)
    if rows != metric.n:
        message = f"the {side}'s score table of {task} has {rows} documents, its score {metric.n}; evaluate it again"
        yield _finding("scores-incomplete", Outcome.ERROR, f"{side}: {task}", message)
    if 0 < column.missing < rows:
        yield failed_documents(side, task, column.missing, rows, max_error_rate)


def failed_documents(side: str, task: str, failed: int, n: int, max_error_rate: float) -> Finding:
    """Return what it comes to that some documents have no score, or one that stands for a failed request."""
    message = f"{failed} of the {side}'s {n} documents of {task} failed or have no score"
    if failed <= max_error_rate * n:
        return _finding("requests-failed", Outcome.WARN, f"{side}: {task}", f"{message}, which max_error_rate allows")
    remedy = f"evaluate it again, or set max_error_rate to more than {failed / n:.2g}"
    return _finding("requests-failed", Outcome.ERROR, f"{side}: {task}", f"{message}; {remedy}")


def check_match(task: str, matched: Pairing) -> Iterator[Finding]:
    """Yield what is wrong where the two sides' documents are not the same."""
    if matched.only_candidate or matched.only_baseline:
        message = (
            f"{task}: {matched.only_candidate} documents are only the candidate's, {matched.only_baseline} only the "
            "baseline's; evaluate the baseline as the candidate was"
        )
        yield _finding("documents-unmatched", Outcome.ERROR, task, message)


def check_answers(task: str, one: Column, other: Column, *, different: bool) -> Iterator[Finding]:
    """Yield what is suspicious where two different models answered alike throughout: one of them was not asked."""
    import numpy as np

    if not different or len(one.keys) != len(other.keys):
        return
    if one.likelihoods is not None and other.likelihoods is not None:
        if np.array_equal(one.likelihoods, other.likelihoods):
            message = (
                f"{task}: two different models gave the same log-likelihoods to all {len(one.keys)} documents, which only a "
                "shared cache or the same server does; clear the cache and evaluate again"
            )
            yield _finding("loglikelihoods-equal", Outcome.ERROR, task, message)
    elif one.responses is not None and other.responses is not None and np.array_equal(one.responses, other.responses):
        message = (
            f"{task}: two different models gave the same answers to all {len(one.keys)} documents; is a cache shared?"
        )
        yield _finding("answers-equal", Outcome.WARN, task, message)


def needs_table(result: EvalResult, task: str) -> bool:
    """Return whether only the score table can tell if the model saw the questions."""
    entry = result.tasks.get(task)
    return result.model.type in ENDPOINTS and entry is not None and entry.output_type == "multiple_choice"


def check_guessing(result: EvalResult, task: str, key: str, column: Column | None) -> Iterator[Finding]:
    """Yield that an endpoint's accuracy is that of guessing: it may be ignorant, or score text that it was not given."""
    if column is None or column.choices is None or key.partition(",")[0] not in ACCURACIES:
        return
    metric = result.tasks[task].metrics[key]
    if metric.value is None or not metric.n:
        return
    low, high = wilson(metric.value * metric.n, metric.n, (1 - CONFIDENCE) / 2)
    if low <= column.choices <= high:
        message = (
            f"the candidate's {task} {key.removesuffix(',none')} {metric.value:.3g} is what guessing gives "
            f"({column.choices:.3g}): check that the endpoint honours `echo`, or ask for answers instead of log-likelihoods"
        )
        yield _finding("chance-level", Outcome.INCONCLUSIVE, f"candidate: {task}", message)


def _finding(check: str, severity: Outcome, subject: str, message: str) -> Finding:
    return Finding(id=check, severity=severity, subject=subject, message=message)
