"""Looks at the evidence before any score is read.

An evaluation can end well and mean nothing: half the documents, no metric, answers without grading. Each such case is a
finding with an id, and the table below is what they come to:

====================== ============ ==========================================================================
id                     severity     found when
====================== ============ ==========================================================================
run-not-succeeded      ERROR        the run ended in any other way than Complete, Succeeded
predict-only           ERROR        answers were collected without computing metrics
task-missing           ERROR        the task, or a task of the group, is not in the result
no-samples             ERROR        no document was evaluated, or nobody knows how many
samples-missing        ERROR        fewer documents were evaluated than there are, without a limit
limited                ERROR        a limit or chosen samples, and the rule does not say ``allow_limit``
metric-missing         ERROR        the task does not report the metric, or several under that name
metric-null            ERROR        the metric is NaN, infinite or "N/A"
metric-without-samples ERROR        the metric is an average over nothing
requests-failed        ERROR        documents failed or have no score; WARN within the rule's ``max_error_rate``
scores-damaged         ERROR        a score table cannot be read, or does not match its digest
scores-incomplete      ERROR        a score table has more or fewer documents than its score
documents-unmatched    ERROR        documents of one side that the other does not have
loglikelihoods-equal   ERROR        two different models gave every document the same log-likelihoods
answers-equal          WARN         two different models gave every document the same answer
chance-level           INCONCLUSIVE an endpoint's accuracy is that of guessing: perhaps it ignores ``echo``
scores-missing         WARN         no score table on one side: compared by standard errors
scores-not-comparable  WARN         a score that is no known function of its documents' scores: likewise
margin-within-noise    WARN         the rule's margin is within the distance of two evaluations of the baseline itself
task-not-evaluated     WARN         a wildcard finds tasks in the baseline that the candidate lacks
not-pooled             WARN         a task whose documents cannot be pooled with others'
identity-unknown       WARN         a compared model has neither weights digest, declared or read, nor revision
baseline-is-candidate  WARN         both sides are the same run, or the same model evaluated by the same spec
====================== ============ ==========================================================================

A result that does not match its digest or schema does not get here: reading it already failed. What concerns score tables
is found in :mod:`airflow_provider_lmeval.gate.evidence`, while they are read.
"""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider_lmeval.errors import MetricNotFoundError
from airflow_provider_lmeval.gate.suspicion import failed_documents
from airflow_provider_lmeval.gate.verdict import Finding, Outcome
from airflow_provider_lmeval.results.model import EvalResult

BYPASS = "bypass"
"""The metric that lm-eval puts in place of a task's own for ``predict_only``; its value is a constant."""


def check_run(result: EvalResult, side: str) -> Iterator[Finding]:
    """Yield what is wrong with a run as a whole.

    :param side: ``candidate`` or ``baseline``.
    """
    if not result.succeeded:
        why = f"{result.reason} ({result.cause})" if result.cause else result.reason
        yield _error("run-not-succeeded", side, f"the {side}'s run {result.run_id} ended as {why}; evaluate it again")
    bypassed = any(key.partition(",")[0] == BYPASS for task in result.tasks.values() for key in task.metrics)
    if result.config.get("predict_only") or bypassed:
        yield _error(
            "predict-only", side, f"the {side} was evaluated with predict_only, which grades nothing; evaluate again"
        )


def check_pair(candidate: EvalResult, baseline: EvalResult) -> Iterator[Finding]:
    """Yield what is wrong with the two sides together."""
    one, other = candidate.fingerprint, baseline.fingerprint
    same_model = one.model.identity is not None and one.model.identity == other.model.identity
    same_spec = one.spec_hash is not None and one.spec_hash == other.spec_hash
    if candidate.run_id == baseline.run_id or (same_model and same_spec):
        yield Finding(
            id="baseline-is-candidate",
            severity=Outcome.WARN,
            subject="baseline",
            message=f"the baseline (run {baseline.run_id}) is the candidate itself: such a comparison proves nothing; "
            "name the result of the model in production",
        )
    for side, result in (("candidate", candidate), ("baseline", baseline)):
        if result.model.identity is None:
            message = (
                f"the {side}'s model has neither a weights digest nor a revision, only the name {result.model.name!r}: "
                "nothing tells which weights were evaluated (declare a served model's as model.digest)"
            )
            yield Finding(id="identity-unknown", severity=Outcome.WARN, subject=side, message=message)


