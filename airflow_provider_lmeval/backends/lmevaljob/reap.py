"""Finds LMEvalJobs that nobody will look after any more, and removes them, by the rules that hold for pods.

A job that failed stays for people to look at, one whose worker and triggerer died may run on, and nobody would ever come
for either. Its operator ends the pod of a job that is removed. Jobs of other people do not have our label.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from airflow_provider_lmeval.backends.kubernetes.claims import Owner
from airflow_provider_lmeval.backends.kubernetes.reap import Orphan, States, orphans
from airflow_provider_lmeval.backends.lmevaljob.backend import LMEvalJobBackend
from airflow_provider_lmeval.backends.lmevaljob.view import JOBS, JobView


def reap_jobs(
    backend: LMEvalJobBackend,
    states_of: Callable[[Iterable[Owner]], States],
    *,
    ttl_s: float,
    unknown: bool = False,
    dry_run: bool = False,
) -> list[Orphan]:
    """Remove the orphans of the backend's namespace, and return them.

    :param states_of: looks up the states of task instances. :param ttl_s: seconds a job that has ended is kept.
    :param unknown: also jobs whose task this Airflow does not know. :param dry_run: only return them.
    :raises ClusterError: Kubernetes refused, or does not know LMEvalJob.
    """
    namespace = backend.namespace
    items, _ = backend.call(lambda api: api.list_all(JOBS.path(namespace), JOBS.selector, JOBS.page))
    views = [JobView.of(item) for item in items]
    states = states_of({view.owner for view in views} - {()})
    found = orphans(views, states, now=time.time(), ttl_s=ttl_s, unknown=unknown)
    removed = set() if dry_run else {orphan.view.name for orphan in found}
    for view in (view for view in views if view.name in removed):
        _remove(backend, view)
    return found


def _remove(backend: LMEvalJobBackend, view: JobView) -> None:
    backend.call(lambda api: api.delete(JOBS.path(view.namespace, view.name), view.uid))
