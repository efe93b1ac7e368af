"""The server as tests use it: started in a thread of its own, asked and told things from outside.

Leaving the ``with`` block ends every pod's processes, every connection and the thread, and fails if one of the server's own
kubelets or controllers broke, so that a defect here cannot pass for a result there.
"""

from __future__ import annotations

import asyncio
import copy
import secrets
import shutil
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from aiohttp import web

from tests.kube import clock, kubeconfig, schema
from tests.kube.auth import EVERYTHING, Rule, User, Users
from tests.kube.cluster import Cluster, Settings
from tests.kube.faults import Faults
from tests.kube.http import LARGEST_BODY, Api, Requests
from tests.kube.kinds import PODS, Kind
from tests.kube.processes import Image
from tests.kube.scripted import Script
from tests.kube.selectors import by_labels
from tests.kube.store import Event

Json = dict[str, Any]
T = TypeVar("T")

START_S = STOP_S = 30.0


class KubeServer:
    """A Kubernetes API server with a cluster behind it: ``with KubeServer(images={...}) as server: ...``.

    :param images: what pods can run, by full name; see ``Image``.
    :param runs: run pods as processes; False: nothing is scheduled, tests write statuses themselves or use scripts.
    :param namespaces: that exist from the start. :param capacity: the node's further resources, such as GPUs.
    :param port: 0 takes a free one. :param bookmark_s: seconds between the bookmarks of a watch.
    :param certificate: files of a certificate that vouches for itself, and its key; None speaks plain HTTP.
    :param settings: fields of ``Settings``, such as ``kubelet_delay_s`` or ``reachable``.
    """

    def __init__(
        self,
        images: Mapping[str, Image] | None = None,
        *,
        runs: bool = True,
        namespaces: Sequence[str] = ("default",),
        capacity: Mapping[str, str] | None = None,
        port: int = 0,
        bookmark_s: float = 60.0,
        certificate: tuple[Path, Path] | None = None,
        **settings: Any,
    ) -> None:
        self.settings = Settings(runs=runs, **settings)
        self.images = dict(images or {})
        self.users, self.requests = Users(), Requests()
        self.users.add(User("admin", secrets.token_urlsafe(16), [EVERYTHING]))
        self._namespaces, self._capacity, self._port, self._bookmark_s = (
            tuple(namespaces),
            capacity or {},
            port,
            bookmark_s,
        )
        self._certificate = certificate
        self._written = threading.Condition()
        self._ready = threading.Event()
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        schema.preload()
        self._home = Path(tempfile.mkdtemp(prefix="kube-"))
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="kube", daemon=True)
        self._thread.start()
        if not self._ready.wait(START_S) or self._failure is not None:
            raise RuntimeError(f"the API server did not start: {self._failure}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(STOP_S)
        if self._thread.is_alive():
            raise RuntimeError(f"the API server did not stop within {STOP_S:g} s")
        shutil.rmtree(self._home, ignore_errors=True)
        if error is None:
            self._check()

    def _check(self) -> None:
        """Fail if one of the server's own tasks broke."""
        if self.cluster.problems:
            raise BaseExceptionGroup("the test server itself broke", self.cluster.problems)

    async def _serve(self) -> None:
        try:
            await self._start()
        except BaseException as error:
            self._failure = error
            raise
        finally:
            self._ready.set()
        await self._stop.wait()
        await self.faults.close()
        await self.cluster.stop()
        await self._runner.cleanup()

    async def _start(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self.cluster = Cluster(self._home, self.settings, self.images, self._capacity)
        self.faults = Faults(self.cluster, self.call)
        self.cluster.start(self._namespaces)
        self.cluster.store.listeners.append(self._wake)
        api = Api(self.cluster, self.users, self.faults, self.requests, self._bookmark_s)
        app = web.Application(client_max_size=LARGEST_BODY)
        app.router.add_route("*", "/{path:.*}", api.handle)
        app.on_response_prepare.append(_date)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, ssl_context=_tls(self._certificate))
        await site.start()
        self._port = self._runner.addresses[0][1]

    def _wake(self, event: Event) -> None:
        with self._written:
            self._written.notify_all()

    # -- for tests: connect

    @property
    def url(self) -> str:
        return f"{'https' if self._certificate else 'http'}://127.0.0.1:{self._port}"

    def kubeconfig(self, path: Path, user: str = "admin", namespace: str = "default") -> Path:
        """Write a kubeconfig file for a user and return its path."""
        authority = self._certificate[0] if self._certificate else None
        return kubeconfig.write(path, self.url, self.users[user], namespace, authority)

    def user(self, name: str, rules: Sequence[Rule] = ()) -> User:
        """Add somebody, or give somebody other rights."""
        known = [user for user in self.users if user.name == name]
        token = known[0].token if known else secrets.token_urlsafe(16)
        return self.users.add(User(name, token, list(rules)))

    # -- for tests: look

    def all(self, kind: Kind = PODS, namespace: str = "") -> list[Json]:
        """Return all objects of a kind, of one namespace or of all."""
        return self.call(lambda: copy.deepcopy(self.cluster.store.all(kind, namespace)))

    def pods(self, namespace: str = "") -> list[Json]:
        """Return all pods."""
        return self.all(PODS, namespace)

    def pod(self, name: str, namespace: str = "default") -> Json | None:
        """Return a pod, or None."""
        return self.call(lambda: copy.deepcopy(self.cluster.store.find(PODS, (namespace, name))))

    def phase(self, name: str, namespace: str = "default") -> str | None:
        """Return a pod's phase, or None when there is no such pod."""
        pod = self.pod(name, namespace)
        return None if pod is None else pod["status"].get("phase")

    def wait(self, condition: Callable[[], T], timeout: float = 10.0) -> T:
        """Return the first true value of ``condition``, which is asked again at every write and each tenth of a second.

        :raises TimeoutError: it never was, with what the pods looked like.
        """
        deadline = time.monotonic() + timeout
        while not (value := condition()):
            self._check()
            if time.monotonic() > deadline:
                pods = {pod["metadata"]["name"]: pod["status"] for pod in self.pods()}
                raise TimeoutError(f"not within {timeout:g} s; pods: {pods}")
            with self._written:
                self._written.wait(0.1)
        return value

    def wait_for_phase(self, name: str, *phases: str, namespace: str = "default", timeout: float = 10.0) -> Json:
        """Wait until a pod is in one of these phases, and return it."""
        self.wait(lambda: self.phase(name, namespace) in phases, timeout)
        found = self.pod(name, namespace)
        assert found is not None
        return found

    def wait_until_gone(self, name: str, namespace: str = "default", timeout: float = 10.0) -> None:
        """Wait until there is no such pod."""
        self.wait(lambda: self.pod(name, namespace) is None, timeout)

    # -- for tests: act

    def create(self, found: Json, kind: Kind = PODS) -> Json:
        """Create an object as the cluster's administrator.

        :raises ApiError: as the API would refuse it.
        """
        namespace = (found.get("metadata") or {}).get("namespace", "default" if kind.namespaced else "")

        def create() -> Json:
            registry = self.cluster.registry
            return copy.deepcopy(registry.create(kind, registry.decode(kind, found, namespace, strict=True)[0]))

        return self.call(create)

    def script(self, script: Script, labels: str = "") -> None:
        """Let pods that match a label selector, from now on, only pretend to run; a later script goes before an earlier."""
        self.call(lambda: self.cluster.scripts.append((by_labels(labels), script)))

    def finish(
        self,
        name: str,
        namespace: str = "default",
        *,
        exit_code: int = 0,
        log: bytes = b"",
        message: bytes | None = None,
    ) -> None:
        """Let the main container of a scripted pod end by itself, with the last it has to say.

        :param log: what it writes before. :param message: its termination message; None: as it was.
        """
        self._main(name, namespace, lambda running: running.finish(exit_code, log, message))

    def say(self, name: str, namespace: str = "default", *, log: bytes = b"", message: bytes | None = None) -> None:
        """Let the main container of a scripted pod say something and go on."""
        self._main(name, namespace, lambda running: running.say(log, message))

    def _main(self, name: str, namespace: str, do: Callable[[Any], None]) -> None:
        def act() -> None:
            pod = self.cluster.store.get(PODS, (namespace, name))
            runner = self.cluster.workers[pod["metadata"]["uid"]].runners[pod["spec"]["containers"][0]["name"]]
            do(runner.current)

        self.call(act)

    def register(self, kind: Kind) -> None:
        """Serve a further kind, such as a custom resource."""
        self.call(lambda: self.cluster.registry.register(kind))

    def call(self, function: Callable[[], T]) -> T:
        """Run something in the server's loop and return what it returns."""

        async def run() -> T:
            return function()

        return self.run(run())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the server's loop and return what it returns."""
        if threading.current_thread() is self._thread:
            raise RuntimeError("already in the server's thread")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


def _tls(certificate: tuple[Path, Path] | None) -> ssl.SSLContext | None:
    if certificate is None:
        return None
    found = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    found.load_cert_chain(*certificate)
    return found


async def _date(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["Date"] = clock.http_date()
