"""Pod settings that cannot work: an error before or at the start, with the remedy, and nothing left behind."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from airflow_provider_lmeval.wire import Cause
from tests.kube import KubeServer
from tests.kube.kinds import CLAIMS, CONFIG_MAPS
from tests.kube_backend.conftest import NAMESPACE, Airflow, context, defer, finish, fire

ABSENT = "registry.example.com/private:1"


def failure(server: KubeServer, airflow: Airflow, kubernetes: dict[str, Any]) -> tuple[str, str]:
    """Run a task to its failure; return cause and message, and see that no pod is left."""
    task, ctx = airflow.operator(kubernetes=kubernetes, preflight="rules"), context()
    deferral = defer(task, ctx)
    with pytest.raises(AirflowException) as caught:
        finish(task, ctx, deferral, fire(deferral))
    server.wait(lambda: not server.pods(NAMESPACE))
    return ctx["ti"].xcoms["return_value"]["cause"], str(caught.value)


def claim(name: str) -> dict[str, Any]:
    request = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {"metadata": {"name": name, "namespace": NAMESPACE}, "spec": request}


def test_more_gpus_than_any_node_has(server: KubeServer, airflow: Airflow) -> None:
    cause, message = failure(server, airflow, {"gpu": {"count": 8, "strategy": "data"}, "scheduling_timeout": 1})
    assert cause == Cause.UNSCHEDULABLE
    assert "Insufficient nvidia.com/gpu" in message
    assert "device plugin" in message


def test_a_product_that_no_node_has(server: KubeServer, airflow: Airflow) -> None:
    cause, message = failure(server, airflow, {"gpu": {"product": "NVIDIA-B200"}, "scheduling_timeout": 1})
    assert cause == Cause.UNSCHEDULABLE
    assert "gpu.product" in message


@pytest.mark.parametrize("kind", ["api", "strategy"])
def test_a_strategy_that_the_model_type_does_not_have(airflow: Airflow, server: KubeServer, kind: str) -> None:
    served = {"type": "local-completions", "model": "m", "base_url": "http://m/v1/completions", "tokenizer": "t"}
    model = served if kind == "api" else {"type": "vllm", "pretrained": "/models/m"}
    task = airflow.operator(spec={"model": model, "tasks": ["arc_easy"]}, gpu={"count": 2, "strategy": "model"})
    with pytest.raises(AirflowFailException, match=r"gpu\.strategy"):
        task.execute(context())
    assert server.pods(NAMESPACE) == []


def test_a_claim_that_is_not_there(server: KubeServer, airflow: Airflow) -> None:
    settings = {"results": {"claim": "absent", "path": "/results"}, "scheduling_timeout": 1}
    cause, message = failure(server, airflow, settings)
    assert cause == Cause.CLAIM_PENDING
    assert 'persistentvolumeclaim "absent" not found' in message
    assert "give it a size" in message


def test_a_claim_that_is_not_bound(server: KubeServer, airflow: Airflow) -> None:
    server.faults.no_storage_class()
    server.create(claim("pending"), CLAIMS)
    settings = {"results": {"claim": "pending", "path": "/results"}, "scheduling_timeout": 1}
    cause, message = failure(server, airflow, settings)
    assert cause == Cause.CLAIM_PENDING
    assert "storage class" in message


def test_a_claim_that_may_not_be_written(server: KubeServer, airflow: Airflow) -> None:
    server.create(claim("archive"), CLAIMS)
    volume = {"name": "archive", "persistentVolumeClaim": {"claimName": "archive", "readOnly": True}}
    mount = {"name": "archive", "mountPath": "/results", "readOnly": True}
    template = {"spec": {"volumes": [volume], "containers": [{"name": "base", "volumeMounts": [mount]}]}}
    settings = {"pod_template_dict": template, "results": {"claim": "archive", "path": "/results"}}
    cause, message = failure(server, airflow, settings)
    assert cause == Cause.STORAGE
    assert "claim 'archive'" in message
    assert "read-only" in message


def test_credentials_that_the_registry_does_not_accept(server: KubeServer, airflow: Airflow) -> None:
    says = "failed to authorize: failed to fetch anonymous token: 401 Unauthorized"
    server.call(lambda: setattr(server.cluster.settings, "registry_says", says))
    settings = {"image": ABSENT, "image_pull_secrets": ["wrong"], "pull_timeout": 1}
    cause, message = failure(server, airflow, settings)
    assert cause == Cause.IMAGE
    assert "401 Unauthorized" in message
    assert "image_pull_secrets" in message


def test_an_image_that_is_not_in_the_registry(server: KubeServer, airflow: Airflow) -> None:
    cause, message = failure(server, airflow, {"image": ABSENT, "pull_timeout": 1})
    assert cause == Cause.IMAGE
    assert "name and tag" in message


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        ({"ca_bundles": [{"config_map": "corporate"}]}, "key 'ca-bundle.crt' of ConfigMap 'corporate'"),
        ({"secret_files": [{"secret": "gcs", "path": "/secrets", "keys": ["k.json"]}]}, "key 'k.json' of Secret 'gcs'"),
    ],
)
def test_certificates_or_secrets_that_are_not_there(
    server: KubeServer, airflow: Airflow, settings: dict[str, Any], missing: str
) -> None:
    cause, message = failure(server, airflow, settings)
    assert cause == Cause.BAD_SPEC
    assert missing in message


def test_a_bundle_that_holds_no_certificate(server: KubeServer, airflow: Airflow) -> None:
    metadata = {"name": "corporate", "namespace": NAMESPACE}
    server.create({"metadata": metadata, "data": {"ca-bundle.crt": "not a certificate"}}, CONFIG_MAPS)
    cause, message = failure(server, airflow, {"ca_bundles": [{"config_map": "corporate"}]})
    assert cause == Cause.BAD_SPEC
    assert "no certificate" in message


def test_a_service_account_that_is_not_there(server: KubeServer, airflow: Airflow) -> None:
    with pytest.raises(AirflowFailException, match="Create the service account"):
        airflow.operator(kubernetes={"service_account_name": "nobody"}).execute(context())
    assert server.pods(NAMESPACE) == []
