"""What a run in Kubernetes is made of before it exists, and the handle it is found by afterwards.

Both ways into the cluster use it: the operator, whose pod is the user's own completed by ours, and the backend alone.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field, replace
from typing import Any, Self

from airflow_provider_lmeval.backends.base import Handle
from airflow_provider_lmeval.backends.kubernetes.cluster import Cluster
from airflow_provider_lmeval.backends.kubernetes.proxy import Entrance, status_server
from airflow_provider_lmeval.backends.kubernetes.view import DEFAULT_LIMITS, Limits, PodView
from airflow_provider_lmeval.errors import BackendError, ConfigError
from airflow_provider_lmeval.plan import Grants, Placement, plan_request
from airflow_provider_lmeval.plan.batch import smaller_batch
from airflow_provider_lmeval.plan.data import config_maps
from airflow_provider_lmeval.plan.pod import companions, complete
from airflow_provider_lmeval.plan.pod_parts import Manifest, PodRun
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.spec.pod import PodSettings
from airflow_provider_lmeval.wire_pod import pack_request

NAME = "kubernetes"


@dataclass(frozen=True, kw_only=True)
class TaskRun:
    """What Airflow knows of a run, beyond its name.

    :param max_tries: of the task instance, or None outside Airflow.
    :param owner: dag id, DAG run id, task id, map index; empty if the run does not end with its task.
    :param timeout_s: seconds of the task's ``execution_timeout``, or None.
    :param out_of_memory: number of earlier tries that ran out of memory.
    """

    max_tries: int | None = None
    owner: tuple[str, ...] = ()
    timeout_s: float | None = None
    out_of_memory: int = 0


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A run that can be started.

    :param packed: its request. :param nonce: of its status token.
    :param config_maps: names of ConfigMaps with task files, by where the pod has them.
    :param executes_code: it may run foreign code. :param asks_network: the spec has asked for a network.
    :param precedes: the run whose preflight this is, if it is one.
    """

    run_id: str
    spec_hash: str
    packed: str
    nonce: str
    settings: PodSettings
    task: TaskRun = field(default_factory=TaskRun)
    timeout_s: float | None = None
    config_maps: Mapping[str, str] = field(default_factory=dict)
    executes_code: bool = False
    asks_network: bool = False
    precedes: str = ""

    def manifest(
        self, name: str, namespace: str, given: Mapping[str, Any] | None = None, container: str = "base"
    ) -> Manifest:
        """Return the pod's manifest; see :func:`~airflow_provider_lmeval.plan.pod.complete`.

        :raises ConfigError: nobody has named an image.
        """
        containers = ((given or {}).get("spec") or {}).get("containers") or [{}]
        image = _image(containers[0].get("image") or self.settings.image)
        return complete(self._run(name, namespace, image), self.settings, given, container)

    def companions(self, namespace: str) -> list[Manifest]:
        """Return what has to be there before the pod; see :func:`~airflow_provider_lmeval.plan.pod.companions`."""
        return companions(self._run("", namespace, ""), self.settings)

    def _run(self, name: str, namespace: str, image: str) -> PodRun:
        return PodRun(
            run_id=self.run_id,
            name=name,
            namespace=namespace,
            request=self.packed,
            image=image,
            spec_hash=self.spec_hash,
            max_tries=self.task.max_tries,
            nonce=self.nonce,
            timeout_s=self.timeout_s,
            owner=self.task.owner,
            config_maps=self.config_maps,
            executes_code=self.executes_code,
            asks_network=self.asks_network,
            precedes=self.precedes,
        )


