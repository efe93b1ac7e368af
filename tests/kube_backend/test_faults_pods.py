"""A pod is evicted, starved, lost or never started: the right cause, the right answer to "again?", and no result lost."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, cast

import pytest

from airflow_provider_lmeval.backends.kubernetes.backend import KubernetesBackend
from airflow_provider_lmeval.hooks.lmeval import LMEvalHook
from airflow_provider_lmeval.operators.kubernetes.pod import OUT_OF_MEMORY_KEY
from airflow_provider_lmeval.store import open_result
from airflow_provider_lmeval.wire import Phase, Reason, State
from tests.kube import KubeServer, Script, clock
from tests.kube.kinds import CLAIMS
from tests.kube_backend import pods
from tests.kube_backend.acts import (
    GOOD,
    RUN,
    SCORES,
    Act,
    Ended,
    created,
    gone,
    play,
    stored,
    succeeded,
)
from tests.kube_backend.conftest import IMAGE, NAMESPACE, Airflow, StateStore, documented, real

AT_WORK = pods.last_words(RUN, state=State.RUNNING, reason=Reason.NO_REASON, phase=Phase.EVALUATING, tasks_done=2)
SAVING = pods.last_words(
    RUN, GOOD, state=State.RUNNING, reason=Reason.NO_REASON, phase=Phase.SAVING, metrics=SCORES, tasks_done=3
)


@pytest.fixture
def endless(server: KubeServer) -> None:
    server.script(Script(message=AT_WORK))


def failed(server: KubeServer, ended: Ended, cause: str, *words: str) -> None:
    """Check a failure that is worth another try: the cause, the words, and no pod left."""
    assert (ended.found["state"], ended.found["reason"], ended.cause) == ("Complete", "Failed", cause)
    assert ended.retried
    for each in words:
        assert each in str(ended.error)
    gone(server)


def again(server: KubeServer, airflow: Airflow) -> None:
    """Check that the next try starts a pod of its own and ends well."""
    before = created(server)
    ended = play(airflow, lambda act: (act.until_seen(), act.succeed()))
    assert (ended.error, ended.found["reason"]) == (None, "Succeeded")
    assert created(server) == before + 1
    gone(server)


# -- evicted


@pytest.mark.usefixtures("endless")
def test_evicted_while_it_runs(server: KubeServer, airflow: Airflow) -> None:
    ended = play(airflow, lambda act: (act.until_seen(), server.faults.evict(act.pod, NAMESPACE)))
    failed(server, ended, "evicted", "EvictionByEvictionAPI")
    again(server, airflow)


def evict_while_saving(server: KubeServer, then: Callable[[Act], Any] | None = None) -> Callable[[Act], None]:
    """Let a run that has evaluated and is storing be evicted; ``then`` is what it still does within its grace."""

    def during(act: Act) -> None:
        act.until_seen()
        server.say(act.pod, NAMESPACE, message=SAVING)
        server.faults.evict(act.pod, NAMESPACE)
        (then or (lambda act: None))(act)

    return during


def test_evicted_while_it_finishes_and_stored_in_time(server: KubeServer, airflow: Airflow) -> None:
    server.script(Script(stops=False))
    ended = play(airflow, evict_while_saving(server, lambda act: (stored(airflow), act.succeed(exit_code=143))))
    succeeded(server, airflow, ended)


def test_evicted_while_it_finishes_and_ended_in_time_without_a_store(server: KubeServer, airflow: Airflow) -> None:
    server.script(Script(stops=False))
    ended = play(airflow, evict_while_saving(server, Act.succeed))
    assert (ended.error, ended.found["reason"], ended.found["results"]) == (None, "Succeeded", SCORES)
    gone(server)


def test_evicted_while_it_finishes_and_killed_is_no_success(server: KubeServer, airflow: Airflow) -> None:
    server.script(Script(stops=False))
    ended = play(airflow, evict_while_saving(server), kubernetes={"grace_period": 1})
    failed(server, ended, "evicted")
    again(server, airflow)


# -- out of memory, killed


def at_work(act: Act) -> None:
    """Return once the real driver has begun with the evaluation."""
    backend = cast("KubernetesBackend", LMEvalHook("eval").get_conn())
    handle = act.handle
    act.server.wait(lambda: backend.status(handle).phase not in (None, Phase.PREPARING), 60)


@pytest.mark.driver
def test_a_child_that_runs_out_of_memory(server: KubeServer, airflow: Airflow) -> None:
    during = lambda act: (at_work(act), server.faults.oom_kill(act.pod, NAMESPACE, child=True))  # noqa: E731
    memory = StateStore()
    failed(server, play(airflow, during, spec=real("tiny_mc"), state=memory), "out_of_memory", "out of memory")
    assert memory[OUT_OF_MEMORY_KEY] == 1  # from Airflow 3.3 the next try takes half the batch


@pytest.mark.driver
def test_a_driver_that_is_killed(server: KubeServer, airflow: Airflow) -> None:
    during = lambda act: (at_work(act), server.faults.kill(act.pod, NAMESPACE))  # noqa: E731
    failed(server, play(airflow, during, spec=real("tiny_mc")), "killed", "the container ended with 137", "loading")


@pytest.mark.usefixtures("endless")
def test_a_container_that_runs_out_of_memory(server: KubeServer, airflow: Airflow) -> None:
    ended = play(airflow, lambda act: (act.until_seen(), server.faults.oom_kill(act.pod, NAMESPACE)))
    failed(server, ended, "out_of_memory", "while evaluating; 2 tasks were finished")
    again(server, airflow)


# -- never started


@pytest.mark.usefixtures("hurry")
def test_an_image_that_cannot_be_pulled(server: KubeServer, airflow: Airflow) -> None:
    image = server.images[IMAGE]
    server.faults.lose_image(IMAGE)
    with clock.lagging(600):  # the registry has been away for ten minutes
        failed(server, play(airflow), "image", IMAGE, "not found")
    server.images[IMAGE] = image
    server.script(Script())
    again(server, airflow)


@pytest.mark.usefixtures("hurry")
def test_an_image_that_comes_late_is_waited_for(server: KubeServer, airflow: Airflow) -> None:
    image = server.images[IMAGE]
    server.script(Script())
    server.faults.lose_image(IMAGE)

    def during(act: Act) -> None:
        server.wait(lambda: "ImagePullBackOff" in str(server.pod(act.pod, NAMESPACE)))
        server.images[IMAGE] = image
        act.until_seen()
        act.succeed()

    succeeded(server, airflow, play(airflow, during))


def test_an_image_that_may_not_be_pulled(server: KubeServer, airflow: Airflow) -> None:
    wanted = {"image": "localhost/nothing:1", "image_pull_policy": "Never"}
    failed(server, play(airflow, kubernetes=wanted), "image", "ErrImageNeverPull")


CLAIM = {
    "metadata": {"name": "results", "namespace": NAMESPACE},
    "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
}
ON_A_VOLUME = {"results": {"claim": "results", "path": "/results"}}


@pytest.mark.usefixtures("hurry")
def test_a_claim_that_stays_pending(server: KubeServer, airflow: Airflow) -> None:
    server.faults.no_storage_class()
    server.create(CLAIM, CLAIMS)
    with clock.lagging(600):
        ended = play(airflow, kubernetes=ON_A_VOLUME)
    failed(server, ended, "claim_pending", "unbound immediate PersistentVolumeClaims", "storage class")


@pytest.mark.usefixtures("hurry")
def test_a_claim_that_is_not_there(server: KubeServer, airflow: Airflow) -> None:
    with clock.lagging(600):
        ended = play(airflow, kubernetes=ON_A_VOLUME)
    failed(server, ended, "claim_pending", '"results" not found')


@pytest.mark.usefixtures("hurry")
def test_a_pod_that_no_node_takes(server: KubeServer, airflow: Airflow) -> None:
    server.faults.never_schedule()
    with clock.lagging(2 * 3600):
        ended = play(airflow, kubernetes={"gpu": 1}, preflight="rules")
    failed(server, ended, "unschedulable", "0/1 nodes are available: 1 Insufficient nvidia.com/gpu")


# -- a node that is lost


IMPATIENT = {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"}


@pytest.mark.usefixtures("hurry", "endless")
def test_a_node_that_is_lost(server: KubeServer, airflow: Airflow) -> None:
    def during(act: Act) -> None:
        act.until_seen()
        with clock.lagging(600):  # its taint manager has deleted the pod ten minutes ago
            server.faults.lose_node()
            server.wait(lambda: "deletionTimestamp" in str(server.pod(act.pod, NAMESPACE)))

    patience = [{**IMPATIENT, "tolerationSeconds": 0}]
    ended = play(airflow, during, kubernetes={"tolerations": patience})
    assert (ended.cause, ended.retried) == ("node_lost", True)
    (old,) = server.pods(NAMESPACE)
    assert "deletionTimestamp" in old["metadata"]  # nobody can end it but its node

    def back(act: Act) -> None:
        assert act.pod != old["metadata"]["name"]
        server.faults.restore_node()
        act.until_seen()
        act.succeed()

    succeeded_again = play(airflow, back, kubernetes={"tolerations": patience})
    assert (succeeded_again.error, succeeded_again.found["reason"]) == (None, "Succeeded")
    gone(server)


# -- what a pod says


LONG = pods.document(RUN, message="".join(hashlib.sha512(str(n).encode()).hexdigest() for n in range(400)))
"""Does not compress: its record has several lines."""


@pytest.mark.parametrize(
    ("kept_lines", "said"),
    [(0, documented("the log holds no record")), (1, documented("lines of the record are missing"))],
)
@pytest.mark.usefixtures("endless")
def test_a_log_that_is_rotated_leaves_the_last_words(
    server: KubeServer, airflow: Airflow, kept_lines: int, said: str, capsys: Any
) -> None:
    lines = pods.log(RUN, LONG).splitlines(keepends=True)
    rotated = len(lines) - kept_lines

    def during(act: Act) -> None:
        act.until_seen()
        server.say(act.pod, NAMESPACE, log=b"".join(lines[:rotated]))
        server.faults.rotate_log(act.pod, NAMESPACE)
        words = pods.last_words(RUN, LONG, metrics=SCORES)
        act.succeed(log=b"".join(lines[rotated:]), message=words)

    ended = play(airflow, during)
    assert (ended.error, ended.found["results"], ended.found["result_uri"]) == (None, SCORES, None)
    assert said in capsys.readouterr().out
    gone(server)


@pytest.mark.usefixtures("endless")
def test_a_log_that_is_rotated_costs_nothing_with_a_store(server: KubeServer, airflow: Airflow) -> None:
    during = lambda act: (act.until_seen(), stored(airflow), act.succeed(log=b"after the rotation\n"))  # noqa: E731
    succeeded(server, airflow, play(airflow, during))


@pytest.mark.usefixtures("endless")
def test_without_a_termination_message_the_log_tells(server: KubeServer, airflow: Airflow) -> None:
    succeeded(server, airflow, play(airflow, lambda act: (act.until_seen(), act.succeed(message=b""))))
    assert open_result(str(airflow.results / RUN)).succeeded


@pytest.mark.usefixtures("endless")
def test_without_a_termination_message_the_exit_code_tells(server: KubeServer, airflow: Airflow) -> None:
    act = {"exit_code": 7, "message": b"", "log": b"lmeval: evaluating\nCUDA out of memory\n"}
    ended = play(airflow, lambda found: (found.until_seen(), found.succeed(**act)))
    failed(server, ended, "out_of_memory", "CUDA out of memory")
