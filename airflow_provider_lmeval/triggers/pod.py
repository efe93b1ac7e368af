"""``EvalPodTrigger``: waits for a run in Kubernetes by the watch that all of a triggerer's runs share.

It sees its pod's end at once and without asking for it. What it saw last goes into its event, so that the run can be
concluded when the pod has been deleted meanwhile. Rules for stopping a run are ``LMEvalTrigger``'s.
"""

from __future__ import annotations

import asyncio
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from airflow.triggers.base import TriggerEvent

from airflow_provider_lmeval import _compat
from airflow_provider_lmeval.backends import Backend, Handle
from airflow_provider_lmeval.triggers.lmeval import LMEvalTrigger
from airflow_provider_lmeval.triggers.progress import ProgressLog
from airflow_provider_lmeval.wire import State, Status

if TYPE_CHECKING:
    from airflow_provider_lmeval.backends.kubernetes.backend import KubernetesBackend
    from airflow_provider_lmeval.backends.kubernetes.view import Limits, PodView
    from airflow_provider_lmeval.backends.kubernetes.watch import Follower

STARTING_S = 5.0
"""Longest wait between two thoughts about a pod that does not run yet, or is on its way out: its limits are time, too."""
RUNNING_S = 60.0
LAST_LOOK_S = 2.0
"""How much later than a request of one's own the watch may tell that a pod has ended."""
HEAVY = (
    "kubernetes_asyncio.config",
    "airflow_provider_lmeval.backends.kubernetes.backend",
    "airflow_provider_lmeval.backends.kubernetes.poller",
)
"""What takes a while to import, in a thread: the triggerer's other triggers must not wait for it."""


class EvalPodTrigger(LMEvalTrigger):
    """Fires once, when a pod has ended or its time is up.

    The event's payload is ``LMEvalTrigger``'s, and ``seen``: the pod as it was seen last.
    """

    blind_s = 60.0
    """How long a pod may be out of reach for lack of permissions before the trigger says so."""

    _seen: PodView | None = None
    _shown: float | None = None
    _told: asyncio.Task[bool] | None = None

    def _event(
        self, *, status: dict[str, Any] | None = None, error: str | None = None, timed_out: bool = False
    ) -> TriggerEvent:
        event = super()._event(status=status, error=error, timed_out=timed_out)
        event.payload["seen"] = self._seen.to_json() if self._seen else None
        return event

    async def _backend(self) -> Backend:
        for name in HEAVY:
            await asyncio.to_thread(import_module, name)
        return await super()._backend()

    async def _wait(self, backend: Backend, handle: Handle) -> Status:
        from airflow_provider_lmeval.backends.kubernetes import control
        from airflow_provider_lmeval.backends.kubernetes.poller import taking_turns
        from airflow_provider_lmeval.backends.kubernetes.runs import PodRef
        from airflow_provider_lmeval.backends.kubernetes.watch import Follower, watching

        pod, pods = PodRef.of(handle), cast("KubernetesBackend", backend)
        if not pod.name:
            return control.stored(handle)
        follower = Follower(pod.namespace, pod.name, pod.uid, handle.run_id)
        async with watching(pod.cluster, follower) as watch:
            with taking_turns(follower, watch, pods.probe):
                return await self._follow(follower, pod.limits)

    async def _follow(self, follower: Follower, limits: Limits) -> Status:
        """Return the status of the ended run, or the last one when the deadline has passed."""
        progress = ProgressLog()
        while True:
            status = self._look(follower, limits)
            if line := progress.line(status):
                self.log.info("%s", line)
            if State(status.state).ended or self._time_left() <= 0:
                return status
            self._tell(follower)
            settled = self._seen is not None and self._seen.running and self._seen.deletion is None
            await follower.changed(min(self._time_left(), RUNNING_S if settled else STARTING_S))

    def _look(self, follower: Follower, limits: Limits) -> Status:
        """Return what is known.

        :raises ClusterError: Kubernetes does not let this triggerer look.
        """
        from airflow_provider_lmeval.backends.kubernetes.interpret import status_of

        trouble, now = follower.trouble, asyncio.get_running_loop().time()
        if trouble is not None and not trouble.transient and now - follower.trouble_since > self.blind_s:
            raise trouble
        if follower.view is None:
            return Status(run_id=follower.run_id, message=str(trouble) if trouble else "looking for the pod")
        self._seen = follower.view
        return status_of(follower.view, now=time.time(), limits=limits, driver=follower.driver)

    def _tell(self, follower: Follower) -> None:
        """Show in the task's log and as XCom ``progress`` what has come in."""
        while follower.notices:
            self.log.warning("%s", follower.notices.pop())
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
        from airflow_provider_lmeval.backends.kubernetes.runs import PodRef
        from airflow_provider_lmeval.backends.kubernetes.watch import Follower, watching

        pod = PodRef.of(handle)
        follower = Follower(pod.namespace, pod.name, pod.uid, handle.run_id)
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
