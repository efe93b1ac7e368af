"""Shows the run over HTTP while it lasts, to those who know its token, and lets them stop it.

The run holds only the token's SHA-256, so whoever reads the request, or the model's generated code that runs beside
it, learns nothing that opens it. Every answer carries a marker header: a proxy in between has its own 401 and 404.
Built on ``socketserver`` and not ``http.server.HTTPServer``, whose start asks the DNS for this machine's name, for up
to a minute.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import socketserver
import ssl
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from airflow_provider_lmeval.driver.interrupt import Interrupt
from airflow_provider_lmeval.driver.status import Board
from airflow_provider_lmeval.wire import DRIVER_HEADER, PROTOCOL, TOKEN_HEADER, RunDir, dump, write_atomic

LONGEST_BODY = 64 * 1024
TAIL = 64 * 1024
"""Bytes of each log in ``/v1/logs``; ``/v1/logs/stdout`` and ``/v1/logs/stderr`` give all that is kept."""
SOCKET_TIMEOUT_S = 10.0


EVERYWHERE = "*"
"""The host that means all interfaces, with IPv4 and IPv6 as far as there are."""


class StatusServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Serves one run in the background; the real address is written to ``scratch/server.json``.

    :param settings: ``Request.status_server``. :param run: its files. :param board: its status.
    :param interrupt: told when somebody asks to cancel.
    :raises OSError: the address cannot be had, or a file of ``tls`` is missing or wrong.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, settings: dict[str, Any], run: RunDir, board: Board, interrupt: Interrupt) -> None:
        host = settings.get("host") or "127.0.0.1"
        everywhere = host == EVERYWHERE
        version6 = socket.has_dualstack_ipv6() if everywhere else ":" in host
        self.address_family = socket.AF_INET6 if version6 else socket.AF_INET
        super().__init__(("" if everywhere else host, settings.get("port") or 0), Handler)
        if settings.get("tls"):
            self._encrypt(settings["tls"])
        self.run, self.board, self.interrupt = run, board, interrupt
        self._token_sha256 = settings["token_sha256"].lower().encode()
        address = {"host": host, "port": self.server_address[1]}
        write_atomic(run.scratch / "server.json", dump(address))
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 3600}, daemon=True).start()

    def server_bind(self) -> None:
        """Bind, on all interfaces for both versions of IP."""
        if self.address_family is socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def _encrypt(self, tls: dict[str, Any]) -> None:
        """Speak HTTPS; with ``client_ca`` only to those who show a certificate that it has signed."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls["certificate"], tls["key"])
        if authority := tls.get("client_ca"):
            context.load_verify_locations(authority)
            context.verify_mode = ssl.CERT_REQUIRED
        # the handshake is left to the thread that answers: one silent client must not keep the others out
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def knows(self, token: str) -> bool:
        """Tell whether this is the run's token, in a time that does not depend on how much of it is right."""
        digest = hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
        return hmac.compare_digest(digest.encode(), self._token_sha256)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a client that hung up."""


class Handler(BaseHTTPRequestHandler):
    """Answers one request; errors are JSON too: ``{"error": text}``."""

    server: StatusServer
    timeout = SOCKET_TIMEOUT_S
    wbufsize = 64 * 1024  # headers and body leave in one write: two small ones cost a delayed acknowledgement
    disable_nagle_algorithm = True
    server_version = "lmeval-driver"
    sys_version = ""
    default_request_version = "HTTP/1.0"  # not 0.9, whose answers have no headers and so no mark

    def do_GET(self) -> None:
        """Answer with the status, the result or a log."""
        run = self.server.run
        if not self._allowed():
            return
        if self.path == "/v1/status":
            self._answer(HTTPStatus.OK, self.server.board.document)
        elif self.path == "/v1/results":
            self._file(run.result, "application/json", "there is no result yet")
        elif self.path == "/v1/logs":
            tails = {name: _tail(run, name) for name in ("stdout", "stderr")}
            self._answer(HTTPStatus.OK, json.dumps(tails).encode())
        elif self.path in ("/v1/logs/stdout", "/v1/logs/stderr"):
            name = self.path.rpartition("/")[2]
            self._file(run.logs / f"{name}.log", "text/plain; charset=utf-8", "there is no log yet")
        else:
            self._unknown()

    def do_POST(self) -> None:
        """Cancel the run."""
        if not self._allowed() or not self._drained():
            return
        if self.path == "/v1/cancel":
            self.server.interrupt.request("cancelled by a request over HTTP")
            self._answer(HTTPStatus.ACCEPTED, dump({"protocol": PROTOCOL, "cancelling": True}))
        else:
            self._unknown()

    def _allowed(self) -> bool:
        if self.server.knows(self.headers.get(TOKEN_HEADER, "")):
            return True
        self.send_error(HTTPStatus.UNAUTHORIZED, f"the header {TOKEN_HEADER} does not hold this run's token")
        return False

    def _drained(self) -> bool:
        """Read the body, which has no meaning, so that the client can finish sending it."""
        length = self.headers.get("Content-Length", "0")
        if length.isdecimal() and int(length) <= LONGEST_BODY:
            self.rfile.read(int(length))
            return True
        self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body may have {LONGEST_BODY} bytes")
        return False

    def _unknown(self) -> None:
        known = "GET /v1/status, /v1/results, /v1/logs, /v1/logs/stdout, /v1/logs/stderr and POST /v1/cancel"
        self.send_error(HTTPStatus.NOT_FOUND, f"known are {known}")

    def _file(self, path: Path, content_type: str, missing: str) -> None:
        try:
            self._answer(HTTPStatus.OK, path.read_bytes(), content_type)
        except FileNotFoundError:
            self.send_error(HTTPStatus.NOT_FOUND, missing)

    def _answer(self, code: int, body: bytes, content_type: str = "application/json") -> None:
        self.send_response(code)
        self.send_header(DRIVER_HEADER, str(PROTOCOL))
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """Answer with an error of our own or of ``http.server`` (bad syntax, unknown method)."""
        self._answer(code, dump({"error": message or HTTPStatus(code).phrase}))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - inherited name
        """Log nothing: a poll every ten seconds would bury the evaluation's own lines."""


def _tail(run: RunDir, name: str) -> str:
    try:
        with open(run.logs / f"{name}.log", "rb") as stream:
            stream.seek(max(0, stream.seek(0, 2) - TAIL))
            return stream.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
