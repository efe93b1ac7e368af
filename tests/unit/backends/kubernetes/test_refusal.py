"""The API server's refusals, as a real one words them: each becomes a cause and a remedy."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_lmeval.backends.kubernetes.refusal import explain, retry_after
from airflow_provider_lmeval.errors import ClusterError
from airflow_provider_lmeval.wire import DRIVER_HEADER, RETRYABLE, Cause
from tests.support.recorded import exchanges


def refused(exchange: dict[str, Any]) -> ClusterError:
    request, body = exchange["request"], json.dumps(exchange["body"]).encode()
    return explain(request["method"], request["path"], exchange["status"], body, exchange["headers"])


@pytest.mark.parametrize(
    "exchange", exchanges("forbidden"), ids=lambda e: f"{e['request']['method']} {e['request']['path']}"
)
def test_a_missing_right_names_its_verb_and_the_role(exchange: dict[str, Any]) -> None:
    error = refused(exchange)
    assert error.cause == Cause.FORBIDDEN
    verb = exchange["body"]["message"].split(" cannot ")[1].split()[0]
    assert f"verb {verb!r}" in str(error)
    assert ("docs/lmevaljob.md" if "lmevaljobs" in str(error) else "docs/kubernetes.md") in str(error)
    assert not error.transient


@pytest.mark.parametrize(
    ("name", "index", "cause"),
    [
        ("quota", 0, Cause.QUOTA),
        ("pod-security-restricted", 0, Cause.POD_REJECTED),
        ("invalid", 0, Cause.POD_REJECTED),
        ("not-found", 1, Cause.POD_REJECTED),
        ("not-found", 0, None),
        ("conflict", 0, None),
    ],
)
def test_other_refusals(name: str, index: int, cause: Cause | None) -> None:
    error = refused(exchanges(name)[index])
    assert error.cause == cause
    assert not error.transient


def test_only_a_quota_is_worth_another_try() -> None:
    assert Cause.QUOTA in RETRYABLE
    assert not {Cause.POD_REJECTED, Cause.FORBIDDEN} & RETRYABLE


def test_an_overloaded_server_says_when_to_come_again() -> None:
    error = explain("GET", "/x", 429, b"Too many requests", {"Retry-After": "7"})
    assert error.transient
    assert retry_after(error) == 7
    assert retry_after(explain("GET", "/x", 500, b"", {})) is None


def test_the_drivers_own_401_is_not_kubernetes() -> None:
    assert "credentials" in str(explain("GET", "/x", 401, b"", {}))
    said = str(explain("GET", "/x", 401, b"", {DRIVER_HEADER.title(): "1"}))
    assert "the driver does not accept the token" in said
    assert "credentials" not in said


def test_an_admission_rule_is_quoted() -> None:
    body = json.dumps({"message": 'admission webhook "policy.example.com" denied the request: no cost centre'}).encode()
    error = explain("POST", "/api/v1/namespaces/x/pods", 403, body, {})
    assert error.cause == Cause.POD_REJECTED
    assert "no cost centre" in str(error)
