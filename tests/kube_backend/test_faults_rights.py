"""Each right of the documented Role is denied in turn: what is lost is what the documentation says, the verb is named."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from tests.kube import KubeServer
from tests.kube_backend.acts import SCORES, Act, gone, play, succeeded, until_said
from tests.kube_backend.conftest import NAMESPACE, ROLE, Airflow, Said, context, documented, spec, without

LARGE = [{"task": f"t{n}", "doc_to_text": hashlib.sha512(str(n).encode()).hexdigest()} for n in range(600)]
"""Tasks that do not compress: their request needs a ConfigMap."""


def run_and_succeed(act: Act) -> None:
    act.until_seen()
    act.succeed()


def refused(airflow: Airflow, said: Said, grant: str, **fields: Any) -> None:
    """The task does not start; nothing is left of it, and Airflow does not try again."""
    with pytest.raises(AirflowFailException, match=re.escape(grant)):
        airflow.operator(**fields).execute(context())
    gone(airflow.server)


def refused_when_large(airflow: Airflow, said: Said, grant: str) -> None:
    refused(airflow, said, grant, spec=spec(tasks=LARGE))


def whole_and_said_at_once(airflow: Airflow, said: Said, grant: str) -> None:
    succeeded(airflow.server, airflow, play(airflow, until_said(said, grant)))


def whole(airflow: Airflow, said: Said, grant: str) -> None:
    succeeded(airflow.server, airflow, play(airflow, run_and_succeed))
    assert grant in said


def without_the_log(airflow: Airflow, said: Said, grant: str) -> None:
    ended = play(airflow, run_and_succeed)
    assert (ended.error, ended.found["reason"], ended.found["results"]) == (None, "Succeeded", SCORES)
    assert grant in said
    gone(airflow.server)


def left_where_it_is(airflow: Airflow, said: Said, grant: str) -> None:
    ended = play(airflow, run_and_succeed)
    assert (ended.error, ended.found["reason"]) == (None, "Succeeded")
    assert grant in said
    assert [pod["status"]["phase"] for pod in airflow.server.pods(NAMESPACE)] == ["Succeeded"]


def not_marked(airflow: Airflow, said: Said, grant: str) -> None:
    ended = play(airflow, run_and_succeed, kubernetes={"on_finish_action": "keep_pod"})
    assert (ended.error, ended.found["reason"]) == (None, "Succeeded")
    assert grant in said


def without_events(airflow: Airflow, said: Said, grant: str) -> None:
    def fail(act: Act) -> None:
        act.succeed(exit_code=6, log=b"", message=b"")

    ended = play(airflow, fail, kubernetes={"log_events_on_failure": True})
    assert (ended.cause, ended.retried) == ("endpoint", True)
    assert grant in said
    gone(airflow.server)


DENIED: dict[tuple[str, str], Callable[[Airflow, Said, str], None]] = {
    ("get", "pods"): whole,
    ("list", "pods"): refused,
    ("watch", "pods"): whole_and_said_at_once,
    ("create", "pods"): refused,
    ("patch", "pods"): not_marked,
    ("delete", "pods"): left_where_it_is,
    ("get", "pods/log"): without_the_log,
    ("get", "pods/proxy"): whole_and_said_at_once,
    ("list", "events"): without_events,
    ("create", "configmaps"): refused_when_large,
}


def test_every_right_of_the_role_is_denied_once() -> None:
    assert {(verb, one) for rule in ROLE for one in rule.resources for verb in rule.verbs} == set(DENIED)


@pytest.mark.parametrize(("verb", "resource"), DENIED)
@pytest.mark.usefixtures("hurry", "endless")
def test_a_verb_that_is_denied_is_named_with_its_role(
    server: KubeServer, airflow: Airflow, verb: str, resource: str, said: Said
) -> None:
    server.user("airflow", without(verb, resource))
    words = f"'{verb}' on '{resource}' in namespace '{NAMESPACE}': the Role is in docs/kubernetes.md"
    DENIED[verb, resource](airflow, said, f"{documented('Grant the verb')} {words}")
