"""One container of a pod through all its runs: image, configuration, start, end, restart."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.kube import clock, environment
from tests.kube.logs import ContainerLog, Options
from tests.kube.processes import Image, StartError
from tests.kube.status import ContainerView, message_limit, terminated
from tests.kube.validation import amount
from tests.kube.volumes import Mount

if TYPE_CHECKING:
    from tests.kube.kubelet import PodWorker

Json = dict[str, Any]

RETRY_S = 0.2
FALLBACK_BYTES, FALLBACK_LINES = 2048, 80
"""How much of the log becomes the termination message under ``FallbackToLogsOnError``."""
EPOCH = "1970-01-01T00:00:00Z"


class Runner:
    """Runs one container of a pod.

    :param worker: the pod it belongs to. :param spec: the container's. :param view: kept up to date for the pod's status.
    """

    def __init__(self, worker: PodWorker, spec: Json, view: ContainerView) -> None:
        self._worker, self._spec, self._view = worker, spec, view
        self._cluster = worker.cluster
        self._current: Any = None
        self._starting: asyncio.Task[None] | None = None
        self.log: ContainerLog | None = None
        self.previous_log: ContainerLog | None = None

    @property
    def current(self) -> Any:
        """The run that goes on or came last; None before the first."""
        return self._current

    async def started(self) -> None:
        """Bring the container up."""
        image = await self._image()
        settings = await self._settings(image)
        self.previous_log, self.log = self.log, ContainerLog(self._cluster.settings.log_bytes)
        self._starting = asyncio.get_running_loop().create_task(self._start(settings, self.log))
        await asyncio.shield(self._starting)
        await self._worker.report()

    async def finished(self) -> int:
        """Bring it up, restart it as often as the pod's policy says, and return its last exit code."""
        backoff = self._cluster.settings.restart_backoff_s
        while True:
            await self.started()
            code = await self._ended()
            if not self._restarts(code):
                return code
            await self._worker.report()
            self._view.last, self._view.restarts = self._view.state, self._view.restarts + 1
            name = self._spec["name"]
            words = (
                f"back-off {backoff:g}s restarting failed container={name} pod={self._worker.pod['metadata']['name']}"
            )
            await self._wait("CrashLoopBackOff", words, backoff)
            backoff *= 2

    def _restarts(self, code: int) -> bool:
        policy = self._worker.pod["spec"]["restartPolicy"]
        return policy == "Always" or (policy == "OnFailure" and code != 0)

    async def stop(self, grace: Callable[[], float]) -> None:
        """End what runs: SIGTERM, and SIGKILL once no grace is left."""
        if self._starting is not None:
            await self._starting
        if self._current is None or self._view.terminated:
            return
        if grace() > 0:
            self._current.terminate()
        ended = asyncio.get_running_loop().create_task(self._ended())
        while not ended.done() and (left := grace()) > 0:
            await asyncio.wait({ended}, timeout=min(left, RETRY_S))
        if not ended.done():
            self._current.kill()
        await ended

    def kill(self) -> None:
        """End what runs at once."""
        if self._current is not None:
            self._current.kill()

    async def gone(self) -> None:
        """Wait until nothing of it runs."""
        if self._starting is not None:
            await self._starting
            self.kill()
        if self._current is not None:
            await self._current.wait()

    def _event(self, level: str, reason: str, message: str) -> None:
        self._cluster.event(self._worker.pod, level, reason, message, self._spec["name"])

    async def _wait(self, reason: str, message: str, seconds: float = RETRY_S) -> None:
        state = {"waiting": {"reason": reason, "message": message}}
        if self._view.state != state:
            self._view.state = state
            await self._worker.report()
        await asyncio.sleep(seconds)

    async def _image(self) -> Image:
        """Return the image, once it is there."""
        name, policy = self._spec["image"], self._spec["imagePullPolicy"]
        while (image := self._cluster.images.get(name)) is None:
            if policy == "Never":
                words = f'Container image "{name}" is not present with pull policy of Never'
                await self._wait("ErrImageNeverPull", words)
                continue
            said = self._cluster.settings.registry_says
            error = f'failed to pull and unpack image "{name}": failed to resolve reference "{name}": {name}: {said}'
            backoff = self._cluster.settings.pull_backoff_s
            self._event("Warning", "Failed", f'Failed to pull image "{name}": {error}')
            await self._wait("ErrImagePull", error, backoff)
            self._event("Normal", "BackOff", f'Back-off pulling image "{name}"')
            await self._wait("ImagePullBackOff", f'Back-off pulling image "{name}": ErrImagePull: {error}', backoff)
        self._cluster.event(
            self._worker.pod, "Normal", "Pulled", f'Container image "{name}" already present on machine'
        )
        return image

    async def _settings(self, image: Image) -> Json:
        """Return what the container is to be, once everything it refers to is there."""
        while True:
            try:
                return self._configured(image)
            except environment.ConfigError as error:
                self._event("Warning", "Failed", f"Error: {error}")
                await self._wait("CreateContainerConfigError", str(error))

    def _configured(self, image: Image) -> Json:
        worker, spec, pod = self._worker, self._spec, self._worker.pod
        security = {**(pod["spec"].get("securityContext") or {}), **(spec.get("securityContext") or {})}
        metadata = pod["metadata"]
        if security.get("runAsNonRoot") and security.get("runAsUser", image.user) == 0:
            where = f'pod: "{metadata["name"]}_{metadata["namespace"]}({metadata["uid"]})", container: {spec["name"]}'
            raise environment.ConfigError(f"container has runAsNonRoot and image will run as root ({where})")
        variables = self._environment(image)
        command = environment.command(spec, variables, list(image.entrypoint), list(image.arguments))
        if not command:
            raise environment.ConfigError("failed to generate container spec: no command specified")
        hidden = [Mount(worker.home / "empty", str(path), read_only=True) for path in image.hides]
        return {
            "command": command,
            "environment": variables,
            "directory": spec.get("workingDir") or image.directory,
            "hostname": pod["spec"].get("hostname") or metadata["name"][:63],
            "mounts": [mount.to_json() for mount in [*worker.volumes.mounts(spec, variables), *hidden]],
            "stays": [str(path) for path in image.stays],
            "read_only": bool(security.get("readOnlyRootFilesystem")),
            "no_new_privileges": security.get("allowPrivilegeEscalation") is False,
            "message_path": spec["terminationMessagePath"],
            "memory": int(amount((spec["resources"].get("limits") or {}).get("memory", "0"))),
        }

    def _environment(self, image: Image) -> dict[str, str]:
        worker = self._worker
        fields = {
            "status.podIP": worker.sandbox.address, "status.podIPs": worker.sandbox.address,
            "status.hostIP": worker.node.address, "status.hostIPs": worker.node.address, "spec.nodeName": worker.node.name,
        }  # fmt: skip
        base = {
            **image.variables(), "HOSTNAME": worker.pod["metadata"]["name"],
            "KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443",
        }  # fmt: skip
        return environment.build(self._cluster.store, worker.pod, self._spec, fields, base)

    async def _start(self, settings: Json, log: ContainerLog) -> None:
        worker, view, name = self._worker, self._view, self._spec["name"]
        view.image_id, view.container_id = f"sha256:{uuid.uuid4().hex * 2}", f"containerd://{uuid.uuid4().hex * 2}"
        self._current = None
        try:
            self._current = await worker.sandbox.container(name, settings, worker.home, log)
        except StartError as error:
            text = f"failed to create containerd task: failed to create shim task: OCI runtime create failed: {error}"
            log.close()
            state = terminated(128, EPOCH, view.container_id, message=text)
            view.state = {"terminated": {**state["terminated"], "reason": "StartError"}}
            self._event("Warning", "Failed", f"Error: {text}")
            return
        view.state = {"running": {"startedAt": clock.timestamp()}}
        self._event("Normal", "Started", f"Container started: {name}")

    async def _ended(self) -> int:
        """Wait for the end of the run, note how it was, and return the exit code."""
        if self._current is None:
            return 128
        code = await self._current.wait()
        if not self._view.terminated:
            started = self._view.state.get("running", {}).get("startedAt", EPOCH)
            self._view.state = terminated(
                code, started, self._view.container_id, message=self._message(code), oom_killed=self._current.oom_killed
            )
        return code

    def _message(self, code: int) -> str:
        found: bytes = self._current.message()[-message_limit(self._worker.pod) :]
        fallback = self._spec["terminationMessagePolicy"] == "FallbackToLogsOnError"
        if not found and code != 0 and fallback and self.log is not None:
            found = self.log.read(Options(tail=FALLBACK_LINES))[-FALLBACK_BYTES:]
        return found.decode(errors="replace")
