"""Claims that are made for runs: created before a pod, kept for its next try, removed when no try is to come.

A claim outlives the pods of its run, because a retried pod resumes from it. So nothing owns it in Kubernetes' sense: a run
that succeeds removes its own, and the reaper those of runs that will not be tried again.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

from airflow_provider_lmeval.backends.kubernetes.api import Api
from airflow_provider_lmeval.backends.kubernetes.seen import posix
from airflow_provider_lmeval.backends.kubernetes.view import PodView
from airflow_provider_lmeval.errors import ClusterError
from airflow_provider_lmeval.plan.pod import OWNER, RUN_LABEL
from airflow_provider_lmeval.plan.pod_parts import Manifest
from airflow_provider_lmeval.plan.pod_volumes import RETENTION, claim_name, purposes
from airflow_provider_lmeval.spec.pod import PodSettings

Owner = tuple[str, ...]
"""Dag id, DAG run id, task id, map index; empty if no task has started it."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ClaimView:
    """A managed claim. ``created`` is in POSIX seconds; ``owner`` as of :class:`PodView`."""

    name: str
    namespace: str
    run_id: str
    owner: Owner
    created: float | None
    deleted: bool
    retention: str

    @classmethod
    def of(cls, claim: Mapping[str, Any]) -> Self:
        """Look at a claim. :param claim: decoded JSON."""
        meta = claim["metadata"]
        notes = meta.get("annotations") or {}
        return cls(
            name=meta["name"],
            namespace=meta["namespace"],
            run_id=(meta.get("labels") or {}).get(RUN_LABEL, ""),
            owner=tuple(notes[name] for name in OWNER if name in notes),
            created=posix(meta.get("creationTimestamp")),
            deleted=meta.get("deletionTimestamp") is not None,
            retention=notes.get(RETENTION, "Retain"),
        )


def own_claims(settings: PodSettings, run_id: str) -> tuple[str, ...]:
    """Return the names of the claims that go with a run."""
    return tuple(claim_name(claim, purpose, run_id) for purpose, claim in purposes(settings) if claim.is_deleted)


@asynccontextmanager
async def accompanied(api: Api, companions: Sequence[Manifest]) -> AsyncIterator[None]:
    """Create what a pod needs beside it; if the pod does not come about, remove what was created for it alone."""
    created: dict[str, Manifest] = {}
    try:
        for manifest in companions:
            created |= {manifest["metadata"]["name"]: manifest} if await api.create_missing(manifest) else {}
        yield
    except Exception as error:
        if not (isinstance(error, ClusterError) and error.status == 409):  # another try's pod, which may use them now
            for name, manifest in created.items():
                if manifest["metadata"]["annotations"].get(RETENTION) == "Delete":
                    await remove_claims(api, manifest["metadata"]["namespace"], [name])
        raise


async def remove_claims(api: Api, namespace: str, names: Iterable[str]) -> None:
    """Remove claims; one that may not be removed is left to whoever may."""
    for name in names:
        try:
            await api.delete_claim(namespace, name)
        except ClusterError as error:
            log.warning("claim %s/%s is left where it is: %s", namespace, name, error)


def orphaned(
    claims: Iterable[ClaimView], pods: Iterable[PodView], ended: Callable[[Owner], str | None]
) -> list[tuple[ClaimView, str]]:
    """Return the claims that no try will need, and why. Pure.

    :param pods: those that are there and stay: a run's claim stays as long as its pod.
    :param ended: says of an owner why it will not try again, or None.
    """
    views = list(pods)
    busy, newest = {view.run_id for view in views}, {view.owner: view.run_id for view in views}
    mine = [each for each in claims if each.retention == "Delete" and each.run_id and not each.deleted]
    return [
        (each, why)
        for each in mine
        if each.run_id not in busy
        and (why := _superseded(newest.get(each.owner) if each.owner else None) or ended(each.owner))
    ]


def _superseded(newer: str | None) -> str | None:
    return f"run {newer} has taken its run's place" if newer else None
