"""From a pod to a run's status: state, reason and cause. Pure.

What happened to a pod is scattered over its phase, conditions, container states, exit code and termination message, and
no one of them tells it alone: a pod that is evicted ends with 143 like one that a person deleted, and a container is marked
*OOMKilled* though only a child of its main process was. :func:`cause_of` weighs the evidence in a fixed order; the recorded
exchanges of a real cluster are its tests.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from airflow_provider_lmeval.backends.kubernetes.view import DEFAULT_LIMITS, Limits, PodView
from airflow_provider_lmeval.backends.kubernetes.waiting import Finding, describe_waiting, overdue
from airflow_provider_lmeval.results.evidence import from_termination
from airflow_provider_lmeval.wire import EXIT_CODES, Cause, Reason, State, Status
from airflow_provider_lmeval.wire_pod import Termination

LOST_AFTER_S = 60.0
"""How long after its grace a pod may still be there before its node counts as lost: only a kubelet can end a pod."""

DISRUPTIONS = {
    "PreemptionByScheduler": (Cause.PREEMPTED, "a pod of higher priority took its place"),
    "EvictionByEvictionAPI": (Cause.EVICTED, "it was evicted, as when a node is drained"),
    "TerminationByKubelet": (Cause.EVICTED, "its node ended it: out of a resource, or shutting down"),
    "DeletionByTaintManager": (Cause.NODE_LOST, "its node was tainted, most likely because it does not answer"),
    "DeletionByPodGC": (Cause.NODE_LOST, "its node is gone"),
}
"""Reasons of the ``DisruptionTarget`` condition (Kubernetes: "Pod disruption conditions")."""
POD_REASONS = {
    "Evicted": (Cause.EVICTED, "its node was short of a resource"),
    "DeadlineExceeded": (Cause.DEADLINE, "activeDeadlineSeconds passed"),
    "NodeLost": (Cause.NODE_LOST, "its node does not answer"),
    "Shutdown": (Cause.EVICTED, "its node was shut down"),
    "NodeShutdown": (Cause.EVICTED, "its node was shut down"),
    "Terminated": (Cause.EVICTED, "its node was shut down"),
    "Preempting": (Cause.PREEMPTED, "the node needed its place for a critical pod"),
}
"""``status.reason`` of failed pods; those that begin with ``OutOf`` mean that the node had no room after all."""
_UNSTARTABLE = frozenset({"StartError", "ContainerCannotRun"})
_BY_EXIT_CODE = {code: cause for cause, code in EXIT_CODES.items()}


def status_of(view: PodView, *, now: float, limits: Limits = DEFAULT_LIMITS, driver: Status | None = None) -> Status:
    """Return what a run is doing, or how it ended.

    A run that cannot start within its limits has ended, too, though its pod is still there and has to be removed.

    :param now: POSIX time, seconds.
    :param driver: the last status its driver gave, or None.
    """
    if view.ended:
        return _ended(view, driver)
    if finding := _overdue(view, now, limits):
        return _with_progress(_failed(view, finding, now), driver)
    status = Status(run_id=view.run_id, started=view.started, updated=now, host=view.node)
    if view.running:
        return _with_progress(replace(status, state=State.RUNNING), driver)
    state = State.SUSPENDED if view.gates else State.NEW if view.scheduled is None else State.SCHEDULED
    return replace(status, state=state, message=describe_waiting(view))


def last_words(view: PodView) -> Termination | None:
    """Return the driver's termination message, if the pod has left one of this run."""
    return from_termination(view.last_words, view.run_id)


def cause_of(view: PodView) -> Finding:
    """Return why an ended pod did not succeed: the driver's own word, then the cluster's, then the exit code's."""
    for finding in _findings(view):
        return finding
    return Cause.KILLED, "it ended and nothing says why"


def _findings(view: PodView) -> Iterator[Finding]:
    words = last_words(view)
    if words and words.cause and State(words.state).ended and words.cause not in (Cause.CANCELLED, Cause.KILLED):
        yield _cause(words.cause), words.message or words.cause
    if view.disruption:
        cause, text = DISRUPTIONS.get(view.disruption) or _unknown_disruption(view.disruption)
        yield cause, f"{text} ({view.disruption})"
    if view.reason:
        yield from _by_reason(view)
    if view.exit_reason == "OOMKilled":
        yield Cause.OUT_OF_MEMORY, f"the kernel killed the container: out of memory{_at(words)}"
    if view.init_failure:
        yield Cause.IMAGE, f"init container {view.init_failure}"
    if view.exit_code is not None:
        yield _by_exit_code(view, words)
    if view.deleted:
        yield Cause.KILLED, f"the pod is gone, and nobody saw how it ended{_at(words)}"


