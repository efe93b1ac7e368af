"""What is the same in the views of all kinds of objects: whose an object is, how old, whether it is still there.

A view is plain data. It travels in a trigger's event and in handles, and so may have been written by another release.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any, Self

from airflow_provider_lmeval.plan.pod import OWNER, POD_TTL


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectView(ABC):
    """An object at one moment. Times are POSIX seconds by the API server's clock.

    :param version: its resource version. :param run_id: of the run it is for. :param task: of that run's task, as a label.
    :param owner: dag id, DAG run id, task id, map index of the task that created it.
    :param ttl: seconds that the reaper leaves it after its end; None: as long as all others.
    :param deletion: when it was, or is to be, deleted; None if nobody has deleted it. ``deleted``: it is not there any more.
    :param finished: when what it does ended.
    """

    name: str
    namespace: str
    uid: str
    version: str = ""
    run_id: str = ""
    task: str = ""
    owner: tuple[str, ...] = ()
    ttl: float | None = None
    created: float | None = None
    deletion: float | None = None
    deleted: bool = False
    finished: float | None = None

    @property
    @abstractmethod
    def ended(self) -> bool:
        """Whether nothing of the evaluation runs any more, or ever will."""

    @property
    def kept(self) -> bool:
        """Whether it holds what people want to have, so that the reaper leaves it for good."""
        return False

    def lost(self) -> Self:
        """Return the view of the object when it is not there any more."""
        return replace(self, deleted=True)

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild a view; keys of another release are ignored."""
        known = {field.name for field in fields(cls)} & data.keys()
        found: dict[str, Any] = {
            name: tuple(data[name]) if isinstance(data[name], list) else data[name] for name in known
        }
        return cls(**found)


def metadata(found: Mapping[str, Any], run_label: str, task_label: str) -> dict[str, Any]:
    """Return the fields of :class:`ObjectView` that an object's metadata tell.

    :param found: decoded JSON. :param run_label: the label with the run's name. :param task_label: with its task's.
    """
    meta = found["metadata"]
    notes, labels = meta.get("annotations") or {}, meta.get("labels") or {}
    return {
        "name": meta["name"],
        "namespace": meta.get("namespace", ""),
        "uid": meta["uid"],
        "version": meta.get("resourceVersion", ""),
        "run_id": labels.get(run_label, ""),
        "task": labels.get(task_label, ""),
        "owner": tuple(notes[name] for name in OWNER if name in notes),
        "ttl": _number(notes.get(POD_TTL)),
        "created": posix(meta.get("creationTimestamp")),
        "deletion": posix(meta.get("deletionTimestamp")),
    }


def _number(text: str | None) -> float | None:
    """Return a number, None for anything else: one annotation that a person got wrong must not end everybody's watch."""
    try:
        return float(text or "")
    except ValueError:
        return None


def posix(text: str | None) -> float | None:
    """Return POSIX seconds of an RFC 3339 time."""
    return datetime.fromisoformat(text).timestamp() if text else None