def prepare(
    spec: EvalSpec,
    run_id: str,
    grants: Grants,
    settings: PodSettings,
    *,
    store: dict[str, Any] | None,
    secret: str | None,
    task: TaskRun,
    entrance: Entrance | None = None,
) -> Prepared:
    """Plan a run.

    :param store: where the pod itself stores results, or None.
    :param secret: from which the status token is made, or None.
    :param entrance: how the driver is reached.
    """
    nonce = secrets.token_hex(8)
    placement = Placement(
        store=store,
        status_server=status_server(secret, run_id, nonce, entrance),
        gpu=settings.gpu,
        gpu_required=True,
        grace_s=max(1.0, settings.grace_period / 2),  # the rest is for storing what is finished
        report_s=settings.report_interval,
        in_pod=True,
    )
    request = plan_request(spec, run_id, grants, placement)
    request = replace(request, evaluate=smaller_batch(request.evaluate, task.out_of_memory))
    limits = [limit for limit in (spec.timeout, task.timeout_s) if limit is not None]
    return Prepared(
        run_id=run_id,
        spec_hash=spec.content_hash,
        packed=pack_request(request),
        nonce=nonce,
        settings=settings,
        task=task,
        timeout_s=min(limits) if limits else None,
        config_maps=config_maps(spec),
        executes_code=request.allow_code_execution,
        asks_network=request.allow_online or spec.model.api,
    )


def pod_grants(grants: Grants, settings: PodSettings) -> Grants:
    """Return the permissions inside a pod: it sees the variables that its Secrets give, and the volumes mounted in it."""
    volumes = tuple(claim.path for claim in settings.volumes)
    return replace(grants, env=grants.env | settings.secret_names, data_roots=(*grants.data_roots, *volumes))


def pod_store(settings: PodSettings, shared: str | None) -> dict[str, Any] | None:
    """Return where the pod itself stores results, in its own words, or None if it cannot.

    :param shared: the store as Airflow names it, if a pod can use that name, too; else None.
    """
    url = settings.results_uri or (settings.results.path if settings.results else shared)
    return {"url": url, "options": dict(settings.results_options)} if url else None


@dataclass(frozen=True, kw_only=True)
class PodRef:
    """A handle's own part: which pod of which cluster. Plain data without secrets.

    :param name: of the pod; empty if the run needs none, because its result was stored before.
    :param keep: leave the pod's object where it is when the run is stopped.
    :param keep_on_kill: do not even stop it when the task is killed (KubernetesPodOperator's ``on_kill_action``).
    :param grace_s: seconds between SIGTERM and SIGKILL.
    :param claims: names of claims that go when the run has succeeded.
    :param precedes: the run whose preflight the pod is for, if it is for one.
    :param seen: what the trigger saw last.
    """

    cluster: Cluster
    namespace: str
    name: str = ""
    uid: str = ""
    limits: Limits = DEFAULT_LIMITS
    keep: bool = False
    keep_on_kill: bool = False
    grace_s: float = 30.0
    claims: tuple[str, ...] = ()
    precedes: str = ""
    seen: PodView | None = None

    def to_json(self) -> dict[str, Any]:
        """Return ``Handle.where``."""
        where: dict[str, Any] = {
            "cluster": self.cluster.to_json(),
            "namespace": self.namespace,
            "pod": self.name,
            "uid": self.uid,
            "limits": list(astuple(self.limits)),
            "keep": self.keep,
            "keep_on_kill": self.keep_on_kill,
            "grace_s": self.grace_s,
            "claims": list(self.claims),
            "precedes": self.precedes,
        }
        return where | ({"seen": self.seen.to_json()} if self.seen else {})

    @classmethod
    def of(cls, handle: Handle) -> Self:
        """Read a handle.

        :raises BackendError: it is not one of this backend.
        """
        where = handle.where
        try:
            return cls(
                cluster=Cluster.from_json(where["cluster"]),
                namespace=where["namespace"],
                name=where["pod"],
                uid=where["uid"],
                limits=Limits(*where["limits"]),
                keep=where["keep"],
                keep_on_kill=where["keep_on_kill"],
                grace_s=where["grace_s"],
                claims=tuple(where.get("claims", ())),
                precedes=where.get("precedes", ""),
                seen=PodView.from_json(where["seen"]) if where.get("seen") else None,
            )
        except (KeyError, TypeError) as error:
            raise BackendError(f"run {handle.run_id}: not a handle of the {NAME} backend: {error!r}") from error


def _image(image: str | None) -> str:
    if not image:
        raise ConfigError(
            "kubernetes: no image to evaluate in; set `image` in the operator's kubernetes={…}, or [lmeval] image. It needs "
            "lm-eval, and the driver unless driver is 'copy'"
        )
    return image