def _unknown_disruption(reason: str) -> Finding:
    """Return what a reason means that is none of Kubernetes' own: Kueue's begin with *Workload* or name it."""
    if reason.startswith("Workload") or "Kueue" in reason:
        return Cause.PREEMPTED, "its queue took the place back"
    return Cause.EVICTED, reason


def _cause(text: str) -> Cause:
    try:
        return Cause(text)
    except ValueError:  # of a newer driver
        return Cause.INTERNAL


def _by_reason(view: PodView) -> Iterator[Finding]:
    reason = str(view.reason)
    if reason in POD_REASONS:
        cause, text = POD_REASONS[reason]
        yield cause, view.message or text
    elif reason.startswith("OutOf") or reason in ("UnexpectedAdmissionError", "NodeAffinity"):
        yield Cause.UNSCHEDULABLE, f"the node did not take it: {view.message or reason}"


def _by_exit_code(view: PodView, words: Termination | None) -> Finding:
    code, said = int(view.exit_code or 0), _short(view.last_words) if words is None else None
    if view.exit_reason in _UNSTARTABLE or code in (126, 127, 128):
        return Cause.IMAGE, f"the container could not be started: {said or view.exit_reason}"
    if said and "No module named" in said and "airflow_provider_lmeval" in said:
        return Cause.IMAGE, f"the image has no driver ({said}); use one that has, or kubernetes={{'driver': 'copy'}}"
    if code in (137, 143) and view.deletion is not None:
        return Cause.KILLED, f"the pod was deleted from outside{_at(words)}"
    cause = _BY_EXIT_CODE.get(code, Cause.KILLED if code > 128 else Cause.INTERNAL)
    return cause, (words and words.message) or said or f"the container ended with {code}{_at(words)}"


def _at(words: Termination | None) -> str:
    """Return where the driver was when it last said something."""
    if words is None:
        return ""
    phase = f" while {words.phase}" if words.phase else ""
    return f"{phase}; {words.tasks_done} tasks were finished"


def _short(text: str | None, limit: int = 1000) -> str | None:
    """Return the end of what a container wrote, which is where the reason stands."""
    return " ".join(text.split())[-limit:] if text else None


def _ended(view: PodView, driver: Status | None) -> Status:
    if view.exit_code == 0 or (view.exit_code is None and view.phase == "Succeeded"):
        done = Status(
            run_id=view.run_id,
            state=State.COMPLETE,
            reason=Reason.SUCCEEDED,
            started=view.started,
            ended=view.finished,
            host=view.node,
        )
        return _with_progress(done, driver)
    return _with_progress(_failed(view, cause_of(view), view.finished), driver)


def _failed(view: PodView, finding: Finding, ended: float | None) -> Status:
    cause, message = finding
    cancelled = cause is Cause.CANCELLED
    return Status(
        run_id=view.run_id,
        state=State.CANCELLED if cancelled else State.COMPLETE,
        reason=Reason.CANCELLED if cancelled else Reason.FAILED,
        cause=cause,
        message=f"pod {view.namespace}/{view.name}: {message}",
        started=view.started,
        ended=ended,
        host=view.node,
    )


def _with_progress(status: Status, driver: Status | None) -> Status:
    if driver is None:
        return status
    known = replace(status, progress=driver.progress, started=status.started or driver.started)
    if State(status.state).ended:
        return known
    return replace(known, phase=driver.phase, message=driver.message)


def _overdue(view: PodView, now: float, limits: Limits) -> Finding | None:
    """Return why a pod that has not ended never will, or not in time."""
    if view.deletion is not None and now > view.deletion + LOST_AFTER_S:
        return Cause.NODE_LOST, f"it was deleted and does not end; its node {view.node or ''} does not answer".rstrip()
    return None if view.running else overdue(view, now, limits)
