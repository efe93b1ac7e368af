"""What a pod mounts, and what is made for it beforehand."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_lmeval.errors import SpecError
from airflow_provider_lmeval.plan.pod import MANAGED_BY, OWNER, POD_TTL, RUN_LABEL, companions, complete
from airflow_provider_lmeval.plan.pod_volumes import INJECT_CA, RETENTION, data_mounts
from airflow_provider_lmeval.spec.pod import PodSettings
from airflow_provider_lmeval.wire_pod import CA_FILES_ENV, ENV_FROM_FILES_ENV, MOUNTED_ENV
from tests.unit.plan.test_pod import RUN, base, env, manifest, pod_run, violations

EVERYTHING: dict[str, Any] = {
    "labels": {"team": "llm"},
    "annotations": {"note": "nightly"},
    "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}},
    "priority_class_name": "batch",
    "runtime_class_name": "nvidia",
    "scheduler_name": "volcano",
    "service_account_name": "evaluator",
    "image_pull_secrets": ["registry"],
    "queue_name": "evaluations",
    "workload_priority_class": "nightly",
    "pod_ttl": 60,
    "gpu": {"count": 2, "product": "NVIDIA-H100-80GB-HBM3", "strategy": "tensor"},
    "secret_files": [{"secret": "gcs", "path": "/secrets/gcs", "keys": ["key.json"]}],
    "endpoint_token": {"audience": "models"},
    "ca_bundles": [{"config_map": "corporate"}],
    "service_ca": True,
    "proxy": {"https": "http://proxy:3128", "no_proxy": ["registry.local"]},
    "results": {"path": "/results", "size": "10Gi", "folder_per_run": True, "storage_class_name": "fast"},
    "cache": {"claim": "models", "path": "/cache", "size": "1Ti", "access_mode": "ReadWriteMany"},
}


def mounts(pod: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What is mounted at each path: the mount and its volume."""
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    return {each["mountPath"]: {**volumes[each["name"]], **each} for each in base(pod)["volumeMounts"]}


def told(pod: dict[str, Any], variable: str) -> Any:
    return json.loads(env(base(pod))[variable])


def test_everything_together_still_satisfies_pod_security_restricted() -> None:
    assert violations(manifest(settings=EVERYTHING)) == []


