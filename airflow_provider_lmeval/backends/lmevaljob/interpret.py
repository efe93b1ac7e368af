"""From an ``LMEvalJob`` to a run's status. Pure.

The words are the same: state and reason are the job's own. What it does not say is how long it may take: an operator that is
not there never answers, a pod that finds no node waits for ever, and a deleted job is a cancelled one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Self

from airflow_provider_lmeval.backends.lmevaljob.failure import cause_of
from airflow_provider_lmeval.backends.lmevaljob.view import JobView
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.spec.lmevaljob import LMEvalJobRun
from airflow_provider_lmeval.wire import RETRYABLE, Cause, Phase, Reason, State, Status

Finding = tuple[Cause, str]

NOT_PICKED_UP = (
    "Is TrustyAI's operator running (`kubectl get pods -A -l control-plane=trustyai-service-operator-controller-manager`), "
    "is its service LMES enabled, and does it watch this namespace?"
)
HELD_S = 600.0
"""How long a deleted job may be held by its operator's finalizer before nobody waits for it any more."""
_CLOCK = re.compile(r"(?:(?:(?P<d>\d+) days?, )?(?P<h>\d+):)?(?P<m>\d+):(?P<s>\d+)")


@dataclass(frozen=True)
class JobLimits:
    """How long a job may take, in seconds; None: for ever.

    :param pickup: until an operator looks at it. :param queueing: until Kueue lets it go.
    :param startup: from then until it runs.
    :param timeout: from its start to its end. :param no_progress: between two changes of its progress bar, once it has one.
    """

    pickup: float = LMEvalJobRun.model_fields["pickup_timeout"].default
    startup: float = LMEvalJobRun.model_fields["startup_timeout"].default
    queueing: float = LMEvalJobRun.model_fields["queueing_timeout"].default
    timeout: float | None = None
    no_progress: float | None = None

    @classmethod
    def of(cls, settings: LMEvalJobRun, spec: EvalSpec | None = None) -> Self:
        """Return the limits that a job's settings and its spec give."""
        own = (spec.timeout, spec.no_progress_timeout) if spec else (None, None)
        return cls(settings.pickup_timeout, settings.startup_timeout, settings.queueing_timeout, *own)


DEFAULT_LIMITS = JobLimits()


def status_of(view: JobView, *, now: float, limits: JobLimits = DEFAULT_LIMITS) -> Status:
    """Return what a job is doing, or how it ended.

    A job that is over one of its limits has ended, too, though it is still there and has to be deleted.

    :param now: POSIX time, seconds.
    """
    status = Status(run_id=view.run_id, started=view.began, updated=now, progress=progress_of(view.bar))
    if view.ended:
        return _ended(view, status)
    if view.deletion is not None and now <= view.deletion + HELD_S:
        return replace(status, state=_state(view), message=describe_deletion(view))
    if view.deletion is not None:
        return _cancelled(replace(status, ended=now), f"{describe_deletion(view)}, which it has not for {HELD_S:.0f} s")
    if finding := _overdue(view, now, limits):
        return replace(_failed(view, status, *finding), ended=now)
    state = _state(view)
    phase = Phase.EVALUATING if state is State.RUNNING and view.bar else None
    return replace(status, state=state, phase=phase, message=_waiting(view, state) or view.message or None)


def describe_deletion(view: JobView) -> str:
    """Return what holds a job that was deleted."""
    held = f"; {', '.join(view.finalizers)} holds it until its operator lets go" if view.finalizers else ""
    return f"LMEvalJob {view.namespace}/{view.name} is being deleted{held}"


def _state(view: JobView) -> State:
    """Return the state of a job that goes on; one that we do not know counts as running."""
    if view.is_new:
        return State.NEW
    return State(view.state) if view.state in set(State) else State.RUNNING


def _waiting(view: JobView, state: State) -> str | None:
    if view.edited:
        return "its spec was edited: the operator evaluates it once more"
    if view.retried:
        return f"the operator could not start it and tries again: {view.message}"
    if view.message:
        return None
    if state is State.NEW:
        return "waiting for TrustyAI's operator"
    if state is State.SUSPENDED:
        return "suspended: waiting for Kueue to let it go"
    return f"pod {view.pod} is starting" if state is State.SCHEDULED and view.pod else None


def _ended(view: JobView, status: Status) -> Status:
    status = replace(status, ended=view.finished)
    if view.state == State.COMPLETE and view.reason == Reason.SUCCEEDED:
        return replace(status, state=State.COMPLETE, reason=Reason.SUCCEEDED)
    if view.state == State.CANCELLED or view.reason == Reason.CANCELLED:
        return _cancelled(status, f"LMEvalJob {view.namespace}/{view.name} was cancelled: {view.message}".rstrip(": "))
    if view.state == State.COMPLETE:
        said = view.message or "it failed, and does not say why"
        return _failed(view, status, cause_of(view.message), said)
    where = f"LMEvalJob {view.namespace}/{view.name}"
    return _cancelled(status, f"{where} was deleted before it ended, which is how one is cancelled")


