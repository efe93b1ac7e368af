"""One way to ask a server: time limits, and every refusal an error that says whether another try may help."""

from __future__ import annotations

import ssl
from collections.abc import Collection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_lmeval.errors import OutputError

if TYPE_CHECKING:
    import httpx

CONNECT_S = 10.0
ANSWER_S = 120.0
"""Seconds without a byte before a request counts as failed; a registry may hash a large upload before it answers."""
_EXCERPT = 300
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP statuses after which the same request may succeed a little later."""


def client(*, auth: Any = None, verify: bool = True, ca_bundle: str | None = None) -> httpx.Client:
    """Return a client that follows no redirects, so that a login reaches no one else.

    :param auth: what httpx takes: login and password, or an ``httpx.Auth``. :param verify: check certificates.
    :param ca_bundle: file with further authorities to trust.
    :raises OutputError: that file cannot be read.
    """
    import httpx

    try:
        trust = ssl.create_default_context(cafile=ca_bundle) if verify and ca_bundle else verify
    except OSError as error:
        raise OutputError(f"ca_bundle: cannot read {ca_bundle!r}: {error}") from None
    return httpx.Client(auth=auth, verify=trust, timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S))


def ask(client: httpx.Client, method: str, url: str, *, ok: Collection[int] = (200,), **request: Any) -> httpx.Response:
    """Send a request and return the answer.

    :param ok: statuses that are an answer. :param request: further arguments of ``httpx.Client.request``.
    :raises OutputError: any other status, or no answer.
    """
    import httpx

    named = f"{method} {_shown(url)}"
    try:
        answer = client.request(method, url, **request)
    except httpx.HTTPError as error:
        raise OutputError(f"{named}: no answer: {error or type(error).__name__}", transient=True) from error
    except (httpx.InvalidURL, ValueError) as error:
        raise OutputError(f"{named}: {error}; repair the connection's host") from error
    if answer.status_code in ok:
        return answer
    told = " ".join(answer.text.split())[:_EXCERPT]
    status = answer.status_code
    raise OutputError(
        f"{named}: HTTP {status}{_hint(status)}{f': {told}' if told else ''}", transient=status in TRANSIENT
    )


def _hint(status: int) -> str:
    return {401: " (the login is refused)", 403: " (no permission)"}.get(status, "")


def _shown(url: str) -> str:
    """Return a URL without its query, which may be signed, and without a login."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
