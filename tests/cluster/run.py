"""One evaluation on the cluster: its task, its trigger, its pod, and what can be done to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_lmeval.backends.kubernetes.view import PodView
from airflow_provider_lmeval.errors import ClusterError
from airflow_provider_lmeval.operators.lmeval import LMEvalOperator
from airflow_provider_lmeval.triggers.pod import EvalPodTrigger
from airflow_provider_lmeval.wire import Status
from tests.kube_backend.conftest import finish, handle_of

if TYPE_CHECKING:
    from tests.cluster.site import Site

Json = dict[str, Any]

START_S = 600.0
"""How long a pod may take to start: an image of many gigabytes may have to be pulled first."""
REMOVAL_S = 180.0
LOOK_S = 0.5


@dataclass
class Run:
    """One evaluation that a task waits for."""

    site: Site
    task: LMEvalOperator
    ctx: Json
    deferral: Any

    @property
    def trigger(self) -> EvalPodTrigger:
        found = self.deferral.trigger
        assert isinstance(found, EvalPodTrigger)
        return found

    @property
    def name(self) -> str:
        """The pod's."""
        return str(handle_of(self.ctx).where["pod"])

    @property
    def uid(self) -> str:
        """The pod's."""
        return str(handle_of(self.ctx).where["uid"])

    def pod(self) -> PodView | None:
        """Return the pod as it is now, or None if it is gone."""
        try:
            found = PodView.of(self.site.backend.call(lambda api: api.get_pod(self.site.namespace, self.name)))
        except ClusterError as error:
            if error.status != 404:
                raise
            return None
        return found if found.uid == self.uid else None

    def log(self) -> str:
        """Return the container's log so far; empty before there is one."""
        try:
            return self.site.backend.call(lambda api: api.pod_log(self.site.namespace, self.name, "base"))
        except ClusterError as error:
            if error.status not in (400, 404):
                raise
            return ""

    def is_running(self) -> bool:
        """Whether the evaluation's container runs.

        :raises AssertionError: it has ended.
        """
        found = self.pod()
        assert found is not None, f"{self.name} is gone"
        assert not found.ended, f"{self.name} has ended: {found}\n{self.log()[-3000:]}"
        return found.running

    def status(self) -> Status:
        """Return what is known, with what the driver says about its progress."""
        return self.site.backend.status(handle_of(self.ctx))

    def wait_until_running(self) -> None:
        self.site.wait(self.is_running, f"pod {self.name} runs", START_S)

    def wait_until_gone(self) -> None:
        self.site.wait(lambda: self.pod() is None, f"pod {self.name} is gone", REMOVAL_S)

    def cancel(self) -> None:
        """Stop it, as a person's action on the task does."""
        self.site.backend.cancel(handle_of(self.ctx))

    def delete(self) -> None:
        """Do what ``kubectl delete pod`` does."""
        self.site.write("DELETE", f"pods/{self.name}")

    def evict(self) -> None:
        """Do what draining a node does."""
        meta = {"name": self.name, "namespace": self.site.namespace}
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": meta}
        self.site.write("POST", f"pods/{self.name}/eviction", body)

    def event(self, during: Callable[[], None] | None = None) -> Json:
        """Let the trigger wait until it fires, and return its event.

        :param during: what happens meanwhile, once the trigger has seen the pod run.
        """
        return asyncio.run(self.fired(during))

    async def fired(self, during: Callable[[], None] | None = None) -> Json:
        """See :meth:`event`."""
        async with asyncio.timeout(self.site.options.timeout), asyncio.TaskGroup() as group:
            waiting = group.create_task(self._first())
            if during is not None:
                group.create_task(self._when_seen(during))
        return waiting.result()

    async def _first(self) -> Json:
        async for event in self.trigger.run():
            return dict(event.payload)
        raise AssertionError("the trigger ended without an event")

    async def _when_seen(self, act: Callable[[], None]) -> None:
        while self.trigger._seen is None or not self.trigger._seen.running:
            await asyncio.sleep(LOOK_S)
        await asyncio.to_thread(act)

    def finish(self, event: Json) -> Any:
        """Resume the task and return what it returns."""
        return finish(self.task, self.ctx, self.deferral, event)
