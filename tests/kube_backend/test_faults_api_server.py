"""The API server fails, hangs, forgets or refuses: a run is waited for, and what cannot go on says why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_lmeval.wire import DRIVER_HEADER
from tests.kube import KubeServer, Rule, Script, clock
from tests.kube.faults import Fault
from tests.kube.kinds import QUOTAS
from tests.kube_backend.acts import LOG, WORDS, Act, Ended, Worker, gone, play, succeeded, until_said
from tests.kube_backend.conftest import (
    NAMESPACE,
    ROLE,
    Airflow,
    Said,
    context,
    defer,
    documented,
    finish,
    fire,
    without,
)
from tests.kube_backend.hurry import FACTOR

MINUTE_S = 60 / FACTOR

TROUBLE: dict[str, Callable[[KubeServer], Fault]] = {
    "429": lambda server: server.faults.fail(429, lasts=MINUTE_S),
    "500": lambda server: server.faults.fail(500, lasts=MINUTE_S),
    "time-outs": lambda server: server.faults.hang(lasts=MINUTE_S),
}


# -- a minute without an API server


@pytest.mark.parametrize("kind", TROUBLE)
@pytest.mark.usefixtures("hurry", "endless")
def test_a_minute_of_trouble_at_the_start_is_sat_out(server: KubeServer, airflow: Airflow, kind: str) -> None:
    fault = TROUBLE[kind](server)
    ended = play(airflow, lambda act: (act.until_seen(), act.succeed()))
    succeeded(server, airflow, ended)
    assert 2 <= fault.hits <= 70  # it is asked again, and not more often than 429 wishes: each second


@pytest.mark.parametrize("kind", TROUBLE)
@pytest.mark.usefixtures("hurry", "endless")
def test_a_minute_of_trouble_while_waiting_is_sat_out(server: KubeServer, airflow: Airflow, kind: str) -> None:
    faults: list[Fault] = []

    def trouble(act: Act) -> None:
        act.until_seen()
        faults.append(TROUBLE[kind](server))
        server.faults.cut_watches(abruptly=True)
        server.wait(lambda: faults[0].hits > 1, 20)
        act.succeed()

    succeeded(server, airflow, play(airflow, trouble))
    assert faults[0].hits <= 70


@pytest.mark.parametrize("kind", TROUBLE)
@pytest.mark.usefixtures("hurry")
def test_a_minute_of_trouble_when_the_result_is_fetched_is_sat_out(
    server: KubeServer, airflow: Airflow, kind: str
) -> None:
    server.script(Script(runs_s=0.1, log=LOG, message=WORDS))
    task, ctx = airflow.operator(), context()
    deferral = defer(task, ctx)
    event = fire(deferral, within_s=300)
    TROUBLE[kind](server)
    finish(task, ctx, deferral, event)
    succeeded(server, airflow, Ended(ctx["ti"].xcoms["return_value"], None, 0))


@pytest.mark.usefixtures("endless")
def test_a_pod_whose_creation_nobody_heard_of_is_found_and_not_created_twice(
    server: KubeServer, airflow: Airflow
) -> None:
    server.faults.lose_answers(verb="create", resource="pods", times=1)
    succeeded(server, airflow, play(airflow, lambda act: (act.until_seen(), act.succeed())))
    assert server.requests.count("create", "pods") == 2


# -- watches


def cut_properly(server: KubeServer) -> None:
    server.faults.cut_watches_every(1.0)


def cut_abruptly(server: KubeServer) -> None:
    server.faults.cut_watches_every(1.0, abruptly=True)


def forget(server: KubeServer) -> None:
    server.faults.compact()
    server.faults.cut_watches()


def looks(server: KubeServer) -> int:
    return server.requests.count("watch", "pods") + server.requests.count("list", "pods")


@pytest.mark.parametrize("trouble", [cut_properly, cut_abruptly, forget])
@pytest.mark.usefixtures("endless")
def test_a_watch_in_trouble_misses_no_end(
    server: KubeServer, airflow: Airflow, trouble: Callable[[KubeServer], None]
) -> None:
    def during(act: Act) -> None:
        act.until_seen()
        before = looks(server)
        trouble(server)
        server.wait(lambda: looks(server) >= before + 2, 20)
        act.succeed()

    succeeded(server, airflow, play(airflow, during))
    server.faults.cut_watches_every(None)


@pytest.mark.usefixtures("endless")
def test_an_end_between_two_watches_of_which_the_server_knows_nothing_more_is_seen(
    server: KubeServer, airflow: Airflow
) -> None:
    def during(act: Act) -> None:
        act.until_seen()
        down = server.faults.fail(503, verb="watch")
        server.faults.cut_watches(abruptly=True)
        act.succeed()
        server.wait_for_phase(act.pod, "Succeeded", namespace=NAMESPACE)
        server.faults.compact()
        server.faults.lift(down)

    succeeded(server, airflow, play(airflow, during))


@pytest.mark.usefixtures("endless", "hurry")
def test_a_server_that_forgets_its_own_lists_is_not_asked_for_them_again_and_again(
    server: KubeServer, airflow: Airflow
) -> None:
    def during(act: Act) -> None:
        act.until_seen()
        server.faults.fail(410, verb="watch")
        server.faults.cut_watches()
        before = len(lists(server))
        server.wait(lambda: len(lists(server)) >= before + 6, 30)
        *_, last, latest = lists(server)
        gaps.append((latest - last) * FACTOR)
        act.succeed()

    gaps: list[float] = []
    succeeded(server, airflow, play(airflow, during))
    assert gaps[0] > 2.0  # it began with half a second


def lists(server: KubeServer) -> list[float]:
    return [seen.time for seen in server.requests.log if (seen.verb, seen.resource) == ("list", "pods")]


@pytest.mark.usefixtures("endless")
def test_a_server_whose_clock_is_hours_behind_makes_no_pod_look_overdue(server: KubeServer, airflow: Airflow) -> None:
    server.faults.never_schedule()

    def during(act: Act) -> None:
        server.wait(lambda: act.deferral.trigger._seen is not None, 20)
        server.faults.never_schedule(None)
        act.until_seen()
        act.succeed()

    with clock.slow(3 * 3600):
        succeeded(server, airflow, play(airflow, during))


@pytest.mark.usefixtures("endless", "hurry")
def test_its_clock_is_known_to_who_looks_at_a_pod_before_the_list_has_answered(
    server: KubeServer, airflow: Airflow
) -> None:
    server.faults.never_schedule()
    with clock.slow(3 * 3600):
        deferral = defer(airflow.operator(), context())
        server.faults.hang(verb="list", resource="pods")
        trigger = deferral.trigger

        def let_it_begin() -> None:
            server.wait(lambda: trigger._seen is not None, 20)
            server.faults.never_schedule(None)
            server.wait(lambda: trigger._seen.running, 20)
            (pod,) = server.pods(NAMESPACE)
            server.finish(pod["metadata"]["name"], NAMESPACE, log=LOG, message=WORDS)

        acting = Worker(let_it_begin)
        event = fire(deferral)
        acting.join()
    assert event["status"]["reason"] == "Succeeded", event


# -- progress


@pytest.mark.usefixtures("endless")
def test_a_proxy_that_is_forbidden_costs_only_the_progress(server: KubeServer, airflow: Airflow, said: Said) -> None:
    server.user("airflow", without("get", "pods/proxy"))
    succeeded(server, airflow, play(airflow, until_said(said, documented("no progress is shown"))))


def refuses(method: str, path: str, headers: Any) -> tuple[int, dict[str, str], bytes]:
    return 401, {DRIVER_HEADER: "1"}, b"the header does not hold this run's token"


def test_a_token_that_is_wrong_costs_only_the_progress_and_is_no_matter_of_kubernetes_credentials(
    server: KubeServer, airflow: Airflow, said: Said
) -> None:
    server.script(Script(serves=refuses))
    succeeded(server, airflow, play(airflow, until_said(said, documented("the driver does not accept the token"))))
    assert "credentials of the Kubernetes connection" not in said


# -- refusals


def test_a_namespace_that_is_missing_is_named(server: KubeServer, airflow: Airflow) -> None:
    everywhere = [Rule(rule.verbs, rule.resources) for rule in ROLE]
    server.user("airflow", everywhere)
    with pytest.raises(
        AirflowFailException, match=rf'namespaces "nowhere" not found.*{documented("Create the namespace")}'
    ):
        airflow.operator(kubernetes={"namespace": "nowhere"}).execute(context())
    assert server.pods() == []


@pytest.mark.usefixtures("endless")
def test_a_namespace_that_is_deleted_under_a_run_fails_it_as_killed(server: KubeServer, airflow: Airflow) -> None:
    ended = play(airflow, lambda act: (act.until_seen(), server.faults.delete_namespace(NAMESPACE)))
    assert (ended.cause, ended.retried) == ("killed", True)
    assert documented("the pod was deleted from outside") in str(ended.error)
    gone(server)
    with pytest.raises(AirflowException):
        airflow.operator().execute(context())


@pytest.mark.usefixtures("endless")
def test_a_quota_that_is_used_up_refuses_the_pod_until_there_is_room(server: KubeServer, airflow: Airflow) -> None:
    limits = {"metadata": {"name": "gpus", "namespace": NAMESPACE}, "spec": {"hard": {"pods": "0"}}}
    server.create(limits, QUOTAS)
    with pytest.raises(
        AirflowException, match=rf"{documented('exceeded quota')}: gpus.*Ask for less, or wait"
    ) as caught:
        airflow.operator().execute(context())
    assert not isinstance(caught.value, AirflowFailException)
    assert server.pods(NAMESPACE) == []
    server.call(lambda: server.cluster.registry.delete(QUOTAS, (NAMESPACE, "gpus")))
    succeeded(server, airflow, play(airflow, lambda act: (act.until_seen(), act.succeed())))
