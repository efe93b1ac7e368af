"""Runs evaluations as pods: the same interface as every backend, for operator, sensor, trigger and command line.

A run does not wait for Airflow: when the evaluation ends its pod ends, and the GPU is free. What it found out comes back by
the store, else by the record in the pod's log, else by the pod's termination message, in that order.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cached_property
from typing import Any, TypeVar

from airflow_provider_lmeval.backends.base import Backend, Handle
from airflow_provider_lmeval.backends.kubernetes import collect, control, runs, sync
from airflow_provider_lmeval.backends.kubernetes.api import Api
from airflow_provider_lmeval.backends.kubernetes.claims import own_claims, remove_claims
from airflow_provider_lmeval.backends.kubernetes.cluster import Cluster
from airflow_provider_lmeval.backends.kubernetes.evidence import Evidence, gather
from airflow_provider_lmeval.backends.kubernetes.interpret import status_of
from airflow_provider_lmeval.backends.kubernetes.launch import Launch, is_usable, launch
from airflow_provider_lmeval.backends.kubernetes.proxy import DriverProbe, Entrance
from airflow_provider_lmeval.backends.kubernetes.runs import PodRef, Prepared, TaskRun
from airflow_provider_lmeval.backends.kubernetes.view import Limits, PodView, remember
from airflow_provider_lmeval.errors import ClusterError
from airflow_provider_lmeval.plan import Grants, Problem, check, raise_errors
from airflow_provider_lmeval.plan.parallel import check_parallel
from airflow_provider_lmeval.plan.pod import RUN_LABEL
from airflow_provider_lmeval.plan.pod_parts import Manifest
from airflow_provider_lmeval.results import EvalResult
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.spec.pod import PodSettings
from airflow_provider_lmeval.store import Store, has_connection
from airflow_provider_lmeval.wire import Status
from airflow_provider_lmeval.wire_pod import Termination

Result = TypeVar("Result")


class KubernetesBackend(Backend):
    """One pod per run.

    :param results_uri: root of the store, as Airflow names it.
    :param cluster: where new pods run; a run that exists is looked for where its handle says.
    :param settings: what pods get.
    :param secret: from which status tokens are made; None: no progress.
    :param direct: ask drivers by the pod's address, not through the API server.
    :param client_tls: directory with Airflow's own certificate for drivers that ask for one; see ``proxy.Entrance``.
    """

    name = runs.NAME
    in_pod = True

    def __init__(
        self,
        *,
        results_uri: str,
        cluster: Cluster | None = None,
        settings: PodSettings | None = None,
        secret: str | None = None,
        direct: bool = False,
        client_tls: str | None = None,
    ) -> None:
        self.results_uri = results_uri
        self.cluster = cluster or Cluster()
        self.settings = settings or PodSettings()
        self.gpu = self.settings.gpu
        self.probe = DriverProbe(secret, direct, Entrance.of(self.settings, client_tls))
        self._evidence: dict[str, Evidence] = {}
        self._seen: dict[str, PodView] = {}

    @cached_property
    def store(self) -> Store:
        """The store; opened on first use, since a triggerer never needs it."""
        return Store(self.results_uri)

    @property
    def namespace(self) -> str:
        """Where pods are created."""
        return self.settings.namespace or self.cluster.namespace(self.cluster.extras())

    def check(self, spec: EvalSpec, grants: Grants) -> list[Problem]:
        problems = check(spec, runs.pod_grants(grants, self.settings)) + check_parallel(spec, self.settings.gpu)
        raise_errors(problems)
        self.store.check_writable()
        if self._pod_store() is None:
            remedy = "set results_uri to an object store, kubernetes.results_uri, or kubernetes.results (a volume)"
            text = (
                f"results: the pod cannot store them; they are lost if it is deleted while Airflow is down: {remedy}."
            )
            problems.append(Problem("no-store", "warning", text))
        if (image := self.settings.image) and "@sha256:" not in image:
            text = (
                f"image: {image} is a tag, which can move. Name it by digest, so that fingerprints tell what evaluated."
            )
            problems.append(Problem("image-tag", "warning", text))
        return problems

    def test(self) -> str:
        """Check the way to the cluster and to the store, and return the server's version.

        :raises LMEvalError: what is wrong and what to do.
        """
        self.store.check_writable()
        return self.call(lambda api: api.version())

    def prepare(self, spec: EvalSpec, run_id: str, grants: Grants, task: TaskRun | None = None) -> Prepared:
        """Plan a run; nothing is created.

        :param task: what Airflow knows of it; None: it is not Airflow's.
        """
        permitted, store = runs.pod_grants(grants, self.settings), self._pod_store()
        secret, task = self.probe.secret, task or TaskRun()
        return runs.prepare(
            spec, run_id, permitted, self.settings, store=store, secret=secret, task=task, entrance=self.probe.entrance
        )

    def submit(self, spec: EvalSpec, run_id: str, grants: Grants) -> Handle:
        if self.has_succeeded(run_id):
            return self.handle(run_id)
        prepared, namespace = self.prepare(spec, run_id, grants), self.namespace
        wanted = Launch(
            run_id=run_id,
            namespace=namespace,
            stem=run_id,
            packed=prepared.packed,
            manifest=lambda name: prepared.manifest(name, namespace),
            companions=tuple(prepared.companions(namespace)),
        )
        return self.handle(run_id, self.launch(wanted))

    def launch(self, wanted: Launch) -> Manifest:
        """Create or adopt a pod; see :func:`~airflow_provider_lmeval.backends.kubernetes.launch.launch`."""
        return self.call(lambda api: launch(api, wanted))

    def handle(
        self,
        run_id: str,
        pod: Manifest | None = None,
        *,
        keep: bool = False,
        keep_on_kill: bool = False,
        precedes: str = "",
    ) -> Handle:
        """Return the handle of a run.

        :param pod: as the API server has it; None for a run whose result is stored already.
        :param keep: see :class:`PodRef`; ``keep_on_kill`` and ``precedes`` likewise.
        """
        meta, spec = (pod["metadata"], pod["spec"]) if pod else ({}, {})
        reference = PodRef(
            cluster=self.cluster,
            namespace=meta.get("namespace", ""),
            name=meta.get("name", ""),
            uid=meta.get("uid", ""),
            limits=Limits.of(self.settings),
            claims=own_claims(self.settings, run_id) if pod and not precedes else (),
            keep=keep,
            keep_on_kill=keep_on_kill,
            precedes=precedes,
            grace_s=float(spec.get("terminationGracePeriodSeconds", self.settings.grace_period)),
        )
        where = reference.to_json()
        return Handle(backend=self.name, run_id=run_id, result_uri=self.store.uri(run_id), where=where)

    def has_succeeded(self, run_id: str) -> bool:
        """Whether the store holds the run's successful result."""
        return collect.success(self.store, run_id) is not None

    def find(self, run_id: str) -> Handle | None:
        if self.has_succeeded(run_id):
            return self.handle(run_id)
        namespace = self.namespace
        items, _ = self.call(lambda api: api.list_pods(namespace, f"{RUN_LABEL}={run_id}"))
        usable = [item for item in items if is_usable(PodView.of(item))]
        return self.handle(run_id, usable[0]) if usable else None

    def status(self, handle: Handle) -> Status:
        return self.call(lambda api: self._status(api, handle), handle)

    async def astatus(self, handle: Handle) -> Status:
        async with PodRef.of(handle).cluster.open() as api:
            return await self._status(api, handle)

    async def _status(self, api: Api, handle: Handle) -> Status:
        pod = PodRef.of(handle)
        if not pod.name:
            return control.stored(handle)
        found = await control.look(api, pod, handle.run_id)
        view = remember(found, self._seen.get(pod.uid), api.clock.now())
        self._seen[pod.uid] = view
        try:
            driver = await self.probe.status(api, view)
        except ClusterError:
            driver = None
        return status_of(view, now=api.clock.now(), limits=pod.limits, driver=driver)

    def cancel(self, handle: Handle) -> None:
        self.call(lambda api: control.cancel(api, PodRef.of(handle), handle.run_id), handle)

    async def acancel(self, handle: Handle) -> None:
        pod = PodRef.of(handle)
        async with pod.cluster.open() as api:
            await control.cancel(api, pod, handle.run_id)

    def evidence(self, handle: Handle) -> Evidence:
        """Return what the cluster still has of an ended run; read once."""
        pod = PodRef.of(handle)
        if not pod.name:
            return Evidence()
        if pod.uid not in self._evidence:
            self._evidence[pod.uid] = self.call(lambda api: gather(api, pod, handle.run_id), handle)
        return self._evidence[pod.uid]

    def last_words(self, handle: Handle) -> Termination | None:
        return self.evidence(handle).words

    def collect(self, handle: Handle) -> EvalResult:
        store = Store(handle.result_uri.rpartition("/")[0])  # the handle's, which its starter may have chosen
        return collect.success(store, handle.run_id) or collect.decide(store, handle, self.evidence(handle))

    def release(self, handle: Handle) -> None:
        """Remove the pod of a run that has been dealt with, unless it is to be kept; then mark it."""
        pod = PodRef.of(handle)
        if pod.name and pod.keep:
            self.call(lambda api: control.mark_checked(api, pod), handle)
        elif pod.name:
            self.call(lambda api: api.delete_pod(pod.namespace, pod.name, pod.uid), handle)

    def release_claims(self, handle: Handle) -> None:
        """Remove the claims of a run that needs no further try."""
        pod = PodRef.of(handle)
        if pod.claims:
            self.call(lambda api: remove_claims(api, pod.namespace, pod.claims), handle)

    def _pod_store(self) -> dict[str, Any] | None:
        url = self.store.url
        own = has_connection(url) or "://" not in url or url.startswith(("file://", "memory://"))
        return runs.pod_store(self.settings, None if own else url)

    def call(self, work: Callable[[Api], Awaitable[Result]], handle: Handle | None = None) -> Result:
        """Do something with an open connection, from outside of any event loop.

        :param work: takes the connection.
        :param handle: of a run, whose cluster it is about; None: the one for new runs.
        """
        cluster = PodRef.of(handle).cluster if handle else self.cluster
        extras = cluster.extras()

        async def connected() -> Result:
            async with cluster.open(extras) as api:
                return await work(api)

        return sync.run(connected())
