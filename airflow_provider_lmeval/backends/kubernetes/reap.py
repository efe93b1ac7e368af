"""Finds pods and claims that nobody will look after any more, and removes them.

Everybody who starts a pod also ends it, as long as somebody of Airflow is alive. What is left are workers and triggerers
that died in the wrong moment for good, DAG runs deleted under their tasks, and pods kept on purpose that nobody needs now. A
pod's own ``activeDeadlineSeconds`` bounds the damage, but only where a kubelet sees to it.

Whether a run is an orphan is for its task to say. A task that this Airflow does not know may be another Airflow's, so its
pod is only removed on request. The same holds for LMEvalJobs, which ``lmevaljob/reap.py`` finds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from airflow_provider_lmeval.backends.kubernetes.backend import KubernetesBackend
from airflow_provider_lmeval.backends.kubernetes.claims import ClaimView, Owner, orphaned
from airflow_provider_lmeval.backends.kubernetes.seen import ObjectView
from airflow_provider_lmeval.backends.kubernetes.view import PodView
from airflow_provider_lmeval.errors import ClusterError
from airflow_provider_lmeval.plan.pod import SELECTOR

States = Mapping[Owner, str | None]
"""State of each task instance; None: there is no such task instance."""

ENDED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
"""States of a task that will not look after its run any more; in any other it does, or its next try will."""
YOUNG_S = 300.0
"""A pod of this age is left alone: the state of its task may lag behind."""


@dataclass(frozen=True)
class Orphan:
    """A pod, job or claim to remove, and why."""

    view: ObjectView | ClaimView
    why: str


def orphans(
    views: Iterable[ObjectView], states: States, *, now: float, ttl_s: float, unknown: bool = False
) -> list[Orphan]:
    """Return the pods, or the jobs, that can be removed. Pure.

    :param now: POSIX time, seconds. :param ttl_s: seconds one that has ended is kept.
    :param unknown: also those whose task this Airflow does not know, and those that no task has started.
    """
    known = list(views)
    newest = {view.task: view for view in sorted(known, key=lambda view: view.created or 0.0)}
    found = []
    for view in known:
        settled = view.deletion is None and view.created is not None and now - view.created > YOUNG_S
        why = _why(view, states.get(view.owner), newest[view.task], now, ttl_s, unknown=unknown)
        if settled and why:
            found.append(Orphan(view, why))
    return found


def _why(
    view: ObjectView, state: str | None, newest: ObjectView, now: float, ttl_s: float, *, unknown: bool
) -> str | None:
    """Return why a pod or a job can be removed, or None if it has to stay."""
    cared_for = state is not None and state not in ENDED
    if view.ended:
        if state is None and view.owner and not unknown:
            return None
        age = now - (view.finished or view.created or 0.0)
        kept_s = ttl_s if view.ttl is None else view.ttl
        return f"it ended {age:.0f} s ago" if age > kept_s and not cared_for and not view.kept else None
    if cared_for:
        superseded = newest.run_id != view.run_id and not newest.ended
        return f"run {newest.run_id} has taken its place" if superseded else None
    return _ended(state, unknown=unknown)


def reap(
    backend: KubernetesBackend,
    states_of: Callable[[Iterable[Owner]], States],
    *,
    ttl_s: float,
    unknown: bool = False,
    dry_run: bool = False,
) -> list[Orphan]:
    """Remove the orphans of the backend's namespace, and return them.

    :param states_of: looks up the states of task instances.
    :param dry_run: only return them.
    :raises ClusterError: Kubernetes refused.
    """
    namespace = backend.namespace
    items, _ = backend.call(lambda api: api.list_pods(namespace, SELECTOR))
    views, claims, now = [PodView.of(item) for item in items], _claims(backend, namespace), time.time()
    owners = {view.owner for view in views} | {claim.owner for claim in claims}
    states = states_of(owners - {()})
    found = orphans(views, states, now=now, ttl_s=ttl_s, unknown=unknown)
    removed = {orphan.view.name for orphan in found}
    settled = [claim for claim in claims if claim.created is not None and now - claim.created > YOUNG_S]
    staying = sorted((view for view in views if view.name not in removed), key=lambda view: view.created or 0.0)
    found += [
        Orphan(claim, why)
        for claim, why in orphaned(settled, staying, lambda owner: _ended(states.get(owner), unknown=unknown))
    ]
    for orphan in [] if dry_run else found:
        _remove(backend, orphan.view)
    return found


def _ended(state: str | None, *, unknown: bool) -> str | None:
    """Return why a task will not try again, or None if it may."""
    if state is None:
        return "no task of this Airflow has started it" if unknown else None
    return f"its task is {state}" if state in ENDED else None


def _claims(backend: KubernetesBackend, namespace: str) -> list[ClaimView]:
    """Return the managed claims; none where Airflow may not look, since then it has made none."""
    try:
        return [ClaimView.of(item) for item in backend.call(lambda api: api.list_claims(namespace, SELECTOR))]
    except ClusterError as error:
        if error.status != 403:
            raise
        return []


def _remove(backend: KubernetesBackend, view: ObjectView | ClaimView) -> None:
    if isinstance(view, ClaimView):
        backend.call(lambda api: api.delete_claim(view.namespace, view.name))
    else:
        backend.call(lambda api: api.delete_pod(view.namespace, view.name, view.uid))