def _cancelled(status: Status, message: str) -> Status:
    return replace(status, state=State.CANCELLED, reason=Reason.CANCELLED, cause=Cause.CANCELLED, message=message)


def _failed(view: JobView, status: Status, cause: Cause, message: str) -> Status:
    text = f"LMEvalJob {view.namespace}/{view.name}: {message}"
    return replace(status, state=State.COMPLETE, reason=Reason.FAILED, cause=cause, message=text)


def _overdue(view: JobView, now: float, limits: JobLimits) -> Finding | None:
    """Return why a job that has not ended never will, or not in time."""
    state = _state(view)
    if view.retried:
        return _not_created(view, now, limits)
    if state is State.NEW:
        return _not_taken_up(view, now, limits)
    if state is State.SUSPENDED:
        return _queued(view, now, limits)
    return _late(view, state, now, limits)


def _not_created(view: JobView, now: float, limits: JobLimits) -> Finding | None:
    """Return why the operator will not get the pod created: at once, if no other try of its can help."""
    cause, waited = cause_of(view.message), _new_for(view, now)
    said = view.message or "it does not say why"
    if cause not in RETRYABLE:
        return cause, said
    limit = limits.startup if cause is Cause.QUOTA else limits.pickup
    return (cause, f"the operator could not start it in {waited:.0f} s: {said}") if waited > limit else None


def _not_taken_up(view: JobView, now: float, limits: JobLimits) -> Finding | None:
    age = _new_for(view, now)
    if age <= limits.pickup:
        return None
    what = "its state is New" if view.state else "it has no state"
    return Cause.NOT_STARTED, f"no operator has taken it up in {age:.0f} s ({what}). {NOT_PICKED_UP}"


def _new_for(view: JobView, now: float) -> float:
    """Return for how long a job has been new, in seconds."""
    since = view.created if view.pending is None else view.pending
    return now - (now if since is None else since)


def _queued(view: JobView, now: float, limits: JobLimits) -> Finding | None:
    since = view.queued or (view.created if view.scheduled is None else None)
    waited = now - (now if since is None else since)
    if waited <= limits.queueing:
        return None
    hint = "does its LocalQueue exist, has it quota for the job (kubectl get workloads)? Nobody else releases it"
    return Cause.UNSCHEDULABLE, f"Kueue has not let it go in {waited:.0f} s (queueing_timeout): {hint}"


def _late(view: JobView, state: State, now: float, limits: JobLimits) -> Finding | None:
    waited = now - (view.began or view.created or now)
    if state is State.SCHEDULED and waited > limits.startup:
        pod = f"pod {view.pod}" if view.pod else "its pod"
        said = f"{pod} does not run {waited:.0f} s after it was scheduled (startup_timeout); {view.message}"
        return Cause.UNSCHEDULABLE, said.rstrip("; ")
    if state is State.RUNNING and limits.timeout is not None and waited > limits.timeout:
        return Cause.DEADLINE, f"it did not end within {limits.timeout:g} s (timeout){_full(view)}"
    still = now - (view.progressed or now)
    if state is State.RUNNING and limits.no_progress is not None and still > limits.no_progress:
        return Cause.HUNG, f"no progress for {still:.0f} s (no_progress_timeout){_full(view)}"
    return None


def _full(view: JobView) -> str:
    """Return what is likely if all requests are done and the job does not end."""
    progress = progress_of(view.bar)
    if not progress or progress["done"] < progress["total"]:
        return ""
    return (
        ". All its requests are done: its results may be larger than Kubernetes stores in one object; then evaluate fewer "
        "tasks in one job"
    )


def progress_of(bar: dict[str, str] | None) -> dict[str, Any]:
    """Return ``Status.progress`` of a progress bar; what is no number is left out."""
    if not bar:
        return {}
    done, _, total = str(bar.get("count", "")).partition("/")
    if not (done.isdecimal() and total.isdecimal()):
        return {}
    spent, left = _seconds(bar.get("elapsedTime")), _seconds(bar.get("remainingTimeEstimate"))
    found: dict[str, Any] = {"done": int(done), "total": int(total), "task": bar.get("message")}
    found |= {"rate": int(done) / spent} if spent else {}
    return found | ({"eta_s": left} if left is not None else {})


def _seconds(clock: str | None) -> float | None:
    """Return the seconds of a time as ``1:02:03`` or ``02:03``."""
    found = _CLOCK.fullmatch(str(clock))
    if found is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found.group("d", "h", "m", "s"))
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
