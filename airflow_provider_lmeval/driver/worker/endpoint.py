"""Asks a served model one small question before thousands: what is wrong with it fails here, in a second and by name.

lm-eval retries every failure, 4xx included, and with concurrent requests its last words are "Session is closed". So
the completion URL gets one real request for a single token, and the server's list of models is held against the name;
what is not a completion server only has to accept a connection. Whether the answers are fit for the tasks is found when
the tokenizer is there (``echo``).
"""

from __future__ import annotations

import difflib
import ipaddress
import logging
import os
import socket
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import SplitResult, urlsplit, urlunsplit

from airflow_provider_lmeval.driver.worker.endpoint_client import Answer, Client, unusable
from airflow_provider_lmeval.errors import RunFailedError
from airflow_provider_lmeval.wire import Cause

CONNECT_S = 20.0
OPENAI = "https://api.openai.com/v1"
DEFAULT_URLS = {
    "openai-completions": f"{OPENAI}/completions",
    "openai-chat-completions": f"{OPENAI}/chat/completions",
}
"""Where lm-eval sends requests if ``base_url`` is not given (``lm_eval/models/openai_completions.py``)."""
COMPLETION_SERVERS = frozenset({"local-completions", "local-chat-completions", *DEFAULT_URLS})
"""Model types that post OpenAI's completion requests to ``base_url`` as it is."""
LOGLIKELIHOOD = frozenset({"loglikelihood", "loglikelihood_rolling", "multiple_choice"})
"""Output types of tasks for which lm-eval asks for log-likelihoods."""

_log = logging.getLogger(__name__)


def endpoint_url(model: str, model_args: Mapping[str, Any]) -> str | None:
    """Return where the model is served, or None if it is loaded here.

    :param model: lm-eval's model type.
    """
    url = model_args.get("base_url") or DEFAULT_URLS.get(model)
    return str(url) if url else None


def needs_loglikelihood(tasks: Mapping[str, Any]) -> list[str]:
    """Return the names of the tasks that need log-likelihoods.

    :param tasks: lm-eval task objects by name.
    """
    return [name for name, task in tasks.items() if getattr(task, "OUTPUT_TYPE", None) in LOGLIKELIHOOD]


def check_endpoint(
    model: str, model_args: Mapping[str, Any], *, online: bool, tasks: Mapping[str, Any] | None = None
) -> None:
    """Find out whether the served model answers.

    :param online: addresses on the internet are allowed. :param tasks: lm-eval task objects by name.
    :raises RunFailedError: ``endpoint``, ``online_denied``, or ``bad_spec`` for what another try cannot cure.
    """
    if (text := endpoint_url(model, model_args)) is None:
        return
    url = _parsed(text)
    if not online and _is_public(url):
        raise RunFailedError(
            f"{url.hostname} is on the internet, which is not allowed for this run: set `allow_online: true`.",
            Cause.ONLINE_DENIED,
        )
    if model not in COMPLETION_SERVERS:
        _connect(url)
        return
    if "chat" in model and (needing := needs_loglikelihood(tasks or {})):
        raise RunFailedError(
            f"{', '.join(sorted(needing))} need log-likelihoods, which a chat endpoint cannot give: serve the model behind "
            "/v1/completions and use type local-completions, or choose tasks that generate",
            Cause.BAD_SPEC,
        )
    _ask(Client(text, model_args), model_args, url, chat="chat" in model)


def _ask(client: Client, model_args: Mapping[str, Any], url: SplitResult, *, chat: bool) -> None:
    name = str(model_args.get("model") or model_args.get("pretrained"))
    asked = {"messages": [{"role": "user", "content": "Hi"}]} if chat else {"prompt": "Hi"}
    answer = client.post({"model": name, "max_tokens": 1, **asked})
    check_status(client.url, answer, model_args, passing=(400, 404, 422))
    listed = _models(client, url)
    if listed and not any(fnmatchcase(name, pattern) for pattern in listed):
        near = difflib.get_close_matches(name, listed, n=3) or sorted(listed)[:5]
        raise unusable(
            client.url, f"it serves no model {name!r}", f"Set model.model to a name it has: {', '.join(near)}."
        )
    check_status(client.url, answer, model_args, passing=(400, 422))
    _warn_of_length(model_args, listed.get(name))


