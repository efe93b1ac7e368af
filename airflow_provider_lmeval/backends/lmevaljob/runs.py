"""What a job is made of before it exists, and the handle it is found by afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from airflow_provider_lmeval.backends.base import Handle
from airflow_provider_lmeval.backends.kubernetes.cluster import Cluster
from airflow_provider_lmeval.backends.kubernetes.runs import TaskRun
from airflow_provider_lmeval.backends.lmevaljob.interpret import DEFAULT_LIMITS, JobLimits
from airflow_provider_lmeval.backends.lmevaljob.view import KEEP, RUN_LABEL, TASK_LABEL, JobView
from airflow_provider_lmeval.errors import BackendError
from airflow_provider_lmeval.plan.batch import BatchRules
from airflow_provider_lmeval.plan.lmevaljob import write_lmevaljob
from airflow_provider_lmeval.plan.lmevaljob.fit import SEEN_TO, secrets_of
from airflow_provider_lmeval.plan.names import task_key
from airflow_provider_lmeval.plan.pod import MAX_TRIES, OWNER, SPEC_HASH
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.spec.lmevaljob import LMEvalJobRun

NAME = "lmevaljob"

Manifest = dict[str, Any]


def body(spec: EvalSpec, settings: LMEvalJobRun, batch: BatchRules) -> Manifest:
    """Return the manifest of a spec, without what makes it a certain run's.

    :raises ManifestError: LMEvalJob has no words for something.
    """
    job = settings.model_copy(update={"env_secrets": secrets_of(spec, settings)})
    return write_lmevaljob(spec, job, batch=batch, elsewhere=SEEN_TO)


def manifest(
    found: Manifest, run_id: str, spec_hash: str, name: str, namespace: str, task: TaskRun, *, keep: bool = False
) -> Manifest:
    """Return the manifest of a run.

    :param found: from :func:`body`. :param name: of the resource. :param task: what Airflow knows of the run.
    :param keep: it stays when its result is stored.
    """
    meta = {key: value for key, value in (found.get("metadata") or {}).items() if key != "generateName"}
    labels = {RUN_LABEL: run_id, TASK_LABEL: task_key(run_id)}
    notes = {SPEC_HASH: spec_hash} | dict(zip(OWNER, task.owner, strict=False))
    notes |= {} if task.max_tries is None else {MAX_TRIES: str(task.max_tries)}
    notes |= {KEEP: "true"} if keep else {}
    meta |= {"name": name, "namespace": namespace}
    meta |= {"labels": (meta.get("labels") or {}) | labels, "annotations": (meta.get("annotations") or {}) | notes}
    return found | {"metadata": meta}


@dataclass(frozen=True, kw_only=True)
class JobRef:
    """A handle's own part: which job of which cluster. Plain data without secrets.

    :param name: of the job; empty if the run needs none, because its result was stored before.
    :param recipes: names of the spec's unitxt recipes. :param spec_hash: of the spec.
    :param foreign: somebody else has created it: it is never deleted. ``keep``: it stays when its result is stored.
    :param seen: what the trigger saw last.
    """

    cluster: Cluster
    namespace: str
    name: str = ""
    uid: str = ""
    limits: JobLimits = DEFAULT_LIMITS
    recipes: tuple[str, ...] = ()
    spec_hash: str = ""
    foreign: bool = False
    keep: bool = False
    seen: JobView | None = None

    def to_json(self) -> dict[str, Any]:
        """Return ``Handle.where``."""
        where: dict[str, Any] = {
            "cluster": self.cluster.to_json(),
            "namespace": self.namespace,
            "job": self.name,
            "uid": self.uid,
            "limits": asdict(self.limits),
            "recipes": list(self.recipes),
            "spec_hash": self.spec_hash,
            "foreign": self.foreign,
            "keep": self.keep,
        }
        return where | ({"seen": self.seen.to_json()} if self.seen else {})

    @classmethod
    def of(cls, handle: Handle) -> Self:
        """Read a handle.

        :raises BackendError: it is not one of this backend.
        """
        where: Mapping[str, Any] = handle.where
        try:
            return cls(
                cluster=Cluster.from_json(where["cluster"]),
                namespace=where["namespace"],
                name=where["job"],
                uid=where["uid"],
                limits=JobLimits(**where["limits"]),
                recipes=tuple(where["recipes"]),
                spec_hash=where["spec_hash"],
                foreign=where["foreign"],
                keep=where["keep"],
                seen=JobView.from_json(where["seen"]) if where.get("seen") else None,
            )
        except (KeyError, TypeError) as error:
            raise BackendError(f"run {handle.run_id}: not a handle of the {NAME} backend: {error!r}") from error
