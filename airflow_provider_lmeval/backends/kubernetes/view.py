"""What matters of a pod, taken out of the JSON that the API server sends.

A pod's JSON has ten kilobytes and a triggerer watches a thousand; a view has one. Views are plain data: the last one that a
trigger saw travels in its event, so that a run can be concluded when the pod is long gone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from airflow_provider_lmeval.backends.kubernetes.seen import ObjectView, metadata, posix
from airflow_provider_lmeval.plan.pod import (
    CONTAINER,
    MAX_TRIES,
    NONCE,
    PREFLIGHT_OF,
    QUEUE,
    RUN_LABEL,
    TASK_LABEL,
)
from airflow_provider_lmeval.spec.pod import PodSettings

CHECKED = "already_checked"
"""KubernetesPodOperator's label on pods that a try has dealt with and left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodView(ObjectView):
    """A pod at one moment; ``deletion`` is when its grace ends.

    :param nonce: which token opens its driver's status. :param precedes: the run whose preflight it is for, if it is.
    :param reason: of the pod's own status, with ``message``.
    :param disruption: reason of its ``DisruptionTarget`` condition, or of Kueue's ``TerminationTarget``.
    :param queue: the Kueue LocalQueue it is for. :param gates: names of its scheduling gates: no node is looked for.
    :param ungated: when it was first seen without gates, if it is for a queue (see :func:`remember`).
    :param scheduled: when a node was found; ``unscheduled``: why none was found yet.
    :param preparing: volumes and network are not ready; ``prepared``: since when they are. Neither: it is not known.
    :param pulling: the container that is to start next has no image yet.
    :param waiting: why a container does not run, with ``waiting_message``.
    :param running: the evaluation's container runs. ``image_id``: what was pulled for it, with its digest.
    :param exit_code: of the evaluation's container, with ``exit_reason`` and ``last_words``, its termination message.
    :param init_failure: what an init container said that failed.
    """

    container: str = "base"
    nonce: str = ""
    precedes: str = ""
    max_tries: str | None = None
    checked: bool = False
    phase: str = "Pending"
    reason: str | None = None
    message: str | None = None
    ip: str | None = None
    node: str | None = None
    disruption: str | None = None
    queue: str | None = None
    gates: tuple[str, ...] = ()
    ungated: float | None = None
    scheduled: float | None = None
    unscheduled: str | None = None
    preparing: bool = False
    prepared: float | None = None
    pulling: bool = False
    waiting: str | None = None
    waiting_message: str | None = None
    running: bool = False
    image_id: str = ""
    started: float | None = None
    exit_code: int | None = None
    exit_reason: str | None = None
    last_words: str | None = None
    init_failure: str | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing of the evaluation runs any more, or ever will. Sidecars do not count."""
        return self.deleted or self.exit_code is not None or self.phase in ("Succeeded", "Failed")

    @classmethod
    def of(cls, pod: Mapping[str, Any], *, deleted: bool = False) -> Self:
        """Look at a pod.

        :param pod: decoded JSON. :param deleted: it is the object of a DELETED event.
        """
        meta, spec, status = pod["metadata"], pod.get("spec") or {}, pod.get("status") or {}
        notes, labels = meta.get("annotations") or {}, meta.get("labels") or {}
        container = notes.get(CONTAINER, cls.__dataclass_fields__["container"].default)
        return cls(
            container=container,
            nonce=notes.get(NONCE, ""),
            precedes=labels.get(PREFLIGHT_OF, ""),
            max_tries=notes.get(MAX_TRIES),
            checked=labels.get(CHECKED) == "True",
            queue=labels.get(QUEUE),
            gates=tuple(gate["name"] for gate in spec.get("schedulingGates") or ()),
            deleted=deleted,
            phase=status.get("phase") or "Pending",
            reason=status.get("reason"),
            message=status.get("message"),
            ip=status.get("podIP"),
            node=spec.get("nodeName"),
            pulling=_pulls(status),
            **metadata(pod, RUN_LABEL, TASK_LABEL),
            **_conditions(status),
            **_containers(status, container),
        )


def remember(view: PodView, before: PodView | None, now: float) -> PodView:
    """Return a view that knows since when no gate holds its pod back: the pod itself does not say.

    Whoever begins to watch later begins to count later, which gives a pod more time and never less.

    :param before: the view before this one. :param now: POSIX time, seconds.
    """
    held = before is not None and bool(before.gates)
    if view.gates or view.scheduled is not None or not (view.queue or held or (before and before.ungated)):
        return view
    return replace(view, ungated=(before and before.ungated) or now)


def _conditions(status: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for condition in status.get("conditions") or ():
        kind, holds = condition["type"], condition.get("status") == "True"
        if kind in ("DisruptionTarget", "TerminationTarget") and holds:
            found["disruption"] = condition.get("reason") or "unknown"
        elif kind == "PodReadyToStartContainers":
            found |= {"prepared": posix(condition.get("lastTransitionTime"))} if holds else {"preparing": True}
        elif kind == "PodScheduled" and holds:
            found["scheduled"] = posix(condition.get("lastTransitionTime")) or 0.0
        elif kind == "PodScheduled":
            found["unscheduled"] = condition.get("message") or condition.get("reason")
    return found


def _containers(status: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the state of the evaluation's container, and what keeps it from starting."""
    found: dict[str, Any] = dict(_init(status))
    for each in status.get("containerStatuses") or ():
        state = each.get("state") or {}
        if waiting := state.get("waiting"):
            found |= _waiting(waiting) if each["name"] == name or "waiting" not in found else {}
        if each["name"] == name:
            found |= _main(state) | {"image_id": each.get("imageID") or ""}
    return found


