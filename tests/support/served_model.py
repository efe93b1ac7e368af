"""An OpenAI-compatible server of the tiny model, as a program: real completions, echoed prompts with log-probabilities.

The beginning of the path chooses how it behaves, so that one process serves all tests: ``/v1/completions`` is as it should
be, ``/no-echo/v1/completions`` ignores ``echo``, and so on; :data:`KINKS` has them all. It says its ports on stdout as JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import ssl
import sys
import threading
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

NAME = "tiny"
KEY = "secret-of-the-server"
Data = dict[str, Any]


class RefusedError(Exception):
    """An answer other than 200: status, message, headers."""


class Model:
    """Greedy completions of one prompt of token ids at a time."""

    def __init__(self, place: str) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        torch.set_num_threads(1)
        self.torch = torch
        self.tokenizer = AutoTokenizer.from_pretrained(place)
        self.model = AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32).eval()
        self.longest = self.model.config.n_positions
        self._alone = threading.Lock()

    def ids(self, prompt: str | list[int]) -> list[int]:
        return self.tokenizer(prompt)["input_ids"] if isinstance(prompt, str) else prompt

    def text(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids)

    def logprobs(self, ids: list[int]) -> Any:
        with self._alone, self.torch.no_grad():
            logits = self.model(self.torch.tensor([ids])).logits[0]
            return self.torch.nn.functional.log_softmax(logits, dim=-1)

    def generate(self, ids: list[int], most: int, stop: list[str]) -> list[int]:
        made: list[int] = []
        while len(made) < most and not any(each and each in self.text(made) for each in stop):
            made.append(int(self.logprobs([*ids, *made][-self.longest :])[-1].argmax()))
            if made[-1] == self.tokenizer.eos_token_id:
                break
        return made

    def scored(self, ids: list[int], made: list[int]) -> Data:
        """Return ``logprobs`` as the completions API has them: nothing for the first token."""
        rows = self.logprobs(ids[: self.longest])
        if made and len(ids) > self.longest:
            rows = self.torch.cat([rows, self.logprobs(ids[-self.longest :])[-1:]])
        values: list[float | None] = [None]
        top: list[Data | None] = [None]
        for row, token in zip(rows, [*ids[1:], *made[:1]], strict=False):
            best = int(row.argmax())
            values.append(float(row[token]))
            top.append({self.text([best]): float(row[best]), self.text([token]): float(row[token])})
        return {"tokens": [self.text([i]) for i in [*ids, *made[:1]]], "token_logprobs": values, "top_logprobs": top}


class Service:
    """Answers requests with the model, or as its kink wants it."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.over = threading.Event()
        self._times: Counter[str] = Counter()

    def models(self) -> Data:
        return {"object": "list", "data": [{"id": NAME, "object": "model", "max_model_len": self.model.longest}]}

    def answer(self, kink: str, path: str, body: Data, headers: Any) -> Data:
        self._times[kink] += 1
        if before := BEFORE.get(kink):
            before(self, self._times[kink], headers)
        if body.get("model") != NAME:
            raise RefusedError(404, f"The model `{body.get('model')}` does not exist.", {})
        found = self._chat(body) if path.endswith("/chat/completions") else self._completions(body)
        if after := AFTER.get(kink):
            after(found, self._times[kink])
        return found

    def _completions(self, body: Data) -> Data:
        prompt = body["prompt"]
        prompts = prompt if isinstance(prompt, list) and not isinstance(prompt[0], int) else [prompt]
        every = [self.model.ids(each) for each in prompts]
        choices = [{"index": index, **self._completed(ids, body)} for index, ids in enumerate(every)]
        return {"object": "text_completion", "choices": choices, "usage": {"prompt_tokens": sum(map(len, every))}}

    def _completed(self, ids: list[int], body: Data) -> Data:
        made = self.model.generate(ids, body.get("max_tokens", 16), _stops(body))
        text = _cut(self.model.tokenizer.decode(made, skip_special_tokens=True), _stops(body))
        echoed = bool(body.get("echo"))
        scored = self.model.scored(ids, made) if body.get("logprobs") else None
        if scored and not echoed:
            scored = {name: values[-len(made[:1]) :] for name, values in scored.items()}
        return {"text": (self.model.text(ids) if echoed else "") + text, "logprobs": scored, "finish_reason": "stop"}

    def _chat(self, body: Data) -> Data:
        ids = self.model.tokenizer.apply_chat_template(body["messages"], add_generation_prompt=True)
        ids = ids["input_ids"] if not isinstance(ids, list) else ids
        text = self._completed(ids, body)["text"]
        return {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]}


def _stops(body: Data) -> list[str]:
    stop = body.get("stop") or []
    return [stop] if isinstance(stop, str) else stop


def _cut(text: str, stops: list[str]) -> str:
    return min((text.split(stop, maxsplit=1)[0] for stop in stops if stop), key=len, default=text)


def _logprobs(found: Data) -> list[Data]:
    return [choice["logprobs"] for choice in found["choices"] if choice.get("logprobs")]