def check_task(
    result: EvalResult, side: str, task: str, metric: str, *, allow_limit: bool, max_error_rate: float = 0.0
) -> Iterator[Finding]:
    """Yield what is wrong with the evidence for one metric of one task.

    :param side: ``candidate`` or ``baseline``.
    :param task: a task or group of the result.
    :param metric: with or without its filter.
    :param allow_limit: a part of the documents will do.
    :param max_error_rate: share of documents without a score that will do.
    """
    part = restriction(result)
    if part and not allow_limit:
        message = f"the {side} was evaluated in part only ({part}); evaluate all of it, or set allow_limit: true"
        yield _error("limited", side, message)
    for leaf in result.leaves(task):
        yield from _check_samples(result, side, leaf, limited=part is not None)
    if task in result.tasks:
        yield from _check_metric(result, side, task, metric)
        yield from _check_failures(result, side, task, metric, max_error_rate)


def restriction(result: EvalResult) -> str | None:
    """Return how a result was restricted to a part of the documents, or None."""
    for limit in (result.config.get("limit"), result.fingerprint.limit):
        if limit is not None:
            return f"limit {limit:g}" if isinstance(limit, int | float) else f"limit {limit}"
    return "chosen samples" if result.config.get("samples") or result.fingerprint.samples else None


def _check_samples(result: EvalResult, side: str, task: str, *, limited: bool) -> Iterator[Finding]:
    if task not in result.tasks:
        yield _error("task-missing", f"{side}: {task}", f"the {side} has no result of {task}; evaluate it again")
        return
    count = result.tasks[task].n_samples
    if count is None or count.effective == 0:
        found = "does not say how many documents it evaluated" if count is None else "evaluated no document"
        yield _error("no-samples", f"{side}: {task}", f"the {side}'s {task} {found}; evaluate it again")
    elif count.effective != count.original and not limited:
        yield _error(
            "samples-missing",
            f"{side}: {task}",
            f"the {side}'s {task} evaluated {count.effective} of {count.original} documents without a limit; "
            "evaluate it again",
        )


def _check_metric(result: EvalResult, side: str, task: str, name: str) -> Iterator[Finding]:
    try:
        metric = result.metric(task, name)
    except MetricNotFoundError as error:
        yield _error("metric-missing", f"{side}: {task}", f"the {side}'s {error}")
        return
    if metric.value is None:
        message = f"the {side}'s {task} has no value for {name} (NaN, infinite or not computed); see the run's log"
        yield _error("metric-null", f"{side}: {task}", message)
    if metric.n == 0:
        message = f"the {side}'s {task} computed {name} over no document; evaluate it again"
        yield _error("metric-without-samples", f"{side}: {task}", message)


def _check_failures(result: EvalResult, side: str, task: str, name: str, max_error_rate: float) -> Iterator[Finding]:
    """Yield that documents have no score, or one that stands for a failed request."""
    entry = result.tasks[task]
    try:
        scored = result.metric(task, name).n
    except MetricNotFoundError:
        return
    evaluated = entry.n_samples.effective if entry.n_samples else scored
    counted = sum(result.tasks[leaf].failed or 0 for leaf in result.leaves(task) if leaf in result.tasks)
    if scored and (failed := max(evaluated - scored, 0) + counted):
        yield failed_documents(side, task, failed, evaluated, max_error_rate)


def _error(check: str, subject: str, message: str) -> Finding:
    return Finding(id=check, severity=Outcome.ERROR, subject=subject, message=message)