def _pulls(status: Mapping[str, Any]) -> bool:
    """Tell whether the next container to start waits for its image."""
    for each in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        state = each.get("state") or {}
        if "running" in state:
            return False
        if "terminated" not in state:
            return not each.get("imageID")
    return False


def _init(status: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for each in status.get("initContainerStatuses") or ():
        state = each.get("state") or {}
        if waiting := state.get("waiting"):
            yield from _waiting(waiting).items()
            return
        end = state.get("terminated") or {}
        if end.get("exitCode"):
            said = end.get("message") or end.get("reason") or "it said nothing"
            yield "init_failure", f"{each['name']} ended with {end['exitCode']}: {said}"


def _waiting(state: Mapping[str, Any]) -> dict[str, Any]:
    reason = state.get("reason")
    if reason in (None, "ContainerCreating", "PodInitializing"):
        return {}
    return {"waiting": reason, "waiting_message": state.get("message")}


def _main(state: Mapping[str, Any]) -> dict[str, Any]:
    running, end = state.get("running"), state.get("terminated")
    if running is not None:
        return {"running": True, "started": posix(running.get("startedAt"))}
    if end is None:
        return {}
    return {
        "exit_code": end.get("exitCode"),
        "exit_reason": end.get("reason"),
        "last_words": end.get("message"),
        "started": posix(end.get("startedAt")),
        "finished": posix(end.get("finishedAt")),
    }


@dataclass(frozen=True)
class Limits:
    """How long the parts of a start may take, in seconds (see ``spec.pod.PodSettings``)."""

    scheduling: float = PodSettings.model_fields["scheduling_timeout"].default
    startup: float = PodSettings.model_fields["startup_timeout"].default
    queueing: float = PodSettings.model_fields["queueing_timeout"].default
    pull: float = PodSettings.model_fields["pull_timeout"].default

    @classmethod
    def of(cls, settings: PodSettings) -> Self:
        """Return the limits that the settings give."""
        return cls(
            settings.scheduling_timeout, settings.startup_timeout, settings.queueing_timeout, settings.pull_timeout
        )


DEFAULT_LIMITS = Limits()