def _ignore_echo(found: Data, _: int) -> None:
    for logprobs in _logprobs(found):
        for values in logprobs.values():
            del values[:-1]


def _ignore_echo_later(found: Data, times: int) -> None:
    if times > 4:
        _ignore_echo(found, times)


def _forget_logprobs(found: Data, _: int) -> None:
    for choice in found["choices"]:
        choice["logprobs"] = None


def _forget_numbers(found: Data, _: int) -> None:
    for logprobs in _logprobs(found):
        logprobs["token_logprobs"][:-1] = [None] * (len(logprobs["token_logprobs"]) - 1)


def _forget_top(found: Data, _: int) -> None:
    for logprobs in _logprobs(found):
        logprobs["top_logprobs"] = None


def _be_certain(found: Data, _: int) -> None:
    for logprobs in _logprobs(found):
        logprobs["token_logprobs"] = [0.0] * len(logprobs["token_logprobs"])


def _count_otherwise(found: Data, _: int) -> None:
    found["usage"]["prompt_tokens"] *= 2
    for logprobs in _logprobs(found):
        for values in logprobs.values():
            values.insert(1, values[1])


def _read_otherwise(found: Data, _: int) -> None:
    for logprobs in _logprobs(found):
        logprobs["tokens"] = [token.swapcase()[::-1] for token in logprobs["tokens"]]


AFTER: dict[str, Callable[[Data, int], None]] = {
    "no-echo": _ignore_echo,
    "no-echo-later": _ignore_echo_later,
    "no-logprobs": _forget_logprobs,
    "no-numbers": _forget_numbers,
    "no-top": _forget_top,
    "certain": _be_certain,
    "other-count": _count_otherwise,
    "other-words": _read_otherwise,
}
"""What is done to a good answer."""


def _refuse(status: int, words: str, **headers: str) -> Callable[[Service, int, Any], None]:
    def refuse(_service: Service, _times: int, _headers: Any) -> None:
        raise RefusedError(status, words, {name.replace("_", "-"): value for name, value in headers.items()})

    return refuse


def _want_key(_service: Service, _times: int, headers: Any) -> None:
    if not headers.get("Authorization", "").removeprefix("Bearer ").strip():
        raise RefusedError(401, "no key was given", {})
    if headers["Authorization"] != f"Bearer {KEY}":
        raise RefusedError(403, "this key may not use the model", {})


def _limit_rate(_service: Service, times: int, _headers: Any) -> None:
    if times % 2:
        raise RefusedError(429, "slow down", {"Retry-After": "0.01"})


def _hang(service: Service, _times: int, _headers: Any) -> None:
    service.over.wait()
    raise RefusedError(503, "too late", {})


def _hang_later(service: Service, times: int, _headers: Any) -> None:
    if times > 4:
        _hang(service, times, _headers)


BEFORE: dict[str, Callable[[Service, int, Any], None]] = {
    "key": _want_key,
    "limits": _limit_rate,
    "limited": _refuse(429, "quota used up", Retry_After="0.01"),
    "broken": _refuse(500, "it broke"),
    "no-room": _refuse(400, "echo with logprobs is not supported"),
    "moved": _refuse(308, "", Location="https://elsewhere/v1/completions"),
    "hangs": _hang,
    "hangs-later": _hang_later,
}
"""What comes instead of an answer."""
KINKS = frozenset({"", *AFTER, *BEFORE})


def handler(service: Service) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            found = self.path.endswith("/v1/models") and "broken" not in self.path
            self._say(200, service.models()) if found else self._say(404, {"error": "no such page"})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            kink, found, path = self.path.strip("/").rpartition("v1/")
            try:
                if not found or kink.strip("/") not in KINKS or path not in ("completions", "chat/completions"):
                    raise RefusedError(404, "no such page", {})
                self._say(200, service.answer(kink.strip("/"), self.path, body, self.headers))
            except RefusedError as refused:
                status, words, headers = refused.args
                self._say(status, {"error": {"message": words}}, headers)

        def _say(self, status: int, document: Data, headers: dict[str, str] | None = None) -> None:
            content = json.dumps(document).encode()
            with contextlib.suppress(ConnectionError):  # whoever asked may have given up
                self._write(status, content, headers or {})

        def _write(self, status: int, content: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: Any) -> None:
            pass

    return Handler


def serve(place: str, certificates: str) -> None:
    """Serve until stdin ends, on one port in the clear and on one with TLS."""
    service = Service(Model(place))
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), handler(service)) for _ in range(2)]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Path(certificates) / "tls.crt", Path(certificates) / "tls.key")
    servers[1].socket = context.wrap_socket(servers[1].socket, server_side=True)
    for server in servers:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    print(json.dumps([server.server_port for server in servers]), flush=True)
    sys.stdin.read()
    os._exit(0)  # taking torch apart takes seconds


if __name__ == "__main__":
    serve(*sys.argv[1:])
