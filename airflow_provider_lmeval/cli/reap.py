"""``reap``: removes pods, LMEvalJobs and claims of evaluations that no task owns any more."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from airflow_provider_lmeval import _compat
from airflow_provider_lmeval.errors import ClusterError
from airflow_provider_lmeval.hooks.lmeval import LMEvalHook, make_backend

if TYPE_CHECKING:
    from airflow_provider_lmeval.backends.kubernetes.backend import KubernetesBackend
    from airflow_provider_lmeval.backends.kubernetes.reap import Orphan
    from airflow_provider_lmeval.backends.lmevaljob.backend import LMEvalJobBackend

log = logging.getLogger(__name__)


def main(arguments: argparse.Namespace) -> int:
    """Remove orphans and print one line about each; 0 always, unless something cannot be reached."""
    from airflow_provider_lmeval.backends.kubernetes.claims import ClaimView
    from airflow_provider_lmeval.backends.lmevaljob.view import JobView

    found = sweep(
        arguments.conn_id,
        namespace=arguments.namespace,
        ttl_s=arguments.ttl,
        unknown=arguments.unknown,
        dry_run=arguments.dry_run,
    )
    for orphan in found:
        print(f"{orphan.view.namespace}/{orphan.view.name}: {orphan.why}")
    done = "would be removed" if arguments.dry_run else "removed"
    claims, jobs = (sum(isinstance(each.view, kind) for each in found) for kind in (ClaimView, JobView))
    pods = len(found) - claims - jobs
    told = f"{_count(pods, 'pod')}, {_count(jobs, 'LMEvalJob')} and {_count(claims, 'claim')} {done}"
    print(told, file=sys.stderr)
    return 0


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def sweep(
    lmeval_conn_id: str | None = None,
    *,
    namespace: str | None = None,
    ttl_s: float | None = None,
    unknown: bool = False,
    dry_run: bool = False,
) -> list[Orphan]:
    """Remove orphans, at a command line or in a task, and return them.

    :param lmeval_conn_id: connection of type *LM Eval* that overrides the configuration.
    :param namespace: where to look, instead of where the settings say.
    :param ttl_s: seconds a pod or job that has ended is kept; default ``[lmeval] pod_ttl``.
    :param unknown: also those whose task this Airflow does not know: they may be another Airflow's.
    :param dry_run: only return them.
    :raises ClusterError: Kubernetes refused.
    """
    from airflow_provider_lmeval.backends.kubernetes.reap import reap
    from airflow_provider_lmeval.backends.lmevaljob.reap import reap_jobs

    settings = LMEvalHook(lmeval_conn_id).settings
    place = {"namespace": namespace} if namespace else None
    pods = cast("KubernetesBackend", make_backend(settings, "kubernetes", pod=place))
    jobs = cast("LMEvalJobBackend", make_backend(settings, "lmevaljob", job=place))
    rules: dict[str, Any] = {"ttl_s": settings.pod_ttl if ttl_s is None else ttl_s, "unknown": unknown}
    with_jobs = settings.backend == "lmevaljob"
    return [
        *_of_kind(partial(reap, pods, _compat.task_states, **rules), needed=not with_jobs, dry_run=dry_run),
        *_of_kind(partial(reap_jobs, jobs, _compat.task_states, **rules), needed=with_jobs, dry_run=dry_run),
    ]


def _of_kind(reaped: Callable[..., list[Orphan]], *, needed: bool, dry_run: bool) -> list[Orphan]:
    """Return what was removed of a kind.

    Who has only pods has no right to look at LMEvalJobs, and maybe no CRD; who has only LMEvalJobs none to look at pods.

    :param needed: the settings' backend makes such objects, so that not to see them is an error.
    """
    try:
        found = reaped(dry_run=True)
    except ClusterError as error:
        absent = error.status == 403 or (error.status == 404 and error.cause)
        if needed or not absent:
            raise
        log.info("not looked at: %s", error)
        return []
    return found if dry_run or not found else reaped()
