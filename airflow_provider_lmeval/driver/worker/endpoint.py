"""Asks a served model one small question before thousands: a wrong address fails here, in a second and by name.

lm-eval retries every failure, 4xx included, and with concurrent requests its last words are "Session is closed". So
the completion URL gets one real request for a single token; what is not a completion server only has to accept a
connection.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import os
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

from airflow_provider_lmeval.errors import RunFailedError
from airflow_provider_lmeval.wire import Cause

TIMEOUT_S = 20.0
OPENAI = "https://api.openai.com/v1"
DEFAULT_URLS = {
    "openai-completions": f"{OPENAI}/completions",
    "openai-chat-completions": f"{OPENAI}/chat/completions",
}
"""Where lm-eval sends requests if ``base_url`` is not given (``lm_eval/models/openai_completions.py``)."""
COMPLETION_SERVERS = frozenset({"local-completions", "local-chat-completions", *DEFAULT_URLS})
"""Model types that post OpenAI's completion requests to ``base_url`` as it is."""
_REMEDIES = {
    401: "The server wants a key: set OPENAI_API_KEY in env, or header in the model's arguments.",
    403: "The key is not allowed to use this model.",
    404: "base_url needs the full path (…/v1/completions or …/v1/chat/completions), and model a name the server knows.",
}


def endpoint_url(model: str, model_args: Mapping[str, Any]) -> str | None:
    """Return where the model is served, or None if it is loaded here.

    :param model: lm-eval's model type.
    """
    url = model_args.get("base_url") or DEFAULT_URLS.get(model)
    return str(url) if url else None


def check_endpoint(model: str, model_args: Mapping[str, Any], *, online: bool) -> None:
    """Find out whether the served model answers.

    :param online: addresses on the internet are allowed.
    :raises RunFailedError: ``endpoint`` with what to do about it, ``online_denied``, or ``bad_spec`` for no URL at all.
    """
    if (text := endpoint_url(model, model_args)) is None:
        return
    url = _parsed(text)
    if not online and _is_public(url):
        raise RunFailedError(
            f"{url.hostname} is on the internet, which is not allowed for this run: set `allow_online: true`.",
            Cause.ONLINE_DENIED,
        )
    if model in COMPLETION_SERVERS:
        _ask(text, model_args, chat="chat" in model)
    else:
        _connect(url)


def _parsed(text: str) -> SplitResult:
    try:
        url = urlsplit(text)
        if url.scheme in ("http", "https") and url.hostname and url.port != 0:
            return url
    except ValueError:
        pass
    raise RunFailedError(f"base_url: {text!r} is no http(s) URL", Cause.BAD_SPEC)


def _ask(url: str, model_args: Mapping[str, Any], *, chat: bool) -> None:
    asked = {"messages": [{"role": "user", "content": "Hi"}]} if chat else {"prompt": "Hi"}
    body = {"model": model_args.get("model") or model_args.get("pretrained"), "max_tokens": 1, **asked}
    request = urllib.request.Request(url, json.dumps(body).encode(), _headers(model_args))  # noqa: S310 - http(s) only
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S, context=_tls(model_args)):  # noqa: S310
            return
    except urllib.error.HTTPError as error:
        with error:
            said = error.read(300).decode("utf-8", "replace").strip()
        if error.code in _REMEDIES or error.code >= 500:
            remedy = _REMEDIES.get(error.code, "The server is up but cannot answer; see its log.")
            raise _unusable(url, f"HTTP {error.code} {error.reason}: {said}", remedy) from error
    except (OSError, http.client.HTTPException) as error:
        raise _unusable(
            url, _reason(error), "Is the server running, and reachable from where the evaluation runs?"
        ) from error


def _connect(url: SplitResult) -> None:
    port = url.port or {"http": 80, "https": 443}[url.scheme]
    try:
        socket.create_connection((url.hostname or "", port), timeout=TIMEOUT_S).close()
    except OSError as error:
        raise _unusable(url.geturl(), _reason(error), "Is the server running?") from error


def _headers(model_args: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers lm-eval would send (``TemplateAPI.header``)."""
    given = model_args.get("header")
    if isinstance(given, dict) and given:
        return {"Content-Type": "application/json", **{str(name): str(value) for name, value in given.items()}}
    return {"Content-Type": "application/json", "Authorization": f"Bearer {os.environ.get('OPENAI_API_KEY', '')}"}


def _tls(model_args: Mapping[str, Any]) -> ssl.SSLContext:
    if model_args.get("verify_certificate", True):
        return ssl.create_default_context(cafile=model_args.get("ca_cert_path"))
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _is_public(url: SplitResult) -> bool:
    try:
        found = socket.getaddrinfo(url.hostname, None)
    except OSError:
        return False  # the request will tell
    return any(ipaddress.ip_address(str(address[0]).partition("%")[0]).is_global for *_, address in found)


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", None) or error) or type(error).__name__


def _unusable(url: str, what: str, remedy: str) -> RunFailedError:
    return RunFailedError(f"the endpoint {url} cannot be used: {what}. {remedy}", Cause.ENDPOINT)
