"""``LMEvalJobTrigger``: waits for an ``LMEvalJob``, and shows the log of its pod."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from airflow_provider_lmeval.backends import Backend, Handle
from airflow_provider_lmeval.errors import ClusterError
from airflow_provider_lmeval.triggers.watched import WatchTrigger
from airflow_provider_lmeval.wire import State, Status

if TYPE_CHECKING:
    from airflow_provider_lmeval.backends.kubernetes.watch import SharedWatch
    from airflow_provider_lmeval.backends.lmevaljob.interpret import JobLimits
    from airflow_provider_lmeval.backends.lmevaljob.log import PodLog
    from airflow_provider_lmeval.backends.lmevaljob.view import JobView


class LMEvalJobTrigger(WatchTrigger):
    """Fires once, when an ``LMEvalJob`` has ended or its time is up.

    The event's payload is ``LMEvalTrigger``'s, and ``seen``: the job as it was seen last.
    """

    heavy = (*WatchTrigger.heavy, "airflow_provider_lmeval.backends.lmevaljob.backend")

    _seen: JobView | None = None
    _limits: JobLimits | None = None

    async def _wait(self, backend: Backend, handle: Handle) -> Status:  # noqa: ARG002
        from airflow_provider_lmeval.backends.kubernetes.control import stored
        from airflow_provider_lmeval.backends.kubernetes.poller import taking_turns
        from airflow_provider_lmeval.backends.kubernetes.watch import Follower, watching
        from airflow_provider_lmeval.backends.lmevaljob.log import PodLog
        from airflow_provider_lmeval.backends.lmevaljob.runs import JobRef
        from airflow_provider_lmeval.backends.lmevaljob.view import ALL_JOBS, JOBS

        job = JobRef.of(handle)
        if not job.name:
            return stored(handle)
        self._limits = job.limits
        log = PodLog(lambda line: self.log.info("%s", line))
        follower = Follower(ALL_JOBS if job.foreign else JOBS, job.namespace, job.name, job.uid, handle.run_id)
        async with watching(job.cluster, follower) as watch:
            with taking_turns(follower, watch, log):
                status = await self._follow(follower)
            await self._rest(watch, log)
        return status

    async def _rest(self, watch: SharedWatch[JobView], log: PodLog) -> None:
        """Show what the log has said since its last turn."""
        view = self._seen
        if view is None or watch.api is None or not view.pod or view.deleted:
            return
        try:
            await log.status(watch.api, view)
        except ClusterError as error:
            self.log.warning("%s: %s", log.lack, error)

    def _judge(self, follower: Any) -> Status:
        from airflow_provider_lmeval.backends.lmevaljob.backend import named
        from airflow_provider_lmeval.backends.lmevaljob.interpret import DEFAULT_LIMITS, status_of

        view, limits = cast("JobView", follower.view), self._limits or DEFAULT_LIMITS
        return named(status_of(view, now=follower.clock.now(), limits=limits), Handle.parse(self.handle))

    def _settled(self) -> bool:
        seen = self._seen
        return seen is not None and seen.state in (State.RUNNING, State.SUSPENDED) and seen.deletion is None

    async def _stopped(self, backend: Backend, handle: Handle) -> Status:
        from airflow_provider_lmeval.backends.kubernetes.control import stopped

        status = await backend.astatus(handle)
        if State(status.state).ended:  # its results would go with it
            return status
        await backend.acancel(handle)
        return stopped(handle, "stopped: its time was up")
