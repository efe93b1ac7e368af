"""Why a pod does not run yet, how long it may go on like that, and what a person can do about it. Pure.

A pod waits for four things in turn, each with a patience of its own: a queue lets it go, a node is found, volumes and
network are made ready, images are pulled. What is hopeless is not waited for, since nobody is helped by a mistyped name
that is reported an hour later; what may pass gets its time.
"""

from __future__ import annotations

import re

from airflow_provider_lmeval.backends.kubernetes.view import Limits, PodView
from airflow_provider_lmeval.wire import Cause

Finding = tuple[Cause, str]

PULL_PATIENCE_S = 180.0
"""A registry may be down for a moment; the kubelet tries again by itself."""
DENIED_PATIENCE_S = 60.0
"""What a registry refuses it will refuse again; a pull secret may be created a little later than the pod."""
CONFIG_PATIENCE_S = 60.0
"""A Secret or ConfigMap may be created a little later than the pod."""
CLAIM_PATIENCE_S = 300.0
"""Provisioning a volume takes seconds to minutes."""
ABSENT_CLAIM_PATIENCE_S = 60.0
"""A claim that is not there may be created a little later than the pod."""

HOPELESS_IMAGES = frozenset({"InvalidImageName", "ErrImageNeverPull"})
PULLING = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "ImageInspectError", "SignatureValidationFailed"}
)

_SHORT_OF = re.compile(r"Insufficient ([a-z0-9.-]+/[A-Za-z0-9._-]+)")
_UNSCHEDULABLE = (
    (re.compile("node affinity/selector"), "look at node_selector, affinity and gpu.product: no node has these labels"),
    (re.compile("untolerated taint"), "add tolerations for the taints that it names"),
    (re.compile("Insufficient (memory|cpu)"), "ask for less memory or cpu, or for a larger node"),
)
_DENIED = re.compile(r"\b401\b|\b403\b|unauthorized|no basic auth credentials|access denied|forbidden", re.IGNORECASE)
_UNTRUSTED = re.compile("x509|certificate", re.IGNORECASE)
_NOT_THERE = re.compile("manifest unknown|not found|does not exist", re.IGNORECASE)


def describe_waiting(view: PodView) -> str:
    """Return what a pod that does not run is waiting for."""
    if view.gates:
        where = f"queue {view.queue!r}" if view.queue else f"scheduling gates {', '.join(view.gates)}"
        return f"waiting in {where}" if view.queue else f"held back by {where}"
    if view.waiting:
        return f"{view.waiting}: {view.waiting_message}" if view.waiting_message else view.waiting
    if view.unscheduled:
        return f"waiting for a node: {view.unscheduled}"
    if view.scheduled is None:
        return "waiting for a node"
    return f"pulling images on node {view.node}" if view.pulling and view.prepared else f"starting on node {view.node}"


def overdue(view: PodView, now: float, limits: Limits) -> Finding | None:
    """Return why a pod that does not run never will, or not in time; None while it may go on waiting.

    :param now: POSIX time, seconds.
    """
    created = now if view.created is None else view.created
    if view.gates:
        return _queued(view, now - created, limits)
    if view.scheduled is None:
        return _unscheduled(view, now - (view.ungated or created), limits)
    return _refused(view, now - view.scheduled, limits) or _late(view, now - view.scheduled, now, limits)


def _queued(view: PodView, waited: float, limits: Limits) -> Finding | None:
    if waited <= limits.queueing:
        return None
    hint = "has the queue quota for it, does the LocalQueue exist (kubectl get workloads)?"
    return Cause.UNSCHEDULABLE, f"{describe_waiting(view)} for {waited:.0f} s (queueing_timeout): {hint}"


def _unscheduled(view: PodView, waited: float, limits: Limits) -> Finding | None:
    why = view.unscheduled or "the scheduler has not looked at it"
    if "persistentvolumeclaim" in why.lower():
        return _claim(why, waited, limits)
    if waited > limits.scheduling:
        return Cause.UNSCHEDULABLE, f"no node after {waited:.0f} s (scheduling_timeout): {why}{_placement_hint(why)}"
    return None


def _claim(why: str, waited: float, limits: Limits) -> Finding | None:
    absent = "not found" in why
    if waited <= min(ABSENT_CLAIM_PATIENCE_S if absent else CLAIM_PATIENCE_S, limits.scheduling):
        return None
    hint = "create the claim, or give it a size to have one made" if absent else "is its storage class there?"
    return Cause.CLAIM_PENDING, f"no node after {waited:.0f} s: {why}. Is the claim bound? If not: {hint}"


def _placement_hint(why: str) -> str:
    if found := _SHORT_OF.search(why):
        resource = found.group(1)
        return (
            f". No node has so much of {resource} free: is that the resource's name here and its device plugin installed "
            f"(kubectl describe nodes shows it under Allocatable)? Else lower gpu.count, or raise scheduling_timeout"
        )
    return next((f". Remedy: {hint}" for pattern, hint in _UNSCHEDULABLE if pattern.search(why)), "")


def _refused(view: PodView, waited: float, limits: Limits) -> Finding | None:
    """Return why a container will not start, as the kubelet says."""
    said = describe_waiting(view)
    if view.waiting in HOPELESS_IMAGES:
        return Cause.IMAGE, said
    if view.waiting in PULLING:
        denied = bool(_DENIED.search(said))
        patient = waited <= min(DENIED_PATIENCE_S if denied else PULL_PATIENCE_S, limits.pull)
        return None if patient else (Cause.IMAGE, f"{said}{_image_hint(said)}")
    if view.waiting is not None and waited > min(CONFIG_PATIENCE_S, limits.startup):
        return Cause.POD_REJECTED, said
    return None


def _image_hint(said: str) -> str:
    if _UNTRUSTED.search(said):
        return ". The nodes do not trust the registry's certificate: give its CA to their container runtime"
    if _DENIED.search(said):
        return ". The registry does not accept the credentials: name a Secret with right ones in image_pull_secrets"
    if _NOT_THERE.search(said):
        return ". The registry does not have it: look at the image's name and tag"
    return ""


def _late(view: PodView, waited: float, now: float, limits: Limits) -> Finding | None:
    """Return what takes longer than it may. Clusters before 1.29 do not say when volumes and network are ready."""
    said = describe_waiting(view)
    if view.preparing and waited > limits.startup:
        problem = f"volumes and network not ready {limits.startup:.0f} s after it got a node (startup_timeout)"
        return Cause.NOT_STARTED, f"{problem}: {said}. The pod's events say what cannot be mounted"
    if view.prepared is not None and view.pulling and now - view.prepared > limits.pull:
        problem = f"images not pulled after {limits.pull:.0f} s (pull_timeout)"
        return Cause.IMAGE, f"{problem}: {said}. Use a smaller image or one that nodes have, or raise the limit"
    if waited > limits.startup + limits.pull:
        return Cause.NOT_STARTED, f"not running {waited:.0f} s after it got a node: {said}"
    return None
