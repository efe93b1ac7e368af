"""What the shared watch has to know of the kind of object it watches: where it is, which ones, and how to look at one.

Pods and TrustyAI's ``LMEvalJob`` resources are listed, watched, looked up one by one and found missing in the same way; only
the address and the view differ. So there is one watch and one poller, and a kind is a value of :class:`Resource`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from airflow_provider_lmeval.backends.kubernetes.seen import ObjectView
from airflow_provider_lmeval.backends.kubernetes.view import PodView, remember
from airflow_provider_lmeval.plan.pod import SELECTOR

V = TypeVar("V", bound=ObjectView)


@dataclass(frozen=True)
class Resource(Generic[V]):
    """A kind of object.

    :param prefix: of its group and version: ``/api/v1``. :param plural: its name in addresses.
    :param noun: what people call one.
    :param look: makes a view of decoded JSON; the second argument tells whether it was deleted.
    :param unseen: makes a view of namespace, name, UID and run's name, before anything else is known.
    :param remember: completes a view by the one before it, at a POSIX time.
    :param selector: labels of those that are watched; empty: all of a namespace.
    :param page: how many to ask for at once.
    """

    prefix: str
    plural: str
    noun: str
    look: Callable[[Mapping[str, Any], bool], V]
    unseen: Callable[[str, str, str, str], V]
    remember: Callable[[V, V | None, float], V]
    selector: str = SELECTOR
    page: int = 250

    def path(self, namespace: str, name: str = "") -> str:
        """Return the address of one object, or of all in a namespace."""
        every = f"{self.prefix}/namespaces/{namespace}/{self.plural}"
        return f"{every}/{name}" if name else every


def _pod(found: Mapping[str, Any], deleted: bool) -> PodView:
    return PodView.of(found, deleted=deleted)


def _unseen_pod(namespace: str, name: str, uid: str, run_id: str) -> PodView:
    return PodView(namespace=namespace, name=name, uid=uid, run_id=run_id)


PODS = Resource("/api/v1", "pods", "pod", _pod, _unseen_pod, remember)
