"""Asks a model's server something, the way lm-eval would, and says in plain words what came in between.

Standard library, so that an unreachable server is known before anything heavy is imported. Two kinds of failure are told
apart by their cause: a server that is not there, overloaded or too slow may be cured by another try (``endpoint``); one that
is there and does not take what the spec says will not take it in an hour either (``bad_spec``).
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, NamedTuple

from airflow_provider_lmeval.errors import RunFailedError
from airflow_provider_lmeval.wire import Cause

LONGEST_PROBE_S = 60.0
"""Longest wait for one answer to a probe; a shorter ``timeout`` of the model counts."""
LONGEST_PAUSE_S = 30.0
BUSY = frozenset({429, 502, 503, 504})
"""Status codes of servers that are overloaded or just starting."""
SAID = 500
"""Bytes shown of a server's own words."""
_CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


class Answer(NamedTuple):
    """What a server said: status, headers, body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def words(self) -> str:
        """The beginning of the body, for messages."""
        return self.body[:SAID].decode("utf-8", "replace").strip()

    def json(self) -> Any:
        """Return the decoded body; None if it is no JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


class Client:
    """Sends a model's requests.

    :param url: of the endpoint. :param model_args: lm-eval's, with the values of secrets.
    :raises RunFailedError: ``bad_spec``: a CA file that is none, or a header that cannot be sent.
    """

    def __init__(self, url: str, model_args: Mapping[str, Any]) -> None:
        self.url = url
        self._headers = _headers(model_args)
        self._attempts = max(1, int(model_args.get("max_retries") or 3))
        self._timeout_s = min(float(model_args.get("timeout") or LONGEST_PROBE_S), LONGEST_PROBE_S)
        handlers: list[urllib.request.BaseHandler] = [_Stay(), urllib.request.HTTPSHandler(context=tls(model_args))]
        if (
            int(model_args.get("num_concurrent") or 1) > 1
        ):  # aiohttp, which lm-eval then uses, does not look for proxies
            handlers.append(urllib.request.ProxyHandler({}))
        self._opener = urllib.request.build_opener(*handlers)

    def post(self, body: Mapping[str, Any]) -> Answer:
        """Send a completion request; while the server is busy, wait as long as it says and send it again.

        :raises RunFailedError: there was no answer.
        """
        for attempt in range(1, self._attempts + 1):
            answer = self._send(self.url, json.dumps(body).encode())
            if answer.status not in BUSY or attempt == self._attempts:
                break
            time.sleep(min(retry_after(answer.headers, default=1.0), LONGEST_PAUSE_S))
        return answer

    def get(self, url: str) -> Answer:
        """Ask for something else of the same server.

        :raises RunFailedError: there was no answer.
        """
        return self._send(url, None)

    def _send(self, url: str, data: bytes | None) -> Answer:
        request = urllib.request.Request(url, data, self._headers)  # noqa: S310 - http(s) only
        try:
            with self._opener.open(request, timeout=self._timeout_s) as response:
                return Answer(response.status, dict(response.headers), response.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, dict(error.headers), error.read())
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> RunFailedError:
        reason = getattr(error, "reason", None) or error
        if isinstance(reason, ssl.SSLCertVerificationError):
            return unusable(self.url, f"its TLS certificate is not trusted ({reason.verify_message})", _TRUST)
        if isinstance(reason, ssl.SSLError):
            return unusable(self.url, f"TLS failed ({reason})", "Does the server speak https on this port, or http?")
        if isinstance(reason, TimeoutError):
            what = f"no answer in {self._timeout_s:g} s"
            remedy = "The server hangs, is starting, or the network drops the packets; a longer `timeout` may help."
            return unusable(self.url, what, remedy, Cause.ENDPOINT)
        remedy = "Is the server running, and reachable from where the evaluation runs?"
        return unusable(self.url, str(reason) or type(reason).__name__, remedy, Cause.ENDPOINT)


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: of a redirected POST only some clients send the body again, and keys would go elsewhere."""

    def redirect_request(self, *_args: Any, **_kwargs: Any) -> None:
        return None


_TRUST = (
    "Give the CA that signed it: a PEM file that the run can read, in model.ca_cert_path or in SSL_CERT_FILE in env. "
    "`verify_certificate: false` would let anybody on the way answer for the model."
)


def unusable(url: str, what: str, remedy: str, cause: Cause = Cause.BAD_SPEC) -> RunFailedError:
    """Return the error for a server that cannot be used."""
    return RunFailedError(f"the endpoint {url} cannot be used: {what}. {remedy}", cause)


def ca_file(model_args: Mapping[str, Any]) -> str | None:
    """Return the file of CA certificates to trust; None for the system's own."""
    if named := model_args.get("ca_cert_path"):
        return str(named)
    files = (os.environ.get(name, "") for name in _CA_VARIABLES)
    return next((file for file in files if os.path.isfile(file)), None)  # noqa: PTH113 - never raises


def tls(model_args: Mapping[str, Any]) -> ssl.SSLContext:
    """Return how the server's certificate is checked.

    :raises RunFailedError: ``bad_spec``: the CA file is not there, or none.
    """
    if not model_args.get("verify_certificate", True):
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    file = ca_file(model_args)
    try:
        return ssl.create_default_context(cafile=file)
    except OSError as error:  # ssl.SSLError is one
        raise RunFailedError(
            f"the CA file {file!r} cannot be used ({error}): give a PEM file of certificates, by its path where the "
            "evaluation runs (model.ca_cert_path, or SSL_CERT_FILE)",
            Cause.BAD_SPEC,
        ) from error


def retry_after(headers: Mapping[str, str], default: float = 0.0) -> float:
    """Return the seconds that a server asks to wait (RFC 9110, section 10.2.3); dates count as the default."""
    with contextlib.suppress(ValueError):
        named = (value for name, value in headers.items() if name.lower() == "retry-after")
        return max(0.0, float(next(named, default)))
    return default


def _headers(model_args: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers lm-eval would send (``TemplateAPI.header``).

    :raises RunFailedError: ``bad_spec``: one holds a line break, which is what a file's last line leaves in a Secret.
    """
    given = model_args.get("header")
    if isinstance(given, dict) and given:
        own = {str(name): str(value) for name, value in given.items()}
    else:
        own = {"Authorization": f"Bearer {os.environ.get('OPENAI_API_KEY', '')}"}
    for name, value in own.items():
        if not value.isprintable():
            raise RunFailedError(
                f"the header {name} holds a line break or another control character: a Secret made from a file has one at "
                "its end; make it without (printf, or kubectl create secret --from-literal)",
                Cause.BAD_SPEC,
            )
    return {"Content-Type": "application/json", **own}
