"""LMEvalJob on the test server answers as it did on a real API server (recorded with TrustyAI's own CRD)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.kube import KubeServer
from tests.kube.custom import LMEVALJOBS
from tests.kube.recorded import compare, exchanges, send

RECORDED = exchanges("lmevaljob")
WATCHED = next(each for each in RECORDED if "watch=true" in each["request"]["path"])


@pytest.fixture
def admin() -> Iterator[httpx.Client]:
    with KubeServer(namespaces=("rec",)) as server:
        server.register(LMEVALJOBS)
        token = {"Authorization": f"Bearer {server.users['admin'].token}"}
        with httpx.Client(base_url=server.url, headers=token) as client:
            yield client


def test_every_recorded_answer_is_given_again(admin: httpx.Client) -> None:
    for exchange in RECORDED:
        if exchange is WATCHED:
            continue
        answer = send(admin, exchange)
        assert answer.status_code == exchange["status"], answer.text
        assert answer.headers.get("Warning") == exchange["headers"].get("Warning")
        compare(_ordered(exchange["body"]), _ordered(answer.json()))


def test_a_watch_shows_the_recorded_events(admin: httpx.Client) -> None:
    created, *others = RECORDED[: RECORDED.index(WATCHED)]
    start = send(admin, created).json()["metadata"]["resourceVersion"]
    for exchange in others:
        send(admin, exchange)
    query = {"watch": "true", "resourceVersion": start, "timeoutSeconds": 1}
    path = WATCHED["request"]["path"].partition("?")[0]
    events = [json.loads(line) for line in admin.get(path, params=query).text.splitlines()]
    compare([event for event in WATCHED["body"] if event["type"] != "BOOKMARK"], events)


def _ordered(body: Any) -> Any:
    """Return a refusal with its violations in one order: the API server's own is that of a Go map."""
    if not isinstance(body, dict) or "causes" not in body.get("details", {}):
        return body
    causes = sorted(body["details"]["causes"], key=lambda cause: str(cause["field"]))
    subject, _, words = body["message"].partition(" is invalid: ")
    told = [subject, *sorted(re.split(r", (?=spec\.)", words.strip("[]")))]
    return body | {"details": body["details"] | {"causes": causes}, "message": told}
