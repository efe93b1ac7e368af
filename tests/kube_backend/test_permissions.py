"""Code and network: refused before the cluster has been asked for anything, and told by the pod that is allowed them."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_lmeval.errors import EvaluationPermissionError
from airflow_provider_lmeval.plan.pod import EXECUTES_CODE
from tests.kube import KubeServer
from tests.kube_backend.conftest import NAMESPACE, Airflow, context, defer, spec
from tests.support.code import CODE, HF, SERVED


def wrote(server: KubeServer) -> list[str]:
    """Return what Airflow has tried to change."""
    writes = [seen for seen in server.requests.log if seen.verb not in ("get", "list", "watch")]
    return [f"{seen.verb} {seen.resource}" for seen in writes if seen.user == "airflow"]


@pytest.mark.parametrize(("asked", "granted"), [(False, False), (True, False), (False, True)])
def test_no_code_gets_as_far_as_the_cluster_without_both_switches(
    server: KubeServer, airflow: Airflow, asked: bool, granted: bool
) -> None:
    airflow.connect(allow_code_execution=granted)
    for name, fields in CODE.items():
        with pytest.raises(AirflowFailException) as denied:
            airflow.operator(spec=spec(**fields, allow_code_execution=asked)).execute(context())
        assert "`allow_code_execution: true` in the spec" in str(denied.value), name
        assert "`[lmeval] allow_code_execution = True`" in str(denied.value), name
    assert wrote(server) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"allow_online": True},
        {"env": {"HF_HUB_OFFLINE": "0"}},
        {"data": [{"name": "away", "output_type": "generate_until", "uri": "https://h/x.csv",
                   "columns": {"question": "q", "answer": "a"}}]},
        {"task_sources": [{"type": "git", "url": "https://github.com/o/r"}]},
    ],
)  # fmt: skip
def test_nothing_that_goes_online_gets_as_far_as_the_cluster(
    server: KubeServer, airflow: Airflow, fields: dict[str, Any]
) -> None:
    with pytest.raises((AirflowFailException, EvaluationPermissionError)) as denied:  # the latter as an import error
        airflow.operator(spec=spec(**fields)).execute(context())
    assert "`allow_online: true` in the spec" in str(denied.value)
    assert "`[lmeval] allow_online = True`" in str(denied.value)
    assert wrote(server) == []


@pytest.mark.usefixtures("endless")
@pytest.mark.parametrize(
    ("fields", "profile"),
    [
        ({}, None),
        ({"allow_online": True}, None),
        ({"allow_code_execution": True}, "without-network"),
        ({"allow_code_execution": True, "model": HF | {"trust_remote_code": True}}, "without-network"),
        ({"allow_code_execution": True, "allow_online": True}, "with-network"),
        ({"allow_code_execution": True, "model": SERVED}, "with-network"),
    ],
)
def test_a_pod_that_may_run_code_has_no_network_unless_the_spec_asks(
    server: KubeServer, airflow: Airflow, fields: dict[str, Any], profile: str | None
) -> None:
    airflow.connect(
        allow_code_execution=True, allow_online=True, pod={"labels": {EXECUTES_CODE: "with-network"}} if profile else {}
    )
    defer(airflow.operator(spec=spec(**fields)), context())
    (pod,) = server.pods(NAMESPACE)
    assert pod["metadata"]["labels"].get(EXECUTES_CODE) == profile
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
