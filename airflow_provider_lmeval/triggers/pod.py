"""``EvalPodTrigger``: waits for a pod of ours, and shows what its driver says."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, cast

from airflow_provider_lmeval import _compat
from airflow_provider_lmeval.backends import Backend, Handle
from airflow_provider_lmeval.triggers.watched import WatchTrigger
from airflow_provider_lmeval.wire import Status

if TYPE_CHECKING:
    from airflow_provider_lmeval.backends.kubernetes.backend import KubernetesBackend
    from airflow_provider_lmeval.backends.kubernetes.view import Limits, PodView
    from airflow_provider_lmeval.backends.kubernetes.watch import Follower

LAST_LOOK_S = 2.0
"""How much later than a request of one's own the watch may tell that a pod has ended."""


class EvalPodTrigger(WatchTrigger):
    """Fires once, when a pod has ended or its time is up.

    The event's payload is ``LMEvalTrigger``'s, and ``seen``: the pod as it was seen last.
    """

    heavy = (*WatchTrigger.heavy, "airflow_provider_lmeval.backends.kubernetes.backend")

    _seen: PodView | None = None
    _limits: Limits | None = None
    _shown: float | None = None
    _told: asyncio.Task[bool] | None = None

    async def _wait(self, backend: Backend, handle: Handle) -> Status:
        from airflow_provider_lmeval.backends.kubernetes import control
        from airflow_provider_lmeval.backends.kubernetes.poller import taking_turns
        from airflow_provider_lmeval.backends.kubernetes.resources import PODS
        from airflow_provider_lmeval.backends.kubernetes.runs import PodRef
        from airflow_provider_lmeval.backends.kubernetes.watch import Follower, watching

        pod, pods = PodRef.of(handle), cast("KubernetesBackend", backend)
        if not pod.name:
            return control.stored(handle)
        self._limits = pod.limits
        follower = Follower(PODS, pod.namespace, pod.name, pod.uid, handle.run_id)
        async with watching(pod.cluster, follower) as watch:
            with taking_turns(follower, watch, pods.probe):
                return await self._follow(follower)

    def _judge(self, follower: Follower[Any]) -> Status:
        from airflow_provider_lmeval.backends.kubernetes.interpret import status_of
        from airflow_provider_lmeval.backends.kubernetes.view import DEFAULT_LIMITS

        view, limits = cast("PodView", follower.view), self._limits or DEFAULT_LIMITS
        return status_of(view, now=follower.clock.now(), limits=limits, driver=follower.driver)

    def _settled(self) -> bool:
        return self._seen is not None and self._seen.running and self._seen.deletion is None

    def _tell(self, follower: Follower[Any]) -> None:
        """Show in the task's log and as XCom ``progress`` what has come in."""
        super()._tell(follower)
        driver, idle = follower.driver, self._told is None or self._told.done()
        if driver is not None and idle and driver.updated != self._shown:
            self._shown = driver.updated
            value = {"state": driver.state, "phase": driver.phase, "updated": driver.updated, **driver.progress}
            self._told = asyncio.create_task(self._push(value))

    async def _push(self, progress: dict[str, Any]) -> bool:
        try:
            return await _compat.push_xcom(self, "progress", progress)
        except Exception as error:  # noqa: BLE001 - whatever Airflow's side raises, the run is worth more than its bar
            self.log.debug("progress cannot be shown: %s", error)
            return False

    async def _stopped(self, backend: Backend, handle: Handle) -> Status:
        """Stop the pod, and watch how it ends: it may succeed in its grace, and its last words may be all that is left."""
        from airflow_provider_lmeval.backends.kubernetes.control import stopped
        from airflow_provider_lmeval.backends.kubernetes.interpret import status_of
        from airflow_provider_lmeval.backends.kubernetes.resources import PODS
        from airflow_provider_lmeval.backends.kubernetes.runs import PodRef
        from airflow_provider_lmeval.backends.kubernetes.watch import Follower, watching

        pod = PodRef.of(handle)
        follower = Follower(PODS, pod.namespace, pod.name, pod.uid, handle.run_id)
        async with watching(pod.cluster, follower) as watch:
            await backend.acancel(handle)
            until = time.monotonic() + LAST_LOOK_S
            while watch.well and not (follower.view and follower.view.ended) and time.monotonic() < until:
                await follower.changed(until - time.monotonic())
        self._seen = follower.view or self._seen
        if follower.view is not None and follower.view.exit_code == 0:
            return status_of(follower.view, now=time.time(), limits=pod.limits)
        return stopped(handle, "stopped: its time was up")

    async def on_kill(self) -> None:
        """Stop the pod if a person has acted on the task, unless ``on_kill_action`` says to keep it."""
        if self.handle.get("where", {}).get("keep_on_kill"):
            self.log.info("run %s goes on, as on_kill_action says", self.handle.get("run_id"))
            return
        await super().on_kill()
