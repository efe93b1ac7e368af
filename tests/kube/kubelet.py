"""What a node does for one pod: volumes, network, containers, status, and its end.

One task per bound pod. Two things can cut its life short, whatever it is doing: a deletion, which the API server only
marks and the kubelet carries out, and ``activeDeadlineSeconds``, which nobody but the kubelet enforces. While its node is
lost nothing is reported and nothing is carried out, and the processes run on.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.kube import clock
from tests.kube.containers import Runner
from tests.kube.errors import ApiError
from tests.kube.kinds import PODS
from tests.kube.registry import ENDED
from tests.kube.status import ContainerView, PodView, pod_status, waiting
from tests.kube.volumes import MountError, PodVolumes

if TYPE_CHECKING:
    from tests.kube.cluster import Cluster
    from tests.kube.store import Key

Json = dict[str, Any]

RETRY_S = 0.2
DEADLINE = "Pod was active on the node longer than the specified deadline"


class PodWorker:
    """The life of one pod on its node.

    :param pod: as it was when it was bound. :param home: a directory of its own.
    """

    def __init__(self, cluster: Cluster, pod: Json, home: Path) -> None:
        self.cluster, self.home = cluster, home
        self.key: Key = (pod["metadata"]["namespace"], pod["metadata"]["name"])
        self.uid = pod["metadata"]["uid"]
        self.pod = pod
        self.node = cluster.nodes[pod["spec"]["nodeName"]]
        spec = pod["spec"]
        reason = "PodInitializing" if spec.get("initContainers") else "ContainerCreating"
        self.view = PodView(
            [ContainerView(one["name"], one["image"], waiting(reason)) for one in spec.get("initContainers") or []],
            [ContainerView(one["name"], one["image"], waiting(reason)) for one in spec["containers"]],
            started=clock.timestamp(),
            host=self.node.address,
        )
        self._began = time.time()
        (home / "empty").mkdir(parents=True)
        self.volumes = PodVolumes(cluster.store, pod, home / "volumes", cluster.home / "claims")
        self.sandbox: Any = None
        self.runners: dict[str, Runner] = {}
        self._changed = asyncio.Event()
        self._removed = False
        self._task = asyncio.get_running_loop().create_task(self._run())
        self._task.add_done_callback(cluster.worker_ended)

    def changed(self, pod: Json | None) -> None:
        """Hear that the pod's object changed, or went (None)."""
        if pod is None:
            if not self._removed:  # once: a second time would interrupt the cleaning up
                self._removed = True
                self._task.cancel()
            return
        self.pod = pod
        self._changed.set()

    async def join(self) -> None:
        """Wait until nothing of the pod is left."""
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        try:
            await self._until_gone()
        finally:
            await self._clean_up()

    async def _until_gone(self) -> None:
        life = asyncio.get_running_loop().create_task(self._live())
        life.add_done_callback(lambda _: self._changed.set())
        try:
            await self._stop_wanted(life)
        finally:
            await _cancelled(life)
        if self.view.phase is None:
            await self._end(with_grace=True)
        await self._deleted()
        with contextlib.suppress(ApiError):  # somebody was faster
            self.cluster.registry.delete(PODS, self.key, {"gracePeriodSeconds": 0, "preconditions": {"uid": self.uid}})

    async def _live(self) -> None:
        """Bring everything up and wait until all has ended by itself."""
        await self.report()
        while not self._mounted():
            await asyncio.sleep(RETRY_S)
        self.sandbox = self.cluster.new_sandbox(self.pod)
        await self.sandbox.start()
        self.view.sandbox = True
        await self.report()
        self.view.address = self.sandbox.address  # reported with the next change, as recorded
        for one in self.pod["spec"].get("initContainers") or []:
            self.runners[one["name"]] = runner = Runner(self, one, self._view(one["name"]))
            ended = await (runner.started() if one.get("restartPolicy") == "Always" else runner.finished())
            if ended not in (0, None):
                break
        else:
            for one in self.pod["spec"]["containers"]:
                self.runners[one["name"]] = Runner(self, one, self._view(one["name"]))
            await asyncio.gather(*(self.runners[one.name].finished() for one in self.view.main))
        await self.report()
        await asyncio.sleep(self.cluster.settings.kubelet_delay_s)
        await self._end(with_grace=False)

    def _mounted(self) -> bool:
        try:
            self.volumes.mount()
        except MountError as error:
            self.cluster.event(self.pod, "Warning", "FailedMount", str(error))
            return False
        return True

    def _view(self, name: str) -> ContainerView:
        return next(view for view in (*self.view.init, *self.view.main) if view.name == name)

    async def _stop_wanted(self, life: asyncio.Task[None]) -> None:
        """Return when the pod is to end, or its deadline has passed, or it has ended by itself."""
        while not life.done():
            self._changed.clear()
            left = self._time_left()
            if self.node.online.is_set() and (self._deleting or (left is not None and left <= 0)):
                if not self._deleting:
                    self.view.reason, self.view.message = "DeadlineExceeded", DEADLINE
                    self.cluster.event(self.pod, "Normal", "DeadlineExceeded", DEADLINE)
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if left is None else max(left, RETRY_S)):
                    await self._changed.wait()
        life.result()

    @property
    def _deleting(self) -> bool:
        return "deletionTimestamp" in self.pod["metadata"]

    def _time_left(self) -> float | None:
        deadline = self.pod["spec"].get("activeDeadlineSeconds")
        return None if deadline is None else self._began + deadline - time.time()

    async def _end(self, *, with_grace: bool) -> None:
        """Stop what still runs, take the network away, and report the pod's final status."""
        self._stop_began = time.time()
        if with_grace:
            await self.report()
            await asyncio.gather(*(runner.stop(self._grace_left) for runner in self.runners.values()))
        else:
            await asyncio.gather(*(runner.stop(lambda: 0.0) for runner in self.runners.values()))
        if self.sandbox is not None:
            await self.sandbox.stop()
        self.view.sandbox = False
        self.view.phase = self.view.outcome()
        await self.report()

    def _grace_left(self) -> float:
        """Return the seconds that containers still have; a second deletion can only shorten them."""
        grace = self.pod["spec"].get("terminationGracePeriodSeconds", 30)
        grace = self.pod["metadata"].get("deletionGracePeriodSeconds", grace)
        return self._stop_began + grace - time.time()

    async def _deleted(self) -> None:
        while not self._deleting or not self.node.online.is_set():
            self._changed.clear()
            await self._changed.wait()

    async def report(self) -> None:
        """Write the status; waits while the node is cut off."""
        await self.node.online.wait()
        with contextlib.suppress(ApiError):  # deleted by force meanwhile
            pod = self.cluster.store.get(PODS, self.key)
            if pod["metadata"]["uid"] == self.uid and pod["status"].get("phase") not in ENDED:
                self.cluster.registry.change(
                    PODS, self.key, lambda old: {**old, "status": pod_status(old, self.view)}, status=True
                )

    async def _clean_up(self) -> None:
        for runner in self.runners.values():
            runner.kill()
        await asyncio.gather(*(runner.gone() for runner in self.runners.values()))
        if self.sandbox is not None:
            await self.sandbox.stop()
        shutil.rmtree(self.home, ignore_errors=True)


async def _cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
