"""A pod's containers as processes of this machine; ``sandbox.py`` is what runs on their side.

What a real container runtime isolates and this one does not: CPU is unlimited, memory is looked at a few times a second, the
root file system is this machine's (read-only but for ``/tmp``), all containers of a pod run under the user id of its first
container, files belong to whoever runs the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from json import dumps
from pathlib import Path
from typing import Any

import psutil

from tests.kube.logs import ContainerLog
from tests.kube.volumes import Mount

Json = dict[str, Any]

_SANDBOX = Path(__file__).with_name("sandbox.py")
_PYTHON = [sys.executable, "-I", "-S", str(_SANDBOX)]
MEMORY_CHECK_S = 0.2
NO_NAMESPACES = (
    "failed to create pod sandbox: this machine does not let users make namespaces. Allow it (sysctl "
    "kernel.apparmor_restrict_unprivileged_userns=0; in Docker: --security-opt seccomp=unconfined), or use scripted pods"
)
_OURS = tuple(Path(one).resolve() for one in (Path(__file__).parents[2], sys.prefix, sys.base_prefix))
_SYSTEM = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Image:
    """What stands for a container image: parts of this machine.

    :param path: directories searched for commands before the system's, such as a virtual environment's ``bin``.
    :param environment: further variables. Nothing else is inherited from this process.
    :param entrypoint: run where a container has no command; ``arguments`` where it has no args.
    :param user: numeric user, for containers without ``runAsUser``.
    :param hides: directories that are empty in the container: what the image does not have.
    :param stays: directories that are there although a volume is mounted above them. An image has nothing below ``/tmp``,
        this machine may have the checkout and the interpreter there.
    """

    path: tuple[Path, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    entrypoint: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    user: int = 1000
    directory: str = "/"
    hides: tuple[Path, ...] = ()
    stays: tuple[Path, ...] = _OURS

    def variables(self) -> dict[str, str]:
        found = ":".join([*map(str, self.path), _SYSTEM])
        return {"PATH": found, "HOME": "/" if self.user else "/root", **self.environment}


class StartError(Exception):
    """A container could not be started; ends it with 128 and reason StartError."""


class Process:
    """A child whose end can be awaited in the loop, without the thread that asyncio's own watcher would start."""

    def __init__(self, arguments: list[str], fds: tuple[int, ...], **options: Any) -> None:
        self._popen = subprocess.Popen(arguments, pass_fds=fds, stdin=subprocess.DEVNULL, **options)
        loop = asyncio.get_running_loop()
        self.pid = self._popen.pid
        self.exited: asyncio.Future[int] = loop.create_future()
        self._pidfd = os.pidfd_open(self.pid)
        loop.add_reader(self._pidfd, self._ended)

    def _ended(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self.exited.set_result(self._popen.wait())

    def signal(self, number: int) -> None:
        if not self.exited.done():
            self._popen.send_signal(number)


class ProcessSandbox:
    """The network and the user of one pod.

    :param address: the pod's IP. :param user: user and group id that processes see.
    :param reachable: ports of this machine's loopback that exist in the pod's too.
    """

    def __init__(self, address: str, user: tuple[int, int], reachable: frozenset[int]) -> None:
        self.address = address
        self._user, self._reachable = user, reachable
        self._servers: list[asyncio.Server] = []
        self._connections: set[asyncio.Task[None]] = set()
        self._control: socket.socket | None = None
        self._pause: Process | None = None

    async def start(self) -> None:
        self._control, theirs = socket.socketpair()
        with theirs:
            arguments = ["pause", str(theirs.fileno()), self.address, *map(str, self._user)]
            self._pause = Process([*_PYTHON, *arguments], (theirs.fileno(),))
        self._control.setblocking(False)
        ready = await asyncio.get_running_loop().sock_recv(self._control, 5)
        self._control.settimeout(10)
        if ready != b"ready":
            raise StartError(NO_NAMESPACES)
        for port in self._reachable:
            await self._open(port)

    def new_socket(self) -> socket.socket:
        """Return a socket that lives in the pod's network.

        :raises OSError: the sandbox is gone.
        """
        if self._control is None:
            raise OSError("the sandbox is gone")
        self._control.send(b".")
        _, fds, _, _ = socket.recv_fds(self._control, 1, 1)
        return socket.socket(fileno=fds[0])

    async def _open(self, port: int) -> None:
        listener = self.new_socket()
        listener.bind(("127.0.0.1", port))

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.get_running_loop().create_task(_relay(port, reader, writer))
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)

        self._servers.append(await asyncio.start_server(accept, sock=listener))

    async def stop(self) -> None:
        """Take the network away."""
        if self._control is not None:
            for server in self._servers:
                server.close()
            for task in list(self._connections):
                task.cancel()
            self._control.close()
            self._control = None
        await asyncio.gather(*self._connections, return_exceptions=True)
        if self._pause is not None:  # also the second time: whoever called first may have been interrupted
            await asyncio.shield(self._pause.exited)

    async def container(self, name: str, settings: Json, home: Path, log: ContainerLog) -> ProcessContainer:
        """Start a container.

        :raises StartError: its command cannot be executed.
        """
        started = ProcessContainer(log, home / f"{name}.message")
        assert self._pause is not None
        await started.start({**settings, "pause": self._pause.pid}, home, name)
        return started


