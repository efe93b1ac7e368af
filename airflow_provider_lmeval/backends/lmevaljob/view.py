"""What matters of an ``LMEvalJob``, taken out of the JSON that the API server sends.

``status.results`` can have a megabyte, so a view leaves it where it is; it is read once, when the job has ended. Views are
plain data: the last one that a trigger saw travels in its event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

from airflow_provider_lmeval.backends.kubernetes.resources import Resource
from airflow_provider_lmeval.backends.kubernetes.view import posix
from airflow_provider_lmeval.plan.lmevaljob.schema import API_VERSION
from airflow_provider_lmeval.plan.pod import OWNER, RUN_LABEL, TASK_LABEL

PREFIX = f"/apis/{API_VERSION}"
PLURAL = "lmevaljobs"
PAGE = 10
"""Jobs in one answer to a list: each may bring its results along."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """A job at one moment. Times are POSIX seconds by the API server's clock.

    :param owner: dag id, DAG run id, task id, map index of the task that created it.
    :param deletion: when it was deleted, though something still holds it; ``finalizers``: what. ``deleted``: it is gone.
    :param suspended: its spec says so: Kueue has not let it go yet.
    :param online: its spec asks for online access.
    :param state: of its status; empty: no operator has looked at it. ``reason`` and ``message`` likewise.
    :param pod: name of the operator's pod.
    :param bar: the last of its progress bars.
    :param progressed: since when that is the same, by the clock of whoever looks.
    """

    name: str
    namespace: str
    uid: str
    version: str = ""
    run_id: str = ""
    task: str = ""
    owner: tuple[str, ...] = ()
    created: float | None = None
    deletion: float | None = None
    finalizers: tuple[str, ...] = ()
    deleted: bool = False
    suspended: bool = False
    online: bool = False
    state: str = ""
    reason: str = ""
    message: str = ""
    pod: str = ""
    bar: dict[str, str] | None = None
    progressed: float | None = None
    scheduled: float | None = None
    completed: float | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing of the evaluation runs any more, or ever will."""
        return self.deleted or self.state in ("Complete", "Cancelled")

    def lost(self) -> Self:
        """Return the view of the job when it is not there any more."""
        return replace(self, deleted=True)

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self) | {"owner": list(self.owner), "finalizers": list(self.finalizers)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild a view; keys of another release are ignored."""
        known = {field.name for field in fields(cls)}
        found = {name: value for name, value in data.items() if name in known}
        tuples = {name: tuple(found.get(name, ())) for name in ("owner", "finalizers")}
        return cls(**found | tuples)

    @classmethod
    def of(cls, job: Mapping[str, Any], *, deleted: bool = False) -> Self:
        """Look at a job.

        :param job: decoded JSON. :param deleted: it is the object of a DELETED event.
        """
        meta, spec, status = job["metadata"], job.get("spec") or {}, job.get("status") or {}
        notes, labels = meta.get("annotations") or {}, meta.get("labels") or {}
        bars = status.get("progressBars") or [None]
        return cls(
            name=meta["name"],
            namespace=meta.get("namespace", ""),
            uid=meta["uid"],
            version=meta.get("resourceVersion", ""),
            run_id=labels.get(RUN_LABEL, ""),
            task=labels.get(TASK_LABEL, ""),
            owner=tuple(notes[name] for name in OWNER if name in notes),
            created=posix(meta.get("creationTimestamp")),
            deletion=posix(meta.get("deletionTimestamp")),
            finalizers=tuple(meta.get("finalizers") or ()),
            deleted=deleted,
            suspended=bool(spec.get("suspend")),
            online=bool(spec.get("allowOnline")),
            state=status.get("state") or "",
            reason=status.get("reason") or "",
            message=status.get("message") or "",
            pod=status.get("podName") or "",
            bar=bars[-1],
            scheduled=posix(status.get("lastScheduleTime")),
            completed=posix(status.get("completeTime")),
        )


def remember(view: JobView, before: JobView | None, now: float) -> JobView:
    """Return a view that knows since when its progress bar stands still: the job itself does not say.

    :param before: the view before this one. :param now: POSIX time, seconds.
    """
    if view.bar is None:
        return view
    same = before is not None and before.bar == view.bar
    return replace(view, progressed=(before.progressed if before and same else None) or now)


def _look(found: Mapping[str, Any], deleted: bool) -> JobView:
    return JobView.of(found, deleted=deleted)


def _unseen(namespace: str, name: str, uid: str, run_id: str) -> JobView:
    return JobView(namespace=namespace, name=name, uid=uid, run_id=run_id)


JOBS = Resource(PREFIX, PLURAL, "LMEvalJob", _look, _unseen, remember, page=PAGE)
"""Those that we have created."""
ALL_JOBS = replace(JOBS, selector="")
"""Those of everybody, for a sensor."""
