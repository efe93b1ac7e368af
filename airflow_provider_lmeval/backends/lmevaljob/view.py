"""What matters of an ``LMEvalJob``, taken out of the JSON that the API server sends.

``status.results`` can have a megabyte, so a view leaves it where it is; it is read once, when the job has ended. Views are
plain data: the last one that a trigger saw travels in its event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from airflow_provider_lmeval.backends.kubernetes.resources import Resource
from airflow_provider_lmeval.backends.kubernetes.seen import ObjectView, metadata, posix
from airflow_provider_lmeval.plan.lmevaljob.schema import API_VERSION

RUN_LABEL = "lmeval.airflow/job-run-id"
TASK_LABEL = "lmeval.airflow/job-task"
"""Other labels than those of our own pods: the operator copies a job's labels to its pod, and whoever looks for our pods, a
network policy included, must not find the operator's."""
KEEP = "lmeval.airflow/keep"
"""Annotation of jobs that stay when their result is stored: the reaper leaves them, too."""
PREFIX = f"/apis/{API_VERSION}"
PLURAL = "lmevaljobs"
PAGE = 10
"""Jobs in one answer to a list: each may bring its results along."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView(ObjectView):
    """A job at one moment. An object that was deleted may be held by its ``finalizers``.

    :param keep: it was created to stay.
    :param suspended: its spec says so: Kueue has not let it go yet.
    :param online: its spec asks for online access.
    :param state: of its status; empty: no operator has looked at it. ``reason`` and ``message`` likewise.
    :param pod: name of the operator's pod.
    :param bar: the last of its progress bars.
    :param progressed: since when that is the same, by the clock of whoever looks.
    :param scheduled: when it got its first pod. ``resumed``: when Kueue was first seen to let it go again.
    :param queued: since when Kueue has been seen to hold it.
    """

    finalizers: tuple[str, ...] = ()
    keep: bool = False
    suspended: bool = False
    online: bool = False
    state: str = ""
    reason: str = ""
    message: str = ""
    pod: str = ""
    bar: dict[str, str] | None = None
    progressed: float | None = None
    scheduled: float | None = None
    resumed: float | None = None
    queued: float | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing of the evaluation runs any more, or ever will."""
        return self.deleted or (self.state in ("Complete", "Cancelled") and not self.retried)

    @property
    def retried(self) -> bool:
        """Whether the operator tries again what has failed.

        It calls a job *Complete*, *Failed* when it cannot create its pod (a quota) or read its own settings; but a job that
        was neither scheduled nor completed is new to it, and so the job runs as soon as that works.
        """
        failed = self.state == "Complete" and self.reason == "Failed"
        return failed and self.scheduled is None and self.finished is None

    @property
    def began(self) -> float | None:
        """When it got the pod that it has now."""
        return max(self.scheduled, self.resumed or 0.0) if self.scheduled is not None else None

    @property
    def kept(self) -> bool:
        """Whether it holds what people want to have: it succeeded, and was created to stay."""
        return self.keep and self.reason == "Succeeded"

    @classmethod
    def of(cls, job: Mapping[str, Any], *, deleted: bool = False) -> Self:
        """Look at a job.

        :param job: decoded JSON. :param deleted: it is the object of a DELETED event.
        """
        meta, spec, status = job["metadata"], job.get("spec") or {}, job.get("status") or {}
        bars = status.get("progressBars") or [None]
        return cls(
            **metadata(job, RUN_LABEL, TASK_LABEL),
            deleted=deleted,
            finished=posix(status.get("completeTime")),
            finalizers=tuple(meta.get("finalizers") or ()),
            keep=(meta.get("annotations") or {}).get(KEEP) == "true",
            suspended=bool(spec.get("suspend")),
            online=bool(spec.get("allowOnline")),
            state=status.get("state") or "",
            reason=status.get("reason") or "",
            message=status.get("message") or "",
            pod=status.get("podName") or "",
            bar=bars[-1],
            scheduled=posix(status.get("lastScheduleTime")),
        )


def remember(view: JobView, before: JobView | None, now: float) -> JobView:
    """Return a view that knows what the job itself does not say: since when its bar stands still, and Kueue holds it.

    Whoever begins to watch later begins to count later.

    :param before: the view before this one. :param now: POSIX time, seconds.
    """
    last = before or view
    held, holds = last.state == "Suspended", view.state == "Suspended"
    again = held and not holds and view.scheduled is not None and view.scheduled == last.scheduled
    resumed = now if again else last.resumed
    queued = ((last.queued if held else None) or now) if holds else None
    stands = before is not None and before.bar == view.bar and not (held and not holds)
    progressed = ((last.progressed if stands else None) or now) if view.bar else None
    return replace(view, progressed=progressed, resumed=resumed, queued=queued)


def _look(found: Mapping[str, Any], deleted: bool) -> JobView:
    return JobView.of(found, deleted=deleted)


def _unseen(namespace: str, name: str, uid: str, run_id: str) -> JobView:
    return JobView(namespace=namespace, name=name, uid=uid, run_id=run_id)


JOBS = Resource(PREFIX, PLURAL, "LMEvalJob", _look, _unseen, remember, selector=RUN_LABEL, page=PAGE)
"""Those that we have created."""
ALL_JOBS = replace(JOBS, selector="")
"""Those of everybody, for a sensor."""
