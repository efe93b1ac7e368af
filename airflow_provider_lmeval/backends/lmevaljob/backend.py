"""Runs evaluations by TrustyAI's operator: the same interface as every backend, for operator, sensor, trigger, command line.

What it found out comes back in ``status.results``, which is read once, held against the job, and put into the store: from
there on it is a result like any other.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import cached_property
from typing import TypeVar

from airflow_provider_lmeval.backends.base import Backend, Handle
from airflow_provider_lmeval.backends.kubernetes import sync
from airflow_provider_lmeval.backends.kubernetes.api import Api
from airflow_provider_lmeval.backends.kubernetes.cluster import Cluster
from airflow_provider_lmeval.backends.kubernetes.collect import keep, success
from airflow_provider_lmeval.backends.kubernetes.control import stored
from airflow_provider_lmeval.backends.kubernetes.runs import TaskRun
from airflow_provider_lmeval.backends.lmevaljob.conclude import conclude
from airflow_provider_lmeval.backends.lmevaljob.interpret import JobLimits, describe_deletion, status_of
from airflow_provider_lmeval.backends.lmevaljob.log import PodLog
from airflow_provider_lmeval.backends.lmevaljob.runs import NAME, JobRef, body, manifest
from airflow_provider_lmeval.backends.lmevaljob.submit import is_usable, submit
from airflow_provider_lmeval.backends.lmevaljob.view import JOBS, RUN_LABEL, JobView, remember
from airflow_provider_lmeval.errors import BackendError, ClusterError
from airflow_provider_lmeval.plan import Grants, Problem, check, raise_errors
from airflow_provider_lmeval.plan.batch import BatchRules
from airflow_provider_lmeval.plan.lmevaljob import bucket_variables
from airflow_provider_lmeval.results import EvalResult
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.spec.lmevaljob import LMEvalJobRun
from airflow_provider_lmeval.store import Store
from airflow_provider_lmeval.wire import Status, safe_name

Result = TypeVar("Result")

POLL_S = 1.0
DELETION_S = 120.0
"""How long a deleted job may be held by its operator's finalizer."""