async def _relay(port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Connect a connection inside a pod with this machine's own port."""
    try:
        outer_reader, outer_writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        writer.close()
        return
    try:
        await asyncio.gather(_copy(reader, outer_writer), _copy(outer_reader, writer), return_exceptions=True)
    finally:
        for one in (writer, outer_writer):
            one.close()
            with contextlib.suppress(OSError):
                await one.wait_closed()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(64 * 1024):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


class ProcessContainer:
    """One run of one container."""

    def __init__(self, log: ContainerLog, message: Path) -> None:
        self.log, self.oom_killed = log, False
        self._message = message
        self._open_pipes: set[int] = set()
        self._drained = asyncio.Event()
        self._guard: asyncio.Task[None] | None = None

    async def start(self, settings: Json, home: Path, name: str) -> None:
        self._message.write_bytes(b"")
        self._message.chmod(0o666)
        root, file = home / f"{name}.root", home / f"{name}.json"
        root.mkdir(exist_ok=True)
        file.touch(mode=0o600)
        mounts = [*settings["mounts"], Mount(self._message, settings["message_path"]).to_json()]
        file.write_text(dumps({**settings, "mounts": mounts, "root": str(root)}))
        pipes = [os.pipe() for _ in range(3)]
        (report, report_in), (out, out_in), (err, err_in) = pipes
        try:
            self._process = Process(
                [*_PYTHON, "run", str(file), str(report_in)], (report_in,), stdout=out_in, stderr=err_in
            )
        finally:
            for fd in (report_in, out_in, err_in):
                os.close(fd)
        self._attach("stdout", out)
        self._attach("stderr", err)
        if problem := await _read_all(report):
            await self.wait()
            raise StartError(problem)
        if limit := settings.get("memory"):
            self._guard = asyncio.get_running_loop().create_task(self._limit(limit))

    def _attach(self, stream: str, fd: int) -> None:
        loop = asyncio.get_running_loop()
        self._open_pipes.add(fd)

        def ready() -> None:
            data = os.read(fd, 64 * 1024)
            self.log.feed(stream, data)
            if not data:
                loop.remove_reader(fd)
                os.close(fd)
                self._open_pipes.discard(fd)
                if not self._open_pipes:
                    self._drained.set()

        loop.add_reader(fd, ready)

    async def wait(self) -> int:
        """Return the exit code, once everything that was written has been read."""
        code = await asyncio.shield(self._process.exited)
        await self._drained.wait()
        if self._guard is not None:
            self._guard.cancel()
        self.log.close()
        return 128 - code if code < 0 else code

    def terminate(self) -> None:
        self._process.signal(signal.SIGTERM)

    def kill(self) -> None:
        self._process.signal(signal.SIGKILL)

    def processes(self) -> list[psutil.Process]:
        """Return what runs in the container, its main process first."""
        (main,) = psutil.Process(self._process.pid).children()
        return [main, *main.children(recursive=True)]

    async def _limit(self, limit: int) -> None:
        """Kill the whole container when it needs more memory than it may, as the kubelet has cgroup v2 do it."""
        while True:
            await asyncio.sleep(MEMORY_CHECK_S)
            if self._memory() > limit:
                self.oom_killed = True
                self.kill()

    def _memory(self) -> int:
        """Return the bytes that are the container's own, not shared with a file or another process."""
        total = 0
        with contextlib.suppress(psutil.NoSuchProcess, ValueError):
            for process in self.processes():
                used = process.memory_info()
                total += used.rss - used.shared
        return total

    def kill_child(self) -> None:
        """Kill the largest process but the main one.

        :raises ValueError: there is no other.
        """
        max(self.processes()[1:], key=lambda one: one.memory_info().rss).kill()

    def message(self) -> bytes:
        """Return what the container left at its termination message path."""
        return self._message.read_bytes()


async def _read_all(fd: int) -> str:
    """Read a pipe to its end; it is closed by the exec that succeeds."""
    loop, found, done = asyncio.get_running_loop(), [], asyncio.Event()

    def ready() -> None:
        data = os.read(fd, 4096)
        found.append(data)
        if not data:
            done.set()

    loop.add_reader(fd, ready)
    try:
        await done.wait()
    finally:
        loop.remove_reader(fd)
        os.close(fd)
    return b"".join(found).decode(errors="replace")