def check_status(url: str, answer: Answer, model_args: Mapping[str, Any], *, passing: tuple[int, ...] = ()) -> None:
    """Refuse an answer that is none.

    :param passing: status codes below 500 that are put up with.
    :raises RunFailedError: ``endpoint`` or ``bad_spec``, with the server's own words.
    """
    status = answer.status
    if status < 300 or status in passing:
        return
    what = f"HTTP {status}: {answer.words}" if answer.words else f"HTTP {status}"
    if status < 400:
        where = next((value for name, value in answer.headers.items() if name.lower() == "location"), "elsewhere")
        raise unusable(url, f"HTTP {status}: it redirects to {where}", "Put the address it redirects to into base_url.")
    if status >= 500:
        raise unusable(url, what, "The server is up but cannot answer; see its log.", Cause.ENDPOINT)
    if status == 401:
        raise unusable(url, what, _key_remedy(model_args))
    remedy, cause = _REMEDIES.get(status, (_OWN_WORDS, Cause.BAD_SPEC))
    raise unusable(url, what, remedy, cause)


_OWN_WORDS = "The server does not take the request; its own words say why."
_PATH = (
    "base_url needs the full path (…/v1/completions or …/v1/chat/completions), and model a name the server knows.",
    Cause.ENDPOINT,  # a route to a server that is just starting answers so, too
)
_REMEDIES: dict[int, tuple[str, Cause]] = {
    403: ("The key is not allowed to use this model, or the gateway not from here.", Cause.BAD_SPEC),
    404: _PATH,
    405: _PATH,
    408: ("The server took too long.", Cause.ENDPOINT),
    429: ("It is overloaded or limits the rate: lower num_concurrent, raise max_retries.", Cause.ENDPOINT),
}


def _key_remedy(model_args: Mapping[str, Any]) -> str:
    if model_args.get("header"):
        return "It does not take the credentials in model.header, which lm-eval sends instead of OPENAI_API_KEY: check them."
    if os.environ.get("OPENAI_API_KEY"):
        return "It does not take the key in OPENAI_API_KEY: check the Secret's value."
    return "It wants a key: set OPENAI_API_KEY in env (sent as a bearer token), or model.header, by reference to a variable."


def _models(client: Client, url: SplitResult) -> dict[str, Any]:
    """Return what the server says of its models, by name; nothing if it has no list."""
    path = url.path.rstrip("/").removesuffix("/completions").removesuffix("/chat")
    answer = client.get(urlunsplit((url.scheme, url.netloc, f"{path}/models", "", "")))
    document = answer.json() if answer.status < 300 else None
    data = document.get("data") if isinstance(document, dict) else None
    entries = [entry for entry in data if isinstance(entry, dict) and entry.get("id")] if isinstance(data, list) else []
    if not entries:
        _log.info("%s has no list of models; whether it knows the name is left to its answers", url.hostname)
    return {str(entry["id"]): entry for entry in entries}


def _warn_of_length(model_args: Mapping[str, Any], entry: Any) -> None:
    """Say where lm-eval's idea of the longest context is not the server's (vLLM tells its own)."""
    longest = entry.get("max_model_len") if isinstance(entry, dict) else None
    if not isinstance(longest, int):
        return
    ours = int(model_args.get("max_length") or 2048)
    if ours > longest:
        _log.warning("max_length is %d, the server takes %d tokens: longer requests will be refused", ours, longest)
    elif not model_args.get("max_length") and longest > ours:
        _log.warning("max_length is not set: prompts are cut at %d tokens, though the server takes %d", ours, longest)


def _parsed(text: str) -> SplitResult:
    try:
        url = urlsplit(text)
        if url.scheme in ("http", "https") and url.hostname and url.port != 0:
            return url
    except ValueError:
        pass
    raise RunFailedError(f"base_url: {text!r} is no http(s) URL", Cause.BAD_SPEC)


def _connect(url: SplitResult) -> None:
    port = url.port or {"http": 80, "https": 443}[url.scheme]
    try:
        socket.create_connection((url.hostname or "", port), timeout=CONNECT_S).close()
    except OSError as error:
        reason = str(error) or type(error).__name__
        raise unusable(url.geturl(), reason, "Is the server running?", Cause.ENDPOINT) from error


def _is_public(url: SplitResult) -> bool:
    try:
        found = socket.getaddrinfo(url.hostname, None)
    except OSError:
        return False  # the request will tell
    return any(ipaddress.ip_address(str(address[0]).partition("%")[0]).is_global for *_, address in found)