class LMEvalJobBackend(Backend):
    """One ``LMEvalJob`` per run.

    :param results_uri: root of the store, as Airflow names it.
    :param cluster: where new jobs are created; one that exists is looked for where its handle says.
    :param settings: what goes into the resource beside the spec, and how long to wait.
    :param namespace: of new jobs, unless ``settings`` name one. :param batch: the operator's batch sizes.
    :param task: what Airflow knows of the run.
    """

    name = NAME

    def __init__(
        self,
        *,
        results_uri: str,
        cluster: Cluster | None = None,
        settings: LMEvalJobRun | None = None,
        namespace: str = "",
        batch: BatchRules | None = None,
        task: TaskRun | None = None,
    ) -> None:
        self.results_uri = results_uri
        self.cluster = cluster or Cluster()
        self.settings = settings or LMEvalJobRun()
        self.batch = batch or BatchRules()
        self.task = task or TaskRun()
        self._namespace = namespace
        self._seen: dict[str, JobView] = {}
        self._logs: dict[str, PodLog] = {}

    @cached_property
    def store(self) -> Store:
        """The store; opened on first use, since a triggerer never needs it."""
        return Store(self.results_uri)

    @property
    def namespace(self) -> str:
        """Where jobs are created."""
        return self.settings.namespace or self._namespace or self.cluster.namespace(self.cluster.extras())

    def check(self, spec: EvalSpec, grants: Grants) -> list[Problem]:
        names = grants.env | frozenset(self.settings.env_secrets) | bucket_variables(self.settings)
        problems = check(spec, Grants(**{**vars(grants), "env": names}))
        raise_errors(problems)
        body(spec, self.settings, self.batch)
        self.store.check_writable()
        return problems

    def test(self) -> str:
        """Check the way to the cluster, that it knows LMEvalJob, and the store; return the server's version.

        :raises LMEvalError: what is wrong and what to do.
        """
        self.store.check_writable()
        namespace = self.namespace

        async def look(api: Api) -> str:
            await api.list_all(JOBS.path(namespace), JOBS.selector, 1)
            return await api.version()

        return self.call(look)

    def submit(self, spec: EvalSpec, run_id: str, grants: Grants) -> Handle:  # noqa: ARG002 - checked before
        if success(self.store, run_id) is not None:
            return self._handle(run_id, None, spec)
        found, namespace, keep = body(spec, self.settings, self.batch), self.namespace, self.settings.is_kept
        stem = self.settings.name or (self.settings.generate_name or "").rstrip("-.") or run_id
        job = self.call(
            lambda api: submit(
                api,
                run_id,
                namespace,
                stem,
                lambda name: manifest(found, run_id, spec.content_hash, name, namespace, self.task, keep=keep),
            )
        )
        return self._handle(run_id, job, spec)

    def _handle(
        self, run_id: str, job: JobView | None, spec: EvalSpec | None = None, *, foreign: bool = False
    ) -> Handle:
        reference = JobRef(
            cluster=self.cluster,
            namespace=job.namespace if job else "",
            name=job.name if job else "",
            uid=job.uid if job else "",
            limits=JobLimits.of(self.settings, spec),
            recipes=tuple(recipe.name or f"tr_{index}" for index, recipe in enumerate(spec.unitxt)) if spec else (),
            spec_hash=spec.content_hash if spec else "",
            foreign=foreign,
            keep=self.settings.is_kept,
        )
        return Handle(backend=NAME, run_id=run_id, result_uri=self.store.uri(run_id), where=reference.to_json())

    def find(self, run_id: str) -> Handle | None:
        if success(self.store, run_id) is not None:
            return self._handle(run_id, None)
        namespace = self.namespace
        items, _ = self.call(lambda api: api.list_all(JOBS.path(namespace), f"{RUN_LABEL}={run_id}", JOBS.page))
        usable = [view for view in map(JobView.of, items) if is_usable(view)]
        return self._handle(run_id, usable[0]) if usable else None

    def foreign(self, name: str) -> Handle:
        """Return the handle of a job that somebody else has created.

        :param name: ``name``, in the namespace of the settings, or ``namespace/name``.
        :raises BackendError: there is none.
        """
        given, _, name = name.rpartition("/")
        namespace = given or self.namespace
        try:
            found = self.call(lambda api: api.get(JOBS.path(namespace, name)))
        except ClusterError as error:
            if error.status != 404 or error.cause:
                raise
            raise BackendError(f"there is no LMEvalJob {namespace}/{name}; create it first, or name another") from error
        job = JobView.of(found)  # an edited one is evaluated once more, and has another result
        return self._handle(safe_name(f"{namespace}-{name}-{job.uid[:8]}-{job.generation}", 71), job, foreign=True)

    def status(self, handle: Handle) -> Status:
        return self.call(lambda api: self._status(api, handle), handle)

    async def astatus(self, handle: Handle) -> Status:
        async with JobRef.of(handle).cluster.open() as api:
            return await self._status(api, handle)

    async def _status(self, api: Api, handle: Handle) -> Status:
        job = JobRef.of(handle)
        if not job.name:
            return stored(handle)
        found = await look(api, job, handle.run_id)
        view = remember(found, self._seen.get(job.uid), api.clock.now())
        self._seen[job.uid] = view
        return named(status_of(view, now=api.clock.now(), limits=job.limits), handle)

    def news(self, handle: Handle) -> list[str]:
        """Return the new lines of the operator's pod, as of the job that was seen last; why there are none, once."""
        seen = self._seen.get(JobRef.of(handle).uid)
        if seen is None or not seen.pod or seen.deleted:
            return []
        log = self._logs.setdefault(seen.uid, PodLog())
        return self.call(lambda api: log.news(api, seen), handle)

    def cancel(self, handle: Handle) -> None:
        self.call(lambda api: cancel(api, JobRef.of(handle), handle.run_id), handle)

    async def acancel(self, handle: Handle) -> None:
        job = JobRef.of(handle)
        async with job.cluster.open() as api:
            await cancel(api, job, handle.run_id)

    def collect(self, handle: Handle) -> EvalResult:
        store, job = Store(handle.result_uri.rpartition("/")[0]), JobRef.of(handle)
        if (found := success(store, handle.run_id)) is not None:
            return found
        seen = job.seen or self._seen.get(job.uid) or JobView(name=job.name, namespace=job.namespace, uid=job.uid)
        result = self.call(lambda api: conclude(api, job, seen, handle.run_id), handle)
        keep(store, result)
        return result

    def release(self, handle: Handle) -> None:
        """Remove a job whose result is stored, unless it is to be kept, or is somebody else's."""
        job = JobRef.of(handle)
        if job.name and not job.keep and not job.foreign:
            self.call(lambda api: api.delete(JOBS.path(job.namespace, job.name), job.uid), handle)

    def call(self, work: Callable[[Api], Awaitable[Result]], handle: Handle | None = None) -> Result:
        """Do something with an open connection, from outside of any event loop.

        :param work: takes the connection. :param handle: of a run, whose cluster it is about; None: the one for new runs.
        """
        cluster = JobRef.of(handle).cluster if handle else self.cluster
        extras = cluster.extras()

        async def connected() -> Result:
            async with cluster.open(extras) as api:
                return await work(api)

        return sync.run(connected())


async def look(api: Api, job: JobRef, run_id: str) -> JobView:
    """Return the job as it is now; one that is not there any more as it was seen last, and gone."""
    seen = job.seen or JobView(name=job.name, namespace=job.namespace, uid=job.uid, run_id=run_id)
    try:
        found = JobView.of(await api.get(JOBS.path(job.namespace, job.name)))
    except ClusterError as error:
        if error.status != 404 or error.cause:
            raise
        return seen.lost()
    return found if found.uid == job.uid else seen.lost()


async def cancel(api: Api, job: JobRef, run_id: str) -> None:
    """Delete a job and wait until it is gone: its operator lets go when it has told the pod to end.

    :raises BackendError: it does not go, most likely because its operator is not there.
    """
    if not job.name or job.foreign or not await api.delete(JOBS.path(job.namespace, job.name), job.uid):
        return
    end = time.monotonic() + DELETION_S
    while not (view := await look(api, job, run_id)).deleted:
        if time.monotonic() > end:
            raise BackendError(f"{describe_deletion(view)}. It is not gone after {DELETION_S:.0f} s")
        await asyncio.sleep(POLL_S)


def named(status: Status, handle: Handle) -> Status:
    """Return a status under the run's name, which a job of somebody else does not know."""
    return Status.from_json(status.to_json() | {"run_id": handle.run_id})
