"""Starts a run's pod, or finds the one that another try has started, so that there is never a second one.

Workers die between any two lines, tries overlap, answers of the API server get lost. Three things keep that harmless: the
pod's name follows from the run (``plan.names.pod_name``), so that the API server itself refuses a second pod; a pod is
deleted by its UID only; and a pod is adopted only if it is still of use.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from airflow_provider_lmeval.backends.kubernetes.api import Api
from airflow_provider_lmeval.backends.kubernetes.claims import accompanied
from airflow_provider_lmeval.backends.kubernetes.interpret import cause_of
from airflow_provider_lmeval.backends.kubernetes.view import PodView
from airflow_provider_lmeval.errors import BackendError, ClusterError
from airflow_provider_lmeval.plan import pod_name, task_key
from airflow_provider_lmeval.plan.pod import TASK_LABEL, config_map
from airflow_provider_lmeval.wire import RETRYABLE

Manifest = dict[str, Any]

ROUNDS = 5
"""How often to look again after losing a race for the name."""

log = logging.getLogger(__name__)


def _never() -> bool:
    return False


@dataclass(frozen=True, kw_only=True)
class Launch:
    """What to start.

    :param run_id: of the run. :param namespace: of its pod. :param stem: readable beginning of the pod's name.
    :param packed: the packed request.
    :param manifest: makes the pod's manifest for a name.
    :param companions: what has to be there before the pod, created where it is missing.
    :param adopt: take over a pod that is there; otherwise it is replaced.
    :param keep_ended: leave pods that have ended where they are.
    :param killed: whether the task has been killed meanwhile.
    :param precedes: a run that makes this one needless: if it has a pod, that is returned and nothing is created.
    """

    run_id: str
    namespace: str
    stem: str
    packed: str
    manifest: Callable[[str], Manifest]
    companions: tuple[Manifest, ...] = ()
    adopt: bool = True
    keep_ended: bool = False
    killed: Callable[[], bool] = _never
    precedes: str = ""


async def launch(api: Api, wanted: Launch) -> Manifest:
    """Return the run's pod as the API server has it, created or adopted.

    :raises ClusterError: Kubernetes refused it. :raises BackendError: the task was killed; no pod is left.
    """
    for _ in range(ROUNDS):
        pods = await _of_task(api, wanted)
        if later := next((pod for view, pod in pods if wanted.precedes and view.run_id == wanted.precedes), None):
            return later
        if (found := await _usable(api, wanted, pods)) is not None:
            return found
        manifest = wanted.manifest(pod_name(wanted.stem, wanted.run_id, _newest(wanted, pods)))
        if wanted.killed():
            raise BackendError("the task was killed before its pod was created")
        try:
            async with accompanied(api, wanted.companions):
                return await _create(api, wanted, manifest)
        except ClusterError as error:
            if error.status != 409:
                raise
            log.info("pod %s is there already; looking again", manifest["metadata"]["name"])
    raise BackendError(f"run {wanted.run_id}: its pod's name is taken again and again; is another Airflow using it?")


def is_usable(view: PodView) -> bool:
    """Whether a pod still is, or holds, the run: going on, succeeded, or failed for a cause that no other try cures."""
    if view.checked or view.deletion is not None:
        return False
    return not view.ended or view.exit_code == 0 or view.phase == "Succeeded" or cause_of(view)[0] not in RETRYABLE


async def _of_task(api: Api, wanted: Launch) -> list[tuple[PodView, Manifest]]:
    """Return all pods of the task instance, oldest first."""
    items, _ = await api.list_pods(wanted.namespace, f"{TASK_LABEL}={task_key(wanted.run_id)}")
    return sorted(((PodView.of(item), item) for item in items), key=lambda pair: (pair[0].created or 0, pair[0].uid))


async def _usable(api: Api, wanted: Launch, pods: list[tuple[PodView, Manifest]]) -> Manifest | None:
    """Return the pod to adopt, and remove those that nobody will look after any more."""
    found: Manifest | None = None
    for view, pod in pods:
        if found is None and wanted.adopt and view.run_id == wanted.run_id and is_usable(view):
            log.info("adopting pod %s (%s)", view.name, view.phase)
            found = pod
            if not view.running and not view.ended:  # whoever created it may not have come further
                await _hand_over(api, wanted, pod)
        elif view.deletion is None and not (view.ended and (wanted.keep_ended or view.checked)):
            log.info("removing pod %s of run %s, which this run supersedes", view.name, view.run_id)
            await api.delete_pod(view.namespace, view.name, view.uid)
    return found


def _newest(wanted: Launch, pods: list[tuple[PodView, Manifest]]) -> str | None:
    mine = [view for view, _ in pods if view.run_id == wanted.run_id]
    return mine[-1].uid if mine else None


async def _create(api: Api, wanted: Launch, manifest: Manifest) -> Manifest:
    pod = await api.create_pod(manifest)
    meta = pod["metadata"]
    try:
        await _hand_over(api, wanted, pod)
        if wanted.killed():
            raise BackendError("the task was killed while its pod was created; the pod was deleted")
    except BackendError:
        await api.delete_pod(meta["namespace"], meta["name"], meta["uid"])
        raise
    return pod


async def _hand_over(api: Api, wanted: Launch, pod: Manifest) -> None:
    """Create the ConfigMap that the pod waits for, if its request is too large for the pod itself."""
    if (request := config_map(pod, wanted.packed)) is not None:
        await api.create_missing(request)
