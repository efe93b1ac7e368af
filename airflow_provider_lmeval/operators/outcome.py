"""From an ended run to XCom and, if it did not go well, to Airflow's exceptions: the same for operator and sensor."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NoReturn

from airflow_provider_lmeval import _compat
from airflow_provider_lmeval.backends import Backend, Handle
from airflow_provider_lmeval.errors import LMEvalError, RunFailedError, SpecError
from airflow_provider_lmeval.results import EvalResult, summary
from airflow_provider_lmeval.wire import RETRYABLE, Cause, Reason, State, Status


def conclude(context: Any, backend: Backend, handle: Handle, status: Status) -> dict[str, Any]:
    """Push the summary of an ended run to XCom as ``return_value``, then return it or raise what became of the run.

    :param context: Airflow's task context.
    :param status: the run's last status.
    :raises AirflowException: the run failed for a cause that another try may cure.
    :raises AirflowFailException: it failed for one that it will not.
    """
    result, trouble = _collect(backend, handle)
    found = (
        summary(result, backend=backend.name, result_uri=handle.result_uri)
        if result
        else _remains(handle, status, backend, trouble)
    )
    context["ti"].xcom_push(key="return_value", value=found)
    if found["reason"] == Reason.SUCCEEDED:
        return found
    message = (result.message if result else None) or (str(trouble) if trouble else None) or status.message
    return fail(RunFailedError(f"run {handle.run_id}: {found['cause']}: {message}", found["cause"] or Cause.INTERNAL))


def fail(error: LMEvalError) -> NoReturn:
    """Raise one of our errors as the exception that tells Airflow whether to try again."""
    cause = getattr(error, "cause", None)
    hopeless = isinstance(error, SpecError) or (cause is not None and cause not in RETRYABLE)
    kind = _compat.fail_exception() if hopeless else _compat.airflow_exception()
    raise kind(str(error)) from error


def _collect(backend: Backend, handle: Handle) -> tuple[EvalResult | None, LMEvalError | None]:
    """Return the run's document, or why there is none: a damaged result must fail the task, not crash it half-way."""
    try:
        return backend.collect(handle), None
    except LMEvalError as error:
        return None, error


def _remains(handle: Handle, status: Status, backend: Backend, trouble: LMEvalError | None) -> dict[str, Any]:
    """Return a summary of a run that left no document: of its last words, if they are those of a success.

    A document that cannot be read at the moment is another matter: the next try may read it.
    """
    from airflow_provider_lmeval.results.evidence import partial_summary

    words = backend.last_words(handle) if isinstance(trouble, RunFailedError) else None
    if words is not None and words.reason == Reason.SUCCEEDED and words.metrics:
        return partial_summary(words, backend=backend.name)
    return _without(handle, status, backend, trouble)


def push_failure(context: Any, backend: Backend, handle: Handle, status: Status, error: LMEvalError) -> None:
    """Push the summary of a run that will never begin, as ``return_value``.

    :param handle: of what has ended in its place. :param status: the last of that. :param error: why.
    """
    meant = replace(handle, run_id=handle.precedes or handle.run_id)
    context["ti"].xcom_push(key="return_value", value=_without(meant, status, backend, error))


def _without(handle: Handle, status: Status, backend: Backend, trouble: LMEvalError | None) -> dict[str, Any]:
    """Return a summary in the shape of :func:`summary` for a run that left no usable document."""
    ended = State(status.state).ended
    stopped = status.reason == Reason.CANCELLED
    # whoever collected knows more than the status does, but not that the run was stopped on purpose
    told = trouble.cause if isinstance(trouble, RunFailedError) and not stopped else None
    seconds = status.ended - status.started if status.ended and status.started else None
    return {
        "schema_version": 1,
        "run_id": handle.run_id,
        "backend": backend.name,
        "state": status.state if ended else State.COMPLETE,
        "reason": Reason.CANCELLED if stopped else Reason.FAILED,
        "cause": told or status.cause or (Cause.STORAGE if status.reason == Reason.SUCCEEDED else Cause.INTERNAL),
        "results": {},
        "higher_is_better": {},
        "n_samples": {},
        "result_uri": None,
        "fingerprint": None,
        "seconds": seconds,
    }
