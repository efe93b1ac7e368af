"""Whole runs: the real driver and the real lm-eval in a pod, from the operator's ``execute`` to the scores in XCom.

The namespace enforces Pod Security *restricted*, and Airflow has the Role of the documentation and nothing more.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, cast

import pytest
from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_lmeval.backends.kubernetes.backend import KubernetesBackend
from airflow_provider_lmeval.backends.kubernetes.view import PodView
from airflow_provider_lmeval.hooks.lmeval import LMEvalHook
from airflow_provider_lmeval.store import open_result
from airflow_provider_lmeval.wire import State, Status
from tests.kube import KubeServer
from tests.kube.kinds import CLAIMS, SECRETS
from tests.kube_backend.conftest import (
    BARE,
    IMAGE,
    NAMESPACE,
    Airflow,
    context,
    defer,
    finish,
    fire,
    handle_of,
    real,
    tls_secret,
)

pytestmark = pytest.mark.driver

CLAIM = {
    "metadata": {"name": "results", "namespace": NAMESPACE},
    "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
}
ON_A_VOLUME = {"results": {"claim": "results", "path": "/results"}}


def test_a_model_is_evaluated_in_a_pod(server: KubeServer, airflow: Airflow) -> None:
    task, ctx = airflow.operator(spec=real("tiny_mc")), context()
    deferral = defer(task, ctx)
    found = finish(task, ctx, deferral, fire(deferral))
    assert found["reason"] == "Succeeded"
    assert found["results"]["tiny_mc"]["acc,none"] > 0.5
    assert open_result(found["result_uri"]).succeeded
    server.wait(lambda: server.pods() == [])


def test_an_image_that_only_has_lm_eval_gets_the_driver_and_any_user_may_run_it(
    server: KubeServer, airflow: Airflow
) -> None:
    copying = {"driver": "copy", "driver_image": IMAGE, "image": BARE, "run_as_user": 1000650000}
    task, ctx = airflow.operator(kubernetes=copying, spec=real("tiny_mc")), context()
    deferral = defer(task, ctx)
    assert finish(task, ctx, deferral, fire(deferral))["reason"] == "Succeeded"


def test_an_image_without_the_driver_says_so(airflow: Airflow) -> None:
    task, ctx = airflow.operator(kubernetes={"image": BARE}), context()
    deferral = defer(task, ctx)
    with pytest.raises(AirflowException, match="has no driver"):
        finish(task, ctx, deferral, fire(deferral))


def test_a_run_that_is_evicted_resumes_from_what_it_has_stored(
    server: KubeServer, airflow: Airflow, capsys: Any
) -> None:
    server.create(CLAIM, CLAIMS)
    two = real("tiny_mc", "tiny_gen", "tiny_ppl")
    first = "task finished: tiny_mc"
    backend = cast("KubernetesBackend", LMEvalHook("eval").get_conn())
    task, ctx = airflow.operator(kubernetes=ON_A_VOLUME, spec=two), context()
    deferral = defer(task, ctx)

    def evict() -> None:
        name = handle_of(ctx).where["pod"]
        server.wait_for_phase(name, "Running", namespace=NAMESPACE)
        server.wait(lambda: first in backend.call(lambda api: api.pod_log(NAMESPACE, name, "base")), 120)
        server.faults.evict(name, NAMESPACE)

    killer = threading.Thread(target=evict)
    killer.start()
    event = fire(deferral)
    killer.join()
    with pytest.raises(AirflowException, match="evicted"):
        finish(task, ctx, deferral, event)
    again, ctx = airflow.operator(kubernetes=ON_A_VOLUME, spec=two), context()
    deferral = defer(again, ctx)
    capsys.readouterr()
    assert set(finish(again, ctx, deferral, fire(deferral))["results"]) == set(two["tasks"])
    assert first not in capsys.readouterr().out


def test_a_driver_that_speaks_tls_tells_how_far_it_is(server: KubeServer, airflow: Airflow, tmp_path: Path) -> None:
    server.create(tls_secret(tmp_path), SECRETS)
    airflow.connect(pod={"status_tls_secret": "driver-tls"})
    backend = cast("KubernetesBackend", LMEvalHook("eval").get_conn())
    task, ctx = airflow.operator(spec=real("tiny_mc")), context()
    deferral = defer(task, ctx)
    pod = handle_of(ctx).where["pod"]

    def told() -> Status | None:
        view = PodView.of(server.pod(pod, NAMESPACE))
        return backend.call(lambda api: backend.probe.status(api, view))

    status = server.wait(told, 60)
    assert (status.run_id, status.state) == (handle_of(ctx).run_id, State.RUNNING)
    assert finish(task, ctx, deferral, fire(deferral))["reason"] == "Succeeded"
