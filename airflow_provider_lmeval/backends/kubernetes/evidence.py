"""What is left of a run in Kubernetes: the pod, its log, the result document in it, the last words.

The pod may be gone, and its log before it: then what the trigger saw last has to do. Nothing here decides what counts; see
``collect.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_lmeval.backends.kubernetes.api import Api
from airflow_provider_lmeval.backends.kubernetes.interpret import last_words
from airflow_provider_lmeval.backends.kubernetes.runs import PodRef
from airflow_provider_lmeval.backends.kubernetes.view import PodView
from airflow_provider_lmeval.errors import ClusterError
from airflow_provider_lmeval.results import EvalResult
from airflow_provider_lmeval.results.evidence import from_records
from airflow_provider_lmeval.wire_pod import Termination
from airflow_provider_lmeval.wire_record import RecordReader

LOG_PATIENCE_S = 30.0
"""How long the log is asked for: on a node that is lost it will not come."""


@dataclass(frozen=True)
class Evidence:
    """What was found.

    :param view: the pod as it was seen last, or None if nobody has ever seen it.
    :param lines: the log without the record in it.
    :param result: the document that the log held, or None.
    :param gaps: what could not be read, and why; for people.
    """

    view: PodView | None = None
    lines: tuple[str, ...] = ()
    result: EvalResult | None = None
    gaps: tuple[str, ...] = ()

    @property
    def words(self) -> Termination | None:
        """The driver's termination message."""
        return last_words(self.view) if self.view else None


async def gather(api: Api, pod: PodRef, run_id: str) -> Evidence:
    """Read what the cluster still has of a run. What the trigger saw last may be all there is."""
    gaps: list[str] = []
    found, gone = await _pod(api, pod, gaps)
    view = found or pod.seen
    if gone or view is None:
        return Evidence(view, gaps=tuple(gaps))
    try:
        log = await api.patient(LOG_PATIENCE_S).pod_log(pod.namespace, pod.name, view.container)
    except ClusterError as error:
        return Evidence(view, gaps=(*gaps, f"the log cannot be read: {error}"))
    return _read(view, log, run_id, gaps)


def _read(view: PodView, log: str, run_id: str, gaps: list[str]) -> Evidence:
    reader = RecordReader(run_id)
    lines = log.splitlines()
    shown = tuple(line for line in lines if not reader.feed(line))
    words = last_words(view)
    result = from_records(lines, run_id, words.digest if words else None)
    if result is None and view.exit_code == 0:
        gaps.append(reader.problem or "the record in the log is not the run's result")
    return Evidence(view, shown, result, tuple(gaps))


async def _pod(api: Api, pod: PodRef, gaps: list[str]) -> tuple[PodView | None, bool]:
    """Return the pod, and whether it is known to be gone."""
    try:
        found = PodView.of(await api.get_pod(pod.namespace, pod.name))
    except ClusterError as error:
        gaps.append(f"pod {pod.namespace}/{pod.name} is gone" if error.status == 404 else str(error))
        return None, error.status == 404
    if found.uid != pod.uid:
        gaps.append(f"pod {pod.namespace}/{pod.name} is gone, another one bears its name")
        return None, True
    return found, False
