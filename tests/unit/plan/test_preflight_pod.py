"""The pod that looks before a GPU is asked for: the evaluation's, without devices and what is for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_lmeval.plan import run_id, task_key
from airflow_provider_lmeval.plan.gpu_memory import GIB, PRODUCTS, amount, device_memory, device_name
from airflow_provider_lmeval.plan.names import preflight_id
from airflow_provider_lmeval.plan.pod import PREFLIGHT_OF, QUEUE, TASK_LABEL, companions, complete
from airflow_provider_lmeval.plan.pod_parts import PodRun
from airflow_provider_lmeval.plan.preflight_pod import (
    asks_for_devices,
    preflight_given,
    preflight_request,
    preflight_settings,
    without_devices,
)
from airflow_provider_lmeval.spec.pod import PodSettings
from airflow_provider_lmeval.spec.pod_parts import Gpu
from airflow_provider_lmeval.wire import Request

RUN = run_id("dag", "manual__1", "evaluate", -1, 0, "0" * 64)
GPU_POD: dict[str, Any] = {
    "metadata": {"labels": {QUEUE: "gpus", "team": "llm"}},
    "spec": {
        "runtimeClassName": "nvidia",
        "schedulingGates": [{"name": "example.com/quota"}],
        "nodeSelector": {"accelerator": "h100"},
        "containers": [
            {"name": "base", "resources": {"limits": {"nvidia.com/gpu": "1", "memory": "64Gi"}}},
            {"name": "helper", "resources": {"limits": {"amd.com/gpu": "1", "memory": "1Gi"}}},
        ],
    },
}


def pod(given: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    settings = PodSettings.parse(fields)
    run = PodRun(
        run_id=preflight_id(RUN), name="p", namespace="ns", request="r", image="i", spec_hash="0", precedes=RUN
    )
    made = complete(run, preflight_settings(settings), preflight_given(given or {}, settings))
    return without_devices(made, settings)


def test_its_name_is_another_of_the_same_task_and_generation() -> None:
    assert preflight_id(RUN) != RUN
    assert task_key(preflight_id(RUN)) == task_key(RUN)
    assert len(preflight_id(RUN)) == len(RUN)
    assert pod()["metadata"]["labels"][PREFLIGHT_OF] == RUN
    assert pod()["metadata"]["labels"][TASK_LABEL] == task_key(RUN)


def test_it_has_what_the_evaluation_has_and_nothing_that_is_for_devices() -> None:
    made = pod(
        gpu={"count": 8, "product": "NVIDIA-L4"},
        memory="256Gi",
        cpu="32",
        shm_size="8Gi",
        queue_name="gpus",
        workload_priority_class="high",
        runtime_class_name="nvidia",
        service_account_name="evaluator",
        image_pull_secrets=["registry"],
        tolerations=[{"key": "gpu", "operator": "Exists"}],
        node_selector={"zone": "a"},
        env_secrets={"HF_TOKEN": {"secret": "hub", "key": "token"}},
        claims=[{"claim": "models", "path": "/models", "read_only": True}],
    )
    (base,) = made["spec"]["containers"]
    assert base["resources"] == {"requests": {"cpu": "500m", "memory": "4Gi"}, "limits": {"memory": "4Gi"}}
    assert QUEUE not in made["metadata"]["labels"]
    assert "runtimeClassName" not in made["spec"]
    assert made["spec"]["nodeSelector"] == {"zone": "a"}
    assert made["spec"]["tolerations"] == [{"key": "gpu", "operator": "Exists"}]
    assert (made["spec"]["serviceAccountName"], made["spec"]["imagePullSecrets"]) == (
        "evaluator",
        [{"name": "registry"}],
    )
    env = {each["name"]: each.get("value", each.get("valueFrom")) for each in base["env"]}
    assert env["HF_TOKEN"] == {"secretKeyRef": {"name": "hub", "key": "token"}}
    assert env["NVIDIA_VISIBLE_DEVICES"] == "void"
    assert [each["mountPath"] for each in base["volumeMounts"]] == ["/lmeval", "/tmp", "/models"]


def test_devices_of_a_users_own_pod_go_as_well() -> None:
    made = pod(GPU_POD)
    base, helper = made["spec"]["containers"]
    assert base["resources"]["limits"] == {"memory": "4Gi"}
    assert helper["resources"]["limits"] == {"memory": "1Gi"}
    assert made["metadata"]["labels"].keys() >= {"team"}
    assert QUEUE not in made["metadata"]["labels"]
    assert not {"runtimeClassName", "schedulingGates"} & made["spec"].keys()
    assert made["spec"]["nodeSelector"] == {"accelerator": "h100"}
    assert GPU_POD["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"  # the evaluation's stays


def test_its_own_settings_say_where_and_how_large() -> None:
    own = {"cpu": "2", "memory": "8Gi", "node_selector": {"pool": "cpu"}, "queue_name": "small"}
    made = pod(GPU_POD, preflight=own, node_selector={"zone": "a"})
    assert made["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "2", "memory": "8Gi"}
    assert made["spec"]["nodeSelector"] == {"pool": "cpu"}
    assert made["metadata"]["labels"][QUEUE] == "small"


def test_a_runtime_class_that_isolates_stays() -> None:
    assert pod(runtime_class_name="gvisor")["spec"]["runtimeClassName"] == "gvisor"


def test_a_claim_of_the_runs_own_is_an_empty_directory_and_others_are_themselves() -> None:
    results = {"claim": "kept", "path": "/r", "folder_per_run": True}
    settings = {"cache": {"path": "/cache", "size": "10Gi"}, "results": results}
    volumes = {each["name"]: each for each in pod(**settings)["spec"]["volumes"]}
    assert volumes["lmeval-claim-cache"]["emptyDir"] == {}
    assert volumes["lmeval-claim-results"]["persistentVolumeClaim"] == {"claimName": "kept"}
    mounts = {each["name"]: each for each in pod(**settings)["spec"]["containers"][0]["volumeMounts"]}
    assert mounts["lmeval-claim-results"]["subPath"] == RUN
    run = PodRun(run_id=preflight_id(RUN), name="p", namespace="n", request="", image="i", spec_hash="0", precedes=RUN)
    assert companions(run, PodSettings.parse(settings)) == []


@pytest.mark.parametrize(
    ("settings", "given", "asks"),
    [
        ({"gpu": 1}, {}, True),
        ({}, GPU_POD, True),
        ({}, {}, False),
        ({"memory": "1Gi"}, {"spec": {"containers": [{}]}}, False),
    ],
)
def test_who_asks_for_devices(settings: dict[str, Any], given: dict[str, Any], asks: bool) -> None:
    assert asks_for_devices(PodSettings.parse(settings), given) is asks


def test_its_request_stores_nothing_starts_no_ranks_and_knows_the_device() -> None:
    parallel = {"count": 4, "strategy": "data", "processes": 4, "required": True}
    whole = Request(
        run_id="p",
        spec_hash="0",
        model="hf",
        model_args={},
        store={"url": "s3://x"},
        parallel=parallel,
        no_progress_s=5.0,
    )
    found = preflight_request(whole, PodSettings.parse({"gpu": {"count": 4, "product": "NVIDIA-L4"}}))
    assert found.preflight == {"device": "NVIDIA-L4", "memory": 24 * GIB, "processes": 4}
    assert found.parallel == parallel | {"processes": 1, "required": False}
    assert (found.store, found.no_progress_s, found.timeout_s) == (None, None, 1800)


@pytest.mark.parametrize(
    ("gpu", "gib"),
    [
        ({"product": "NVIDIA-A100-SXM4-80GB"}, 80),
        ({"product": "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb"}, 5),
        ({"product": "Tesla-V100-SXM2-16GB"}, 16),
        ({"product": "NVIDIA-H100-80GB-HBM3"}, 80),
        ({"product": "Tesla-T4-SHARED"}, 16),
        ({"product": "NVIDIA-H200"}, 141),
        ({"mig": "1g.10gb"}, 10),
        ({"mig": "1g.10gb.me"}, 10),
        ({"product": "NVIDIA-L4", "memory": "20Gi"}, 20),
        ({"product": "NVIDIA-GH200-480GB"}, None),
        ({"product": "Some-Card"}, None),
        ({}, None),
    ],
)
def test_a_devices_memory_is_told_by_its_name_or_the_setting_or_not_known(gpu: dict[str, Any], gib: int | None) -> None:
    assert device_memory(Gpu.parse({"count": 1} | gpu)) == (None if gib is None else gib * GIB)


def test_quantities_are_kubernetes() -> None:
    assert [amount(each) for each in ("80Gi", "80G", "1.5Ki", "7", "2000m")] == [80 * GIB, 80 * 10**9, 1536, 7, 2]


def test_devices_without_a_product_are_called_by_their_resource() -> None:
    assert [device_name(Gpu.parse(gpu)) for gpu in (1, {"mig": "1g.10gb"}, {"product": "NVIDIA-L4"})] == [
        "nvidia.com/gpu",
        "a slice 1g.10gb",
        "NVIDIA-L4",
    ]


def test_every_product_that_is_known_is_documented() -> None:
    text = (Path(__file__).parents[3] / "docs" / "preflight.md").read_text(encoding="utf-8")
    rows = [
        line.split("|")[1:3] for line in text.partition("| product | GiB |")[2].splitlines() if line.startswith("| ")
    ]
    assert {name.strip(): int(size) for names, size in rows for name in names.split(",")} == PRODUCTS
