"""A web server on loopback made of one function: the base of the small registries, stores and models that tests talk to."""

from __future__ import annotations

import json
import ssl
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Asked:
    """A request; ``target`` is path and query as they came, ``query`` has the first value of each parameter."""

    method: str
    target: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """An answer."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, data: Any, status: int = 200, **headers: str) -> Answer:
        return cls(status, json.dumps(data).encode(), {"Content-Type": "application/json"} | headers)


class Loopback:
    """Serves ``answer`` at ``http://127.0.0.1:PORT``, one request after the other, and remembers what was asked.

    ``troubles`` are answered first, one per request, before anything else happens: a server's bad moments.

    :param certificate: files with certificate and key, to serve ``https://`` instead.
    """

    def __init__(self, answer: Callable[[Asked], Answer], certificate: tuple[Path, Path] | None = None) -> None:
        self.asked: list[Asked] = []
        self.troubles: list[Answer] = []
        self._answer = answer
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self.host = f"127.0.0.1:{self._server.server_port}"
        self.url = f"{'https' if certificate else 'http'}://{self.host}"
        if certificate:
            self._server.speak_tls(*certificate)

    def respond(self, asked: Asked) -> Answer:
        with self._lock:
            self.asked.append(asked)
            return self.troubles.pop(0) if self.troubles else self._answer(asked)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def speak_tls(self, certificate: Path, key: Path) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        # Hands are shaken where a request is read: a caller that breaks off is only that one's trouble.
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of callers that hang up, because they do not trust us or have waited too long."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def _handler(owner: Loopback) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = owner.respond(Asked(self.command, self.path, parts.path, query, headers, self._body()))
            self.send_response(answer.status)
            for name, value in ({"Content-Length": str(len(answer.body))} | answer.headers).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)

        def _body(self) -> bytes:
            if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        do_GET = do_HEAD = do_POST = do_PUT = handle_any  # noqa: N815 - http.server looks for these names

        def log_message(self, *_: Any) -> None:
            pass

    return Handler
