"""The interface of all backends, and the handle that names a run."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_lmeval.errors import BackendError, ProtocolError
from airflow_provider_lmeval.plan import Grants, Problem, equivalent_command
from airflow_provider_lmeval.plan.parallel import plan_parallel
from airflow_provider_lmeval.results import EvalResult
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.wire import Document, Status
from airflow_provider_lmeval.wire_pod import Termination

if TYPE_CHECKING:  # its models are built where somebody asks for devices, not in every DAG file
    from airflow_provider_lmeval.spec.pod_parts import Gpu


@dataclass(frozen=True, kw_only=True)
class Handle(Document):
    """Everything needed to find a run again; plain data without secrets, fit for XCom and trigger arguments.

    :param backend: name of the backend that started it.
    :param run_id: name of the run.
    :param result_uri: where its result is, once there is one.
    :param where: the backend's own part, such as host and process id.
    """

    backend: str
    run_id: str
    result_uri: str
    where: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, data: Any) -> Handle:
        """Build a handle from what an XCom or a template gave.

        :raises BackendError: it is not a handle.
        """
        if isinstance(data, Handle):
            return data
        try:
            return cls.from_json(data)
        except ProtocolError as error:
            raise BackendError(
                f"not the handle of an evaluation run: {error}. "
                "Pass the output of an LMEvalOperator with wait_for_completion=False"
            ) from error

    @property
    def precedes(self) -> str:
        """The run whose preflight this is; empty for every other run."""
        return str(self.where.get("precedes") or "")

    def after(self, event: Mapping[str, Any] | None) -> Handle:
        """Return the handle with what a trigger saw last, which may be all that is left of the run.

        :param event: the trigger's payload.
        """
        seen = (event or {}).get("seen")
        return replace(self, where=self.where | {"seen": seen}) if seen else self


class Backend(ABC):
    """Runs evaluations somewhere.

    All methods are safe to call again: submitting a run that exists returns its handle, cancelling an ended one does
    nothing. The asynchronous twins keep an event loop free; backends that speak HTTP override them.
    """

    name: str
    gpu: Gpu | None = None
    """Devices of each run."""
    in_pod = False

    def command(self, spec: EvalSpec) -> list[str]:
        """Return the command line that gives the same scores by hand, on as many devices."""
        parallel = plan_parallel(spec.model.type, self.gpu, required=False)
        return equivalent_command(spec, parallel, in_pod=self.in_pod)

    @abstractmethod
    def check(self, spec: EvalSpec, grants: Grants) -> list[Problem]:
        """Find out, without starting anything, whether a spec may and can run here.

        :param grants: the administrator's permissions.
        :returns: warnings for the log.
        :raises SpecError, BackendError, StoreError: it cannot; the message names the remedy.
        """

    @abstractmethod
    def submit(self, spec: EvalSpec, run_id: str, grants: Grants) -> Handle:
        """Start a run, or find the one of that name.

        :param spec: a spec that has passed :meth:`check`.
        :param run_id: name of the run; resumes what an earlier, failed try of that name has finished.
        :param grants: the administrator's permissions.
        :raises BackendError: it could not be started; nothing is left behind.
        """

    @abstractmethod
    def find(self, run_id: str) -> Handle | None:
        """Return the handle of a run that is going on or has succeeded, or None."""

    @abstractmethod
    def status(self, handle: Handle) -> Status:
        """Return what a run is doing. A run that vanished without a word is reported as ended with cause ``killed``.

        :raises RunNotFoundError: there is no such run.
        """

    def news(self, handle: Handle) -> list[str]:  # noqa: ARG002
        """Return what a run's log has said since the last call, for a worker that waits, where nothing else shows it."""
        return []

    @abstractmethod
    def cancel(self, handle: Handle) -> None:
        """Stop a run and wait until nothing of it is running any more.

        :raises BackendError: it could not be stopped.
        """

    @abstractmethod
    def collect(self, handle: Handle) -> EvalResult:
        """Return the result document of an ended run, failed ones included, from durable storage.

        :raises RunFailedError: the run left no document.
        :raises StoreError: it cannot be read, or is damaged.
        """

    def last_words(self, handle: Handle) -> Termination | None:  # noqa: ARG002
        """Return what an ended run without a document said last, where something keeps that; some of its scores."""
        return None

    def release(self, handle: Handle) -> None:  # noqa: B027
        """Let go of an ended run whose result has been collected: what only served to find it may be removed."""

    async def astatus(self, handle: Handle) -> Status:
        """Asynchronous :meth:`status`."""
        return await asyncio.to_thread(self.status, handle)

    async def acancel(self, handle: Handle) -> None:
        """Asynchronous :meth:`cancel`."""
        await asyncio.to_thread(self.cancel, handle)
