"""Creates a run's job, or finds the one that another try has created, so that there is never a second one.

As for pods (``kubernetes/launch.py``): the name follows from the run and from the job that this one replaces, so that the
API server itself refuses a second; a job is deleted by its UID only; and one is adopted only if it is still of use.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from airflow_provider_lmeval.backends.kubernetes.api import Api
from airflow_provider_lmeval.backends.lmevaljob.interpret import status_of
from airflow_provider_lmeval.backends.lmevaljob.results import result_of_job
from airflow_provider_lmeval.backends.lmevaljob.runs import Manifest
from airflow_provider_lmeval.backends.lmevaljob.view import JOBS, TASK_LABEL, JobView
from airflow_provider_lmeval.errors import BackendError, ClusterError, LMEvalError
from airflow_provider_lmeval.plan import pod_name, task_key
from airflow_provider_lmeval.wire import RETRYABLE, Reason

ROUNDS = 5
"""How often to look again after losing a race for the name."""

log = logging.getLogger(__name__)


async def submit(api: Api, run_id: str, namespace: str, stem: str, make: Callable[[str], Manifest]) -> JobView:
    """Return the run's job, created or adopted.

    :param stem: readable beginning of its name. :param make: makes the manifest for a name.
    :raises ClusterError: Kubernetes refused it.
    """
    for _ in range(ROUNDS):
        jobs = await _of_task(api, run_id, namespace)
        if (found := await _usable(api, run_id, jobs)) is not None:
            return found
        mine = [view for view, _ in jobs if view.run_id == run_id]
        name = pod_name(stem, run_id, mine[-1].uid if mine else None)
        try:
            return JobView.of(await api.create(JOBS.path(namespace), make(name)))
        except ClusterError as error:
            if error.status != 409:
                raise
            log.info("LMEvalJob %s is there already; looking again", name)
    raise BackendError(f"run {run_id}: its LMEvalJob's name is taken again and again; is another Airflow using it?")


def is_usable(view: JobView) -> bool:
    """Whether a job still is, or holds, the run: going on, succeeded, or failed for a cause that no other try cures."""
    if view.deletion is not None:
        return False
    if not view.ended:
        return True
    status = status_of(view, now=0.0)
    return status.reason == Reason.SUCCEEDED or (status.reason == Reason.FAILED and status.cause not in RETRYABLE)


def _is_refused(view: JobView, job: Manifest) -> bool:
    """Whether a job has succeeded with results that no try can take: the next one would only fail for the same reason."""
    if view.reason != Reason.SUCCEEDED:
        return False
    try:
        result_of_job(job, view.run_id)
    except LMEvalError as error:
        log.info("LMEvalJob %s is of no use any more: %s", view.name, error)
        return True
    return False


async def _of_task(api: Api, run_id: str, namespace: str) -> list[tuple[JobView, Manifest]]:
    """Return all jobs of the task instance, oldest first."""
    items, _ = await api.list_all(JOBS.path(namespace), f"{TASK_LABEL}={task_key(run_id)}", JOBS.page)
    pairs = [(JobView.of(item), item) for item in items]
    return sorted(pairs, key=lambda pair: (pair[0].created or 0, pair[0].uid))


async def _usable(api: Api, run_id: str, jobs: list[tuple[JobView, Manifest]]) -> JobView | None:
    """Return the job to adopt, and remove those that nobody will look after any more."""
    found: JobView | None = None
    for view, job in jobs:
        if found is None and view.run_id == run_id and is_usable(view) and not _is_refused(view, job):
            log.info("adopting LMEvalJob %s (%s)", view.name, view.state or "not taken up yet")
            found = view
        elif view.deletion is None and not view.ended:
            log.info("removing LMEvalJob %s of run %s, which this run supersedes", view.name, view.run_id)
            await api.delete(JOBS.path(view.namespace, view.name), view.uid)
    return found
