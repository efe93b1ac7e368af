"""A pod's status as a kubelet writes it, from what it knows of the containers. Pure.

The shapes are recorded ones; conditions that others own, such as DisruptionTarget, stay as they are.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

from tests.kube import clock

Json = dict[str, Any]

OWNED = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
MESSAGE_LIMIT, MESSAGES_LIMIT = 4096, 12 * 1024
"""Bytes of one termination message and of all messages of a pod."""


@dataclass
class ContainerView:
    """What is known of one container.

    :param state: ``waiting``, ``running`` or ``terminated``, as in its status; ``last``: that of the run before.
    """

    name: str
    image: str
    state: Json
    last: Json = field(default_factory=dict)
    restarts: int = 0
    image_id: str = ""
    container_id: str = ""

    @property
    def terminated(self) -> Json | None:
        return self.state.get("terminated")

    @property
    def running(self) -> bool:
        return "running" in self.state

    def to_json(self, *, initial: bool) -> Json:
        found: Json = {
            "name": self.name, "state": self.state, "lastState": self.last, "ready": self.running,
            "restartCount": self.restarts, "image": self.image, "imageID": self.image_id, "started": self.running,
        }  # fmt: skip
        if self.container_id:
            found |= {"containerID": self.container_id, "resources": {}}
        if initial:
            found["ready"] = bool(self.terminated and self.terminated["exitCode"] == 0)
        return found


@dataclass
class PodView:
    """What a kubelet knows of a pod.

    :param sandbox: its network exists. :param phase: the phase once it has ended; until then it follows from the rest.
    :param reason: why the kubelet itself ended it (``DeadlineExceeded``), with ``message``.
    """

    init: list[ContainerView]
    main: list[ContainerView]
    started: str
    host: str
    address: str | None = None
    sandbox: bool = False
    phase: str | None = None
    reason: str | None = None
    message: str | None = None

    @property
    def initialized(self) -> bool:
        return all(view.running or (view.terminated and view.terminated["exitCode"] == 0) for view in self.init)

    def outcome(self) -> str:
        """Return the phase of a pod whose containers have all ended."""
        views = [*self.init, *self.main]
        failed = self.reason is not None or any(
            view.terminated is None or view.terminated["exitCode"] for view in views
        )
        return "Failed" if failed else "Succeeded"


def pod_status(pod: Json, view: PodView) -> Json:
    """Return the whole status of a pod."""
    old = pod["status"]
    status: Json = {
        "observedGeneration": pod["metadata"].get("generation", 1),
        "phase": view.phase or ("Running" if _has_run(view) else "Pending"),
        "conditions": _conditions(pod, view),
        **({"message": view.message} if view.phase and view.message else {}),
        **({"reason": view.reason} if view.phase and view.reason else {}),
        "hostIP": view.host,
        "hostIPs": [{"ip": view.host}],
        "startTime": view.started,
        "containerStatuses": [one.to_json(initial=False) for one in view.main],
        "qosClass": old.get("qosClass"),
    }
    if view.init:
        status["initContainerStatuses"] = [one.to_json(initial=True) for one in view.init]
    if view.address:
        status |= {"podIP": view.address, "podIPs": [{"ip": view.address}]}
    return copy.deepcopy(status)


def _has_run(view: PodView) -> bool:
    return view.initialized and any(one.running or one.terminated or one.last for one in view.main)


def _conditions(pod: Json, view: PodView) -> list[Json]:
    ended = all(one.terminated for one in view.main)
    unready = [one.name for one in view.main if not one.running]
    incomplete = [one.name for one in view.init if not (one.terminated and one.terminated["exitCode"] == 0)]
    stopped = ended or view.reason is not None
    why: tuple[str, ...] = ()
    if stopped:
        why = ("PodCompleted",) if view.outcome() == "Succeeded" else ("PodFailed",)
    elif unready:
        why = ("ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]")
    initialized: tuple[str, ...] = why if why == ("PodCompleted",) else ()
    if not view.initialized:
        initialized = ("ContainersNotInitialized", f"containers with incomplete status: [{' '.join(incomplete)}]")
    wanted = {
        "PodReadyToStartContainers": (view.sandbox, ()),
        "Initialized": (view.initialized, initialized),
        "Ready": (not stopped and not unready, why),
        "ContainersReady": (not stopped and not unready, why),
        "PodScheduled": (True, ()),
    }
    before = {one["type"]: one for one in pod["status"].get("conditions") or []}
    generation = pod["metadata"].get("generation", 1)
    own = [
        condition(name, value, *words, old=before.get(name), generation=generation)
        for name, (value, words) in wanted.items()
    ]
    return own + [one for name, one in before.items() if name not in OWNED]


def condition(
    name: str,
    value: bool,
    reason: str = "",
    message: str = "",
    *,
    old: Json | None = None,
    generation: int | None = None,
) -> Json:
    """Return a condition; the time of its last change is kept while its value stays."""
    text = "True" if value else "False"
    same = old is not None and old["status"] == text
    made: Json = {"type": name}
    if generation is not None:
        made["observedGeneration"] = generation
    made |= {"status": text, "lastProbeTime": None}
    made["lastTransitionTime"] = old["lastTransitionTime"] if same and old else clock.timestamp()
    return made | ({"reason": reason} if reason else {}) | ({"message": message} if message else {})


def with_condition(pod: Json, new: Json) -> Json:
    """Return a pod's status with one condition set."""
    status = pod["status"]
    others = [one for one in status.get("conditions") or [] if one["type"] != new["type"]]
    return {**status, "conditions": [*others, new]}


def waiting(reason: str) -> Json:
    """Return the state of a container that does not run yet."""
    return {"waiting": {"reason": reason}}


def terminated(code: int, started: str, container_id: str, *, message: str = "", oom_killed: bool = False) -> Json:
    """Return the state of a container that has ended."""
    reason = "OOMKilled" if oom_killed else "Completed" if code == 0 else "Error"
    found: Json = {"exitCode": code, "reason": reason}
    if message:
        found["message"] = message
    return {"terminated": {**found, "startedAt": started, "finishedAt": clock.timestamp(), "containerID": container_id}}


def message_limit(pod: Json) -> int:
    """Return how many bytes of termination message each of a pod's containers may have."""
    count = len(pod["spec"]["containers"]) + len(pod["spec"].get("initContainers") or [])
    return min(MESSAGE_LIMIT, MESSAGES_LIMIT // count)
