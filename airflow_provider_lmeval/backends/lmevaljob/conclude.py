"""What became of a job that has ended, or that was given up: its result document, or why there is none.

The job may be gone by now, and then what the trigger saw last has to do.
"""

from __future__ import annotations

from airflow_provider_lmeval.backends.kubernetes.api import Api
from airflow_provider_lmeval.backends.lmevaljob.failure import cause_of, last_error, remedy
from airflow_provider_lmeval.backends.lmevaljob.interpret import status_of
from airflow_provider_lmeval.backends.lmevaljob.log import PodLog
from airflow_provider_lmeval.backends.lmevaljob.results import result_of_job
from airflow_provider_lmeval.backends.lmevaljob.runs import JobRef, Manifest
from airflow_provider_lmeval.backends.lmevaljob.view import JOBS, JobView, remember
from airflow_provider_lmeval.errors import ClusterError, RunFailedError
from airflow_provider_lmeval.results import EvalResult
from airflow_provider_lmeval.wire import Cause, Reason, State, Status


async def conclude(api: Api, job: JobRef, seen: JobView, run_id: str) -> EvalResult:
    """Return the result document of a job, and delete one that was given up before its end.

    :param seen: the job as it was seen last.
    :raises RunFailedError: it has none; with what its log tells and what to do.
    """
    found = await _read(api, job)
    now = api.clock.now()
    view = remember(JobView.of(found), seen, now) if found else seen.lost()
    before, status = status_of(seen, now=now, limits=job.limits), status_of(view, now=now, limits=job.limits)
    if found and status.reason == Reason.SUCCEEDED:
        return result_of_job(found, run_id, job.recipes, job.spec_hash)
    if before.reason == Reason.SUCCEEDED or status.reason == Reason.SUCCEEDED:
        why = "its spec was edited, for which the operator starts anew," if found else "it was deleted"
        raise RunFailedError(f"LMEvalJob {job.namespace}/{job.name}: {why} before its results were read", Cause.STORAGE)
    told = before if State(before.state).ended else status
    failure = await _failure(api, view, told)
    if found and not view.ended and not job.foreign:
        await api.delete(JOBS.path(job.namespace, job.name), job.uid)
    raise failure


async def _read(api: Api, job: JobRef) -> Manifest | None:
    """Return the job itself, or None if it is gone."""
    try:
        found = await api.get(JOBS.path(job.namespace, job.name))
    except ClusterError as error:
        if error.status != 404 or error.cause:
            raise
        return None
    return found if found["metadata"]["uid"] == job.uid else None


async def _failure(api: Api, view: JobView, status: Status) -> RunFailedError:
    """Return why a job did not succeed, in the words of its log where its own say nothing."""
    cause, gap, lines = Cause(status.cause or Cause.INTERNAL), "", list[str]()
    if cause is Cause.INTERNAL and view.pod and not view.deleted:
        log = PodLog()
        try:
            await log.status(api, view)
        except ClusterError as error:
            gap = f"its log cannot be read: {error}"
        lines = list(log.lines)
        cause = cause_of(view.message, lines)
    parts = [status.message or "", last_error(lines) or "", gap, remedy(cause, online=view.online)]
    return RunFailedError(". ".join(part.rstrip(". ") for part in parts if part), cause)
