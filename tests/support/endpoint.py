"""Served models that misbehave: one keeps its callers waiting, one loses requests and answers some with nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class HangingEndpoint:
    """An OpenAI-compatible completions endpoint on loopback.

    :param answers: requests it answers, each prompt with "red", before it falls silent; by default the two of a
        run that tries it.
    """

    def __init__(self, answers: int = 2) -> None:
        self.requests = 0
        self.silent = threading.Event()
        self._over = threading.Event()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"]))).get("prompt")
                endpoint.requests += 1
                if endpoint.requests > answers:
                    endpoint.silent.set()
                    endpoint._over.wait()
                    return
                prompts = asked if isinstance(asked, list) and not isinstance(asked[0], int) else [asked]
                choices = [{"index": index, "text": "red", "logprobs": None} for index in range(len(prompts))]
                body = json.dumps({"choices": choices}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1/completions"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class FlakyEndpoint:
    """An OpenAI-compatible chat endpoint on loopback that does not answer everything it is asked.

    :param answer: is given the last message and returns the document's ``choices``, or None to break off with status 503.
    """

    def __init__(self, answer: Callable[[str], Any]) -> None:
        endpoint = self
        self.asked: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                asked = request["messages"][-1]["content"]
                endpoint.asked.append(asked)
                choices = answer(asked)
                body = json.dumps({"choices": choices} if choices is not None else {"error": "overloaded"}).encode()
                self.send_response(200 if choices is not None else 503)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1/chat/completions"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def says(text: str | None) -> list[dict[str, Any]]:
    """Return the ``choices`` of a chat endpoint's document with one answer; None for no content."""
    return [{"index": 0, "message": {"role": "assistant", "content": text}}]