def test_scheduling_settings_have_kubernetes_names() -> None:
    spec = manifest(settings=EVERYTHING)["spec"]
    assert spec["priorityClassName"] == "batch"
    assert spec["runtimeClassName"] == "nvidia"
    assert spec["schedulerName"] == "volcano"
    assert spec["serviceAccountName"] == "evaluator"
    assert spec["automountServiceAccountToken"] is False
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert spec["affinity"] == EVERYTHING["affinity"]
    assert spec["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}


def test_labels_name_the_queue() -> None:
    meta = manifest(settings=EVERYTHING)["metadata"]
    assert meta["labels"]["kueue.x-k8s.io/queue-name"] == "evaluations"
    assert meta["labels"]["kueue.x-k8s.io/priority-class"] == "nightly"
    assert meta["labels"]["team"] == "llm"
    assert meta["annotations"]["note"] == "nightly"
    assert meta["annotations"][POD_TTL] == "60"


def test_a_mig_slice_is_a_resource_of_its_own() -> None:
    resources = base(manifest(settings={"gpu": {"mig": "1g.10gb"}}))["resources"]
    assert resources["limits"] == {"nvidia.com/mig-1g.10gb": "1"}


def test_a_run_sees_only_its_own_folder() -> None:
    mounted = mounts(
        manifest(settings={"results": {"claim": "r", "path": "/r/", "sub_path": "x", "folder_per_run": True}})
    )
    assert mounted[f"/r/{RUN}"]["subPath"] == f"x/{RUN}"


def test_secret_files_are_optional_for_kubernetes_and_required_by_the_driver() -> None:
    pod = manifest(settings=EVERYTHING)
    assert mounts(pod)["/secrets/gcs"]["secret"] == {
        "secretName": "gcs", "optional": True, "defaultMode": 0o440, "items": [{"key": "key.json", "path": "key.json"}],
    }  # fmt: skip
    assert "/secrets/gcs/key.json" in [each["path"] for each in told(pod, MOUNTED_ENV)]


def test_the_token_is_bound_to_its_audience_and_lasts_as_long_as_the_pod() -> None:
    pod = manifest(settings=EVERYTHING, timeout_s=7200)
    (path,) = told(pod, ENV_FROM_FILES_ENV).values()
    projected = mounts(pod)[path.rpartition("/")[0]]["projected"]["sources"][0]["serviceAccountToken"]
    assert projected["audience"] == "models"
    assert projected["expirationSeconds"] == pod["spec"]["activeDeadlineSeconds"]


def test_certificates_are_mounted_and_the_driver_is_told() -> None:
    pod = manifest(settings=EVERYTHING)
    corporate, service = told(pod, CA_FILES_ENV)
    assert mounts(pod)[corporate.rpartition("/")[0]]["configMap"]["name"] == "corporate"
    assert mounts(pod)[service.rpartition("/")[0]]["configMap"]["optional"] is False


def test_the_api_server_and_the_clusters_own_names_are_reached_without_a_proxy() -> None:
    variables = env(base(manifest(settings=EVERYTHING)))
    assert variables["HTTPS_PROXY"] == variables["https_proxy"] == "http://proxy:3128"
    assert {"$(KUBERNETES_SERVICE_HOST)", ".svc", "localhost", "registry.local"} <= set(
        variables["NO_PROXY"].split(",")
    )
    assert "HTTP_PROXY" not in variables


def test_managed_claims_are_made_beforehand() -> None:
    run = pod_run(owner=("dag", "run", "task", "-1"))
    cache, results, certificates = companions(run, PodSettings.parse(EVERYTHING))
    assert cache["metadata"]["name"] == "models"
    assert RUN_LABEL not in cache["metadata"]["labels"]
    assert cache["metadata"]["annotations"] == {RETENTION: "Retain"}
    assert cache["spec"] == {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Ti"}}}
    assert results["metadata"]["labels"][RUN_LABEL] == RUN
    assert results["metadata"]["labels"][MANAGED_BY] == "airflow-provider-lmeval"
    assert [results["metadata"]["annotations"][name] for name in OWNER] == ["dag", "run", "task", "-1"]
    assert results["metadata"]["annotations"][RETENTION] == "Delete"
    assert results["spec"]["storageClassName"] == "fast"
    assert certificates["metadata"]["annotations"] == {INJECT_CA: "true"}


def test_a_runs_own_claim_is_the_one_that_its_pod_mounts() -> None:
    settings = PodSettings.parse({"results": {"path": "/results", "size": "1Gi"}})
    (claim,) = companions(pod_run(), settings)
    mounted = mounts(complete(pod_run(), settings))
    assert mounted["/results"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]


def test_without_managed_claims_nothing_is_made() -> None:
    assert companions(pod_run(), PodSettings.parse({"results": {"claim": "r", "path": "/r"}})) == []


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"results": {"path": "/r"}}, "give a size"),
        ({"results": {"claim": "r", "path": "/r", "storage_class_name": "fast"}}, "storage_class_name: is for managed"),
        ({"results": {"claim": "r", "path": "/r", "size": "1Gi", "retention": "Delete"}}, "others' as well"),
        ({"cache": {"claim": "c", "path": "/c", "folder_per_run": True}}, "only if runs share it"),
        ({"gpu": {"mig": "1g.10gb", "count": 2}}, "one MIG slice only"),
        ({"gpu": {"mig": "1g.10gb", "resource": "nvidia.com/gpu"}}, "names a resource itself"),
        ({"gpu": {"resource": "habana.ai/gaudi", "product": "x"}}, "set node_selector"),
        ({"gpu": {"strategy": "pipeline"}}, "'data', 'model' or 'tensor'"),
        ({"workload_priority_class": "high"}, "queue_name"),
        ({"proxy": {"http": "http://me:word@proxy:1"}}, "env_secrets"),
        ({"proxy": {"http": "proxy:1"}}, "no http"),
        (
            {"endpoint_token": {"audience": "a", "env": "T"}, "env_secrets": {"T": {"secret": "s", "key": "k"}}},
            "rename",
        ),
        ({"secret_files": [{"secret": "s", "path": "/c"}], "cache": {"claim": "c", "path": "/c/"}}, "at one path"),
    ],
)
def test_contradictions_are_refused_with_a_way_out(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(SpecError, match=problem):
        PodSettings.parse(settings)


def test_data_are_read_from_mounted_volumes_and_never_from_those_with_credentials() -> None:
    kinds = {"data": {"configMap": {}}, "keys": {"secret": {}}, "token": {"projected": {}}, "vault": {"csi": {}}}
    mounted = [{"name": name, "mountPath": f"/{name}"} for name in kinds]
    volumes = [{"name": name, **kind} for name, kind in kinds.items()]
    sidecar = {"name": "other", "volumeMounts": [{"name": "data", "mountPath": "/elsewhere"}]}
    pod = {"spec": {"containers": [{"name": "base", "volumeMounts": mounted}, sidecar], "volumes": volumes}}
    assert data_mounts(pod) == ("/data",)
    assert data_mounts({}) == ()
