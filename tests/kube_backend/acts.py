"""A task's try from its first line to its last, in this process, while something goes wrong in between.

``play`` executes the operator, runs its trigger as a triggerer does, and resumes the operator with the event as it comes out
of Airflow's database. What a fault must never do is looked at here, for every test: kill a run that lives, start a second.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, TaskDeferred

from airflow_provider_lmeval.backends import Handle
from airflow_provider_lmeval.backends.kubernetes.collect import keep
from airflow_provider_lmeval.plan import run_id
from airflow_provider_lmeval.results import EvalResult
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.store import Store
from tests.kube import KubeServer
from tests.kube_backend import pods
from tests.kube_backend.conftest import (
    NAMESPACE,
    Airflow,
    Said,
    StateStore,
    context,
    defer,
    finish,
    fire,
    handle_of,
    spec,
)

RUN = run_id("dag", "manual__1", "evaluate", -1, 0, EvalSpec.parse(spec()).content_hash)
GOOD = pods.document(RUN)
LOG = pods.log(RUN, GOOD)
SCORES = {"tiny_mc": {"acc,none": 0.75}}
WORDS = pods.last_words(RUN, GOOD, metrics=SCORES)


@dataclass
class Act:
    """A try that goes on."""

    server: KubeServer
    deferral: TaskDeferred
    handle: Handle

    @property
    def pod(self) -> str:
        """Its pod's name."""
        return str(self.handle.where["pod"])

    def until_seen(self) -> None:
        """Return once the trigger has seen the pod run."""
        trigger = self.deferral.trigger
        self.server.wait(lambda: trigger._seen is not None and trigger._seen.running, 20)

    def succeed(self, **said: Any) -> None:
        """Let the pod end as one whose evaluation has succeeded."""
        self.server.finish(self.pod, NAMESPACE, **{"log": LOG, "message": WORDS} | said)


@dataclass
class Ended:
    """What became of a try.

    :param found: the summary in XCom. :param error: what the task raised, or None.
    :param deleted: how often Airflow had deleted a pod before the trigger fired.
    """

    found: dict[str, Any]
    error: BaseException | None
    deleted: int
    event: dict[str, Any] = field(default_factory=dict)

    @property
    def cause(self) -> str | None:
        return self.found.get("cause")

    @property
    def retried(self) -> bool:
        """Whether Airflow would try again."""
        return isinstance(self.error, AirflowException) and not isinstance(self.error, AirflowFailException)


def play(
    airflow: Airflow, during: Callable[[Act], Any] | None = None, *, state: StateStore | None = None, **fields: Any
) -> Ended:
    """Execute, wait, resume.

    :param during: what happens while the trigger waits; in a thread of its own. :param state: of the task (Airflow 3.3).
    """
    task, ctx, server = airflow.operator(**fields), context() | {"task_state_store": state}, airflow.server
    deferral = defer(task, ctx)
    worker = Worker(lambda: during and during(Act(server, deferral, handle_of(ctx))))
    event = json.loads(json.dumps(fire(deferral, within_s=300)))
    worker.join()
    deleted, error = server.requests.count("delete", "pods"), None
    try:
        finish(task, ctx, deferral, event)
    except AirflowException as caught:
        error = caught
    return Ended(ctx["ti"].xcoms["return_value"], error, deleted, event)


class Worker(threading.Thread):
    """A thread that hands on what went wrong in it."""

    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._work, self._error = work, None
        self.start()

    def run(self) -> None:
        try:
            self._work()
        except BaseException as error:
            self._error = error

    def join(self, timeout: float | None = 60) -> None:
        super().join(timeout)
        if self._error is not None:
            raise self._error


def until_said(said: Said, words: str) -> Callable[[Act], None]:
    """Let a pod run until its task's log says something."""

    def during(act: Act) -> None:
        act.until_seen()
        act.server.wait(lambda: words in said, 20)
        act.succeed()

    return during


def stored(airflow: Airflow, raw: bytes = GOOD) -> None:
    """Put a result where a driver with a store would have put it."""
    keep(Store(airflow.results), EvalResult.from_json(raw))


def gone(server: KubeServer) -> None:
    """Wait until no pod is left."""
    server.wait(lambda: not server.pods(NAMESPACE), 20)


def succeeded(server: KubeServer, airflow: Airflow, ended: Ended) -> None:
    """Check the best of all ends: the whole result, kept where the gate looks; one pod, never killed, and gone."""
    from airflow_provider_lmeval.store import open_result

    assert ended.error is None
    assert ended.found["reason"] == "Succeeded"
    assert open_result(ended.found["result_uri"]).run_id == RUN
    assert ended.deleted == 0
    assert created(server) == 1
    gone(server)


def created(server: KubeServer) -> int:
    """Return how many pods Airflow has created."""
    return len(
        [seen for seen in server.requests.log if (seen.verb, seen.resource, seen.status) == ("create", "pods", 201)]
    )
