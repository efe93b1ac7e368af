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
from airflow_provider_lmeval.spec.lmevaljob import QUEUE_LABEL

RUN_LABEL = "lmeval.airflow/job-run-id"
TASK_LABEL = "lmeval.airflow/job-task"
"""Other labels than those of our own pods: the operator copies a job's labels to its pod, and whoever looks for our pods, a
network policy included, must not find the operator's."""
KEEP = "lmeval.airflow/keep"
"""Annotation of jobs that stay when their result is stored: the reaper leaves them, too."""
GENERATION = "trustyai.opendatahub.io/last-scheduled-generation"
"""The operator's annotation: which generation of the spec it has made a pod for."""
MOST_WORDS = 4000
"""Characters of a message: a view is stored with the event that it travels in."""
PREFIX = f"/apis/{API_VERSION}"
PLURAL = "lmevaljobs"
PAGE = 10
"""Jobs in one answer to a list: each may bring its results along."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView(ObjectView):
    """A job at one moment. An object that was deleted may be held by its ``finalizers``.

    :param generation: of its spec: it grows when somebody edits that. ``evaluated``: the one that the operator has taken up.
    :param keep: it was created to stay. :param kueue: it is for one of Kueue's queues.
    :param suspended: its spec says so: Kueue has not let it go yet.
    :param online: its spec asks for online access.
    :param state: of its status; empty: no operator has looked at it. ``reason`` and ``message`` likewise.
    :param pod: name of the operator's pod.
    :param bar: the last of its progress bars.
    :param scheduled: when it got its first pod.

    What only a watcher knows, see :func:`remember`:

    :param pending: since when it is new. :param queued: since when Kueue holds it.
    :param resumed: when Kueue let it go again. :param progressed: since when its progress bar stands still.
    """

    finalizers: tuple[str, ...] = ()
    generation: int = 1
    evaluated: int | None = None
    keep: bool = False
    kueue: bool = False
    suspended: bool = False
    online: bool = False
    state: str = ""
    reason: str = ""
    message: str = ""
    pod: str = ""
    bar: dict[str, str] | None = None
    scheduled: float | None = None
    pending: float | None = None
    queued: float | None = None
    resumed: float | None = None
    progressed: float | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing of the evaluation runs any more, or ever will."""
        return self.deleted or (self.state in ("Complete", "Cancelled") and not self.retried and not self.edited)

    @property
    def edited(self) -> bool:
        """Whether somebody has changed the spec of a job that was complete: the operator evaluates it once more.

        Not so our own, whose results are taken as they come, nor one that Kueue has stopped and let go, which changes its
        spec as well.
        """
        changed = self.evaluated is not None and self.generation > self.evaluated
        return self.state == "Complete" and changed and not self.run_id and not self.kueue

    @property
    def is_new(self) -> bool:
        """Whether the operator has yet to make a pod for it."""
        return self.state in ("", "New") or self.retried or self.edited

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
        notes, evaluated = meta.get("annotations") or {}, (meta.get("annotations") or {}).get(GENERATION, "")
        bars = status.get("progressBars") or [None]
        return cls(
            **metadata(job, RUN_LABEL, TASK_LABEL),
            deleted=deleted,
            finished=posix(status.get("completeTime")),
            finalizers=tuple(meta.get("finalizers") or ()),
            generation=int(meta.get("generation") or 1),
            evaluated=int(evaluated) if evaluated.isdecimal() else None,
            keep=notes.get(KEEP) == "true",
            kueue=QUEUE_LABEL in (meta.get("labels") or {}),
            suspended=bool(spec.get("suspend")),
            online=bool(spec.get("allowOnline")),
            state=status.get("state") or "",
            reason=status.get("reason") or "",
            message=(status.get("message") or "")[:MOST_WORDS],
            pod=status.get("podName") or "",
            bar=bars[-1],
            scheduled=posix(status.get("lastScheduleTime")),
        )


def remember(view: JobView, before: JobView | None, now: float) -> JobView:
    """Return a view that knows since when things are as they are: the job itself does not say.

    Whoever begins to watch later begins to count later, which gives a job more time and never less. Only a job whose spec
    is the first one, and that Kueue has not touched, says itself when it was new and when it began.

    :param before: the view before this one. :param now: POSIX time, seconds.
    """
    last = before or view
    held, holds = last.state == "Suspended", view.state == "Suspended"
    first = view.created if before is None and view.generation == 1 and not view.kueue else None
    return replace(
        view,
        pending=((last.pending if last.is_new else None) or first or now) if view.is_new else None,
        queued=((last.queued if held else None) or now) if holds else None,
        resumed=now if _goes_on(view, before) else last.resumed,
        progressed=((last.progressed if last.bar == view.bar and not held else None) or now) if view.bar else None,
    )


def _goes_on(view: JobView, before: JobView | None) -> bool:
    """Whether a job that had a pod may have a new one, though the operator keeps the time of the first."""
    if view.scheduled is None or view.state == "Suspended":
        return False
    return view.kueue if before is None else before.state == "Suspended" and before.scheduled == view.scheduled


def _look(found: Mapping[str, Any], deleted: bool) -> JobView:
    return JobView.of(found, deleted=deleted)


def _unseen(namespace: str, name: str, uid: str, run_id: str) -> JobView:
    return JobView(namespace=namespace, name=name, uid=uid, run_id=run_id)


JOBS = Resource(PREFIX, PLURAL, "LMEvalJob", _look, _unseen, remember, selector=RUN_LABEL, page=PAGE)
"""Those that we have created."""
ALL_JOBS = replace(JOBS, selector="")
"""Those of everybody, for a sensor."""
