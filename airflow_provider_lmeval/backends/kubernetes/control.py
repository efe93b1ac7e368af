"""Looking at one pod and ending it, each by its UID: a name may be another pod's by now."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from airflow_provider_lmeval.backends.base import Handle
from airflow_provider_lmeval.backends.kubernetes.api import Api
from airflow_provider_lmeval.backends.kubernetes.interpret import LOST_AFTER_S
from airflow_provider_lmeval.backends.kubernetes.runs import PodRef
from airflow_provider_lmeval.backends.kubernetes.view import CHECKED, PodView
from airflow_provider_lmeval.errors import BackendError, ClusterError
from airflow_provider_lmeval.wire import Cause, Reason, State, Status

POLL_S = 1.0


async def look(api: Api, pod: PodRef, run_id: str) -> PodView:
    """Return the pod as it is now; one that is not there any more as it was seen last, and gone."""
    seen = pod.seen or PodView(name=pod.name, namespace=pod.namespace, uid=pod.uid, run_id=run_id)
    try:
        found = PodView.of(await api.get_pod(pod.namespace, pod.name))
    except ClusterError as error:
        if error.status != 404:
            raise
        return seen.lost()
    return found if found.uid == pod.uid else seen.lost()


async def stop(api: Api, pod: PodRef) -> bool:
    """Make a pod end: by deleting it, or, where its object is to be kept, by letting its deadline pass.

    :returns: whether it was there and had not ended.
    """
    if not pod.keep:
        return await api.delete_pod(pod.namespace, pod.name, pod.uid)
    view = await look(api, pod, "")
    if view.ended:
        return False
    if view.scheduled is None:  # only a kubelet enforces a deadline
        return await api.delete_pod(pod.namespace, pod.name, pod.uid)
    deadline = {"metadata": {"uid": pod.uid}, "spec": {"activeDeadlineSeconds": 1}}
    await api.patch_pod(pod.namespace, pod.name, deadline)
    return True


async def cancel(api: Api, pod: PodRef, run_id: str) -> None:
    """Stop a pod and wait until nothing of it runs.

    :raises BackendError: it does not end, most likely because its node is lost.
    """
    if not pod.name or not await stop(api, pod):
        return
    end = time.monotonic() + pod.grace_s + LOST_AFTER_S
    while not (view := await look(api, pod, run_id)).ended:
        if time.monotonic() > end:
            raise BackendError(
                f"pod {pod.namespace}/{pod.name} was told to end and does not; its node {view.node} may be lost. Kubernetes "
                "removes it when the node comes back or its object is deleted"
            )
        await asyncio.sleep(POLL_S)


async def mark_checked(api: Api, pod: PodRef) -> None:
    """Label a pod that is left where it is, so that no other try takes it for its own."""
    patch = {"metadata": {"uid": pod.uid, "labels": {CHECKED: "True"}}}
    await api.patch_pod(pod.namespace, pod.name, patch)


def stored(handle: Handle) -> Status:
    """Return the status of a run that needed no pod: its result was there."""
    return Status(run_id=handle.run_id, state=State.COMPLETE, reason=Reason.SUCCEEDED)


def stopped(handle: Handle, why: str) -> Status:
    """Return the status of a run that was ended on purpose."""
    status = Status(run_id=handle.run_id, message=why)
    return replace(status, state=State.CANCELLED, reason=Reason.CANCELLED, cause=Cause.CANCELLED)


def gone(handle: Handle) -> Status:
    """Return the status of a run whose pod nobody has ever seen."""
    pod = PodRef.of(handle)
    message = f"pod {pod.namespace}/{pod.name} is gone, and nobody saw how it ended"
    status = Status(run_id=handle.run_id, message=message)
    return replace(status, state=State.COMPLETE, reason=Reason.FAILED, cause=Cause.KILLED)
