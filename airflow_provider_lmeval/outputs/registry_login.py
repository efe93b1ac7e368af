"""Logging in to a registry: it says how it wants to be asked, by Basic or with a token that is fetched from its realm.

https://distribution.github.io/distribution/spec/auth/token/ and RFC 7617. The login goes to the registry and to the realm it
names over HTTPS; never in clear, unless the registry itself is used in clear.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Generator
from urllib.parse import urlsplit

import httpx

from airflow_provider_lmeval.errors import OutputError

_PARAMETER = re.compile(r'(\w+)="([^"]*)"')


class RegistryLogin(httpx.Auth):
    """Answers a registry's challenge, and remembers the answer.

    :param login: user name and password; None asks for a token anonymously.
    :param plain_http: the registry is used without TLS, so a realm may be as well.
    """

    requires_response_body = True

    def __init__(self, login: tuple[str, str] | None, *, plain_http: bool = False) -> None:
        self._basic = _basic(*login) if login else None
        self._plain_http = plain_http
        self._header: str | None = None

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send a request; if it is challenged, log in and send it again."""
        if self._header:
            request.headers["Authorization"] = self._header
        response = yield request
        if response.status_code != 401:
            return
        kind, _, rest = response.headers.get("www-authenticate", "").partition(" ")
        if kind.lower() == "basic" and self._basic:
            self._header = self._basic
        elif kind.lower() == "bearer":
            answer = yield self._token_request(dict(_PARAMETER.findall(rest)))
            self._header = self._token_header(answer)
        else:
            return
        request.headers["Authorization"] = self._header
        yield request

    def _token_request(self, challenge: dict[str, str]) -> httpx.Request:
        realm = challenge.get("realm", "")
        if urlsplit(realm).scheme != "https" and not (self._plain_http and urlsplit(realm).scheme == "http"):
            raise OutputError(f"the registry sends logins to {realm!r}, which is not HTTPS; nothing was sent")
        asked: dict[str, str] = {name: challenge[name] for name in challenge.keys() & {"service", "scope"}}
        headers = {"Authorization": self._basic} if self._basic else {}
        return httpx.Request("GET", realm, params=httpx.URL(realm).params.merge(asked), headers=headers)

    def _token_header(self, answer: httpx.Response) -> str:
        if answer.status_code != 200:
            raise OutputError(
                f"{answer.request.url.host} gives no token for the registry: HTTP {answer.status_code}",
                transient=answer.status_code >= 500 or answer.status_code == 429,
            )
        try:
            data = answer.json()
            return f"Bearer {data.get('token') or data['access_token']}"
        except (ValueError, KeyError, AttributeError):
            raise OutputError(f"{answer.request.url.host} gives no token for the registry") from None


def _basic(login: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{login}:{password}".encode()).decode()
