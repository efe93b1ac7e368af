"""Containers that only pretend: a script says how long they run and how they end. For tests about watching many pods."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.kube.logs import ContainerLog

Json = dict[str, Any]
Answer = tuple[int, Mapping[str, str], bytes]
"""Status, headers, body."""


@dataclass(frozen=True)
class Script:
    """What every container of a pod does.

    :param runs_s: seconds until it ends by itself; None: never.
    :param exit_code: when it ends by itself. :param log: written at the start. :param message: its termination message.
    :param stops: whether it ends (143) on SIGTERM; otherwise only SIGKILL ends it (137).
    :param serves: answers requests that come through the proxy while it runs: method, path, headers → answer.
    :param tls: it answers what comes through ``https:`` and nothing else.
    """

    runs_s: float | None = None
    exit_code: int = 0
    log: bytes = b""
    message: bytes = b""
    stops: bool = True
    serves: Callable[[str, str, Mapping[str, str]], Answer] | None = None
    tls: bool = False


class ScriptedSandbox:
    """The same face as ``ProcessSandbox``, with nothing behind it."""

    def __init__(self, address: str, script: Script) -> None:
        self.address, self.script = address, script
        self.up = False

    async def start(self) -> None:
        self.up = True

    async def stop(self) -> None:
        self.up = False

    def new_socket(self) -> socket.socket:
        raise ConnectionRefusedError("nothing listens in a scripted pod")

    async def container(self, name: str, settings: Json, home: Path, log: ContainerLog) -> ScriptedContainer:
        return ScriptedContainer(self.script, log)


class ScriptedContainer:
    """The same face as ``ProcessContainer``."""

    def __init__(self, script: Script, log: ContainerLog) -> None:
        self.log, self.oom_killed = log, False
        self._script, self._message = script, script.message
        loop = asyncio.get_running_loop()
        self._exited: asyncio.Future[int] = loop.create_future()
        log.feed("stdout", script.log)
        if script.runs_s is not None:
            loop.call_later(script.runs_s, self._end, script.exit_code)

    def _end(self, code: int) -> None:
        if not self._exited.done():
            self._exited.set_result(code)

    def finish(self, exit_code: int, log: bytes, message: bytes | None) -> None:
        """End by itself now, having said this; ``message`` None leaves the termination message as it is."""
        self.say(log, message)
        self._end(exit_code)

    def say(self, log: bytes, message: bytes | None) -> None:
        """Write to the log, and a new termination message unless it is None."""
        self.log.feed("stdout", log)
        self._message = self._message if message is None else message

    async def wait(self) -> int:
        code = await asyncio.shield(self._exited)
        self.log.close()
        return code

    def terminate(self) -> None:
        if self._script.stops:
            self._end(143)

    def kill(self) -> None:
        self._end(137)

    def kill_child(self) -> None:
        self.kill()

    def message(self) -> bytes:
        return self._message
