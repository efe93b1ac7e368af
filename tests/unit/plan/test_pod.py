"""A run's pod: complete, harmless under Pod Security *restricted*, and the user's own where the user says something."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_lmeval.errors import SpecError
from airflow_provider_lmeval.plan import pod_name, run_id, task_key
from airflow_provider_lmeval.plan.batch import smaller_batch
from airflow_provider_lmeval.plan.pod import (
    EXECUTES_CODE,
    LONGEST_S,
    MANAGED_BY,
    MAX_TRIES,
    OWNER,
    RUN_LABEL,
    TASK_LABEL,
    complete,
    config_map,
    deadline_seconds,
    renamed,
)
from airflow_provider_lmeval.plan.pod_container import DRIVER
from airflow_provider_lmeval.plan.pod_parts import PodRun
from airflow_provider_lmeval.spec.pod import PodSettings
from airflow_provider_lmeval.wire_pod import MAX_CONFIGMAP_REQUEST, MAX_ENV_REQUEST, REQUEST_ENV, REQUEST_FILE_ENV

RUN = run_id("training", "manual__1", "group.evaluate", -1, 2, "0" * 64)


def pod_run(**fields: Any) -> PodRun:
    known = {"run_id": RUN, "name": "pod-1", "namespace": "ns", "request": "packed", "image": "registry/lm-eval:1"}
    return PodRun(**known | {"spec_hash": "0" * 64, "nonce": "abc"} | fields)


def manifest(
    given: dict[str, Any] | None = None, settings: dict[str, Any] | None = None, **fields: Any
) -> dict[str, Any]:
    return complete(pod_run(**fields), PodSettings.parse(settings or {}), given)


def base(pod: dict[str, Any]) -> dict[str, Any]:
    return pod["spec"]["containers"][0]


def env(container: dict[str, Any]) -> dict[str, Any]:
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container["env"]}


def violations(pod: dict[str, Any]) -> list[str]:
    """What Pod Security *restricted* refuses (Kubernetes: "Pod Security Standards")."""
    spec, found = pod["spec"], []
    security = spec.get("securityContext", {})
    if security.get("runAsNonRoot") is not True or security.get("seccompProfile") != {"type": "RuntimeDefault"}:
        found.append("pod")
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        own = container.get("securityContext", {})
        if own.get("allowPrivilegeEscalation") is not False or own.get("capabilities", {}).get("drop") != ["ALL"]:
            found.append(container["name"])
    allowed = {
        "emptyDir",
        "configMap",
        "persistentVolumeClaim",
        "secret",
        "projected",
        "downwardAPI",
        "ephemeral",
        "csi",
    }
    found += [volume["name"] for volume in spec.get("volumes", []) if not (volume.keys() - {"name"}) <= allowed]
    return found


def test_the_defaults_satisfy_pod_security_restricted_in_every_container() -> None:
    settings = {
        "driver": "copy",
        "driver_image": "driver",
        "gpu": 1,
        "shm_size": "1Gi",
        "cache": {"claim": "c", "path": "/c"},
    }
    given = {"spec": {"containers": [{"name": "mine"}, {"name": "sidecar"}], "initContainers": [{"name": "first"}]}}
    assert violations(manifest(given, settings)) == []
    assert violations(manifest()) == []


def test_the_pod_holds_no_service_account_token_and_ends_by_itself() -> None:
    spec = manifest()["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["restartPolicy"] == "Never"
    assert spec["activeDeadlineSeconds"] == LONGEST_S


def test_everything_that_is_written_to_is_writable_for_any_user() -> None:
    pod = manifest()
    mounts = {each["mountPath"]: each["name"] for each in base(pod)["volumeMounts"]}
    empty = {volume["name"] for volume in pod["spec"]["volumes"] if volume.get("emptyDir") == {}}
    for path in ("HOME", "LMEVAL_RUN_DIR", "HF_HOME"):
        where = next(mount for mount in mounts if env(base(pod))[path].startswith(mount))
        assert mounts[where] in empty
    assert mounts["/tmp"] in empty


def test_the_users_values_win() -> None:
    given = {
        "metadata": {"labels": {"team": "llm"}, "annotations": {"note": "x"}},
        "spec": {
            "activeDeadlineSeconds": 60,
            "securityContext": {"runAsNonRoot": False, "runAsUser": 0},
            "containers": [
                {
                    "image": "mine",
                    "env": [{"name": "HF_HOME", "value": "/models"}],
                    "resources": {"limits": {"memory": "1Gi"}},
                    "volumeMounts": [{"name": "scratch", "mountPath": "/tmp/"}],
                    "securityContext": {"allowPrivilegeEscalation": True},
                }
            ],
            "volumes": [{"name": "scratch", "hostPath": {"path": "/scratch"}}],
        },
    }
    pod = manifest(given, {"memory": "32Gi", "gpu": 2})
    assert pod["spec"]["activeDeadlineSeconds"] == 60
    assert pod["spec"]["securityContext"]["runAsUser"] == 0
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is False
    assert base(pod)["image"] == "mine"
    assert env(base(pod))["HF_HOME"] == "/models"
    assert base(pod)["resources"]["limits"] == {"memory": "1Gi", "nvidia.com/gpu": "2"}
    assert [each["mountPath"] for each in base(pod)["volumeMounts"]].count("/tmp/") == 1
    assert "/tmp" not in [each["mountPath"] for each in base(pod)["volumeMounts"]]
    assert base(pod)["securityContext"]["allowPrivilegeEscalation"] is True
    assert pod["metadata"]["labels"]["team"] == "llm"
    assert given["metadata"]["labels"] == {"team": "llm"}


def test_labels_and_annotations_tell_whose_pod_it_is() -> None:
    meta = manifest(max_tries=2, owner=("training", "manual__1", "group.evaluate", "-1"))["metadata"]
    assert meta["labels"] == {MANAGED_BY: "airflow-provider-lmeval", RUN_LABEL: RUN, TASK_LABEL: task_key(RUN)}
    assert meta["annotations"][MAX_TRIES] == "2"
    assert [meta["annotations"][name] for name in OWNER] == ["training", "manual__1", "group.evaluate", "-1"]
    assert all(len(value) <= 63 for value in meta["labels"].values())


def test_a_small_request_is_in_the_environment() -> None:
    pod = manifest(request="x" * MAX_ENV_REQUEST)
    assert env(base(pod))[REQUEST_ENV] == "x" * MAX_ENV_REQUEST
    assert config_map(created(pod), "x" * MAX_ENV_REQUEST) is None


def test_a_large_request_comes_by_a_config_map_that_the_pod_owns() -> None:
    packed = "x" * (MAX_ENV_REQUEST + 1)
    pod = manifest(request=packed)
    assert REQUEST_ENV not in env(base(pod))
    path = env(base(pod))[REQUEST_FILE_ENV]
    (mount,) = [each for each in base(pod)["volumeMounts"] if path.startswith(each["mountPath"] + "/")]
    (volume,) = [each for each in pod["spec"]["volumes"] if each["name"] == mount["name"]]
    found = config_map(created(pod), packed)
    assert found is not None
    assert volume["configMap"]["name"] == found["metadata"]["name"]
    assert found["data"] == {path.rpartition("/")[2]: packed}
    assert found["metadata"]["ownerReferences"][0]["uid"] == "uid-1"


def test_under_another_name_the_pod_waits_for_another_config_map() -> None:
    pod = manifest(request="x" * (MAX_ENV_REQUEST + 1))
    other = renamed(pod, "pod-2")
    names = [each["configMap"]["name"] for each in other["spec"]["volumes"] if "configMap" in each]
    assert (other["metadata"]["name"], names) == ("pod-2", ["pod-2"])
    assert pod["metadata"]["name"] == "pod-1"


def test_a_request_that_fits_nowhere_is_refused_with_a_way_out() -> None:
    with pytest.raises(SpecError, match="include_paths"):
        manifest(request="x" * (MAX_CONFIGMAP_REQUEST + 1))


def created(pod: dict[str, Any]) -> dict[str, Any]:
    return pod | {"metadata": pod["metadata"] | {"uid": "uid-1"}}


def test_an_init_container_brings_the_driver() -> None:
    given = {"spec": {"containers": [{"env": [{"name": "PYTHONPATH", "value": "/mine"}]}]}}
    pod = manifest(given, {"driver": "copy", "driver_image": "driver:1"})
    (bringer,) = pod["spec"]["initContainers"]
    assert bringer["image"] == "driver:1"
    assert bringer["command"][-1] == DRIVER
    assert env(base(pod))["PYTHONPATH"] == f"{DRIVER}:/mine"
    assert {"name": "lmeval-driver", "mountPath": DRIVER, "readOnly": True} in base(pod)["volumeMounts"]


def test_copying_the_driver_needs_an_image_to_copy_from() -> None:
    with pytest.raises(SpecError, match="driver_image"):
        manifest(settings={"driver": "copy"})


def test_secrets_are_references() -> None:
    pod = manifest(settings={"env_secrets": {"HF_TOKEN": {"secret": "hub", "key": "token"}}})
    assert env(base(pod))["HF_TOKEN"] == {"secretKeyRef": {"name": "hub", "key": "token"}}


def test_resources_volumes_and_placement() -> None:
    settings = {
        "gpu": {"count": 2, "resource": "amd.com/gpu"},
        "cpu": 4,
        "memory": "32Gi",
        "shm_size": "8Gi",
        "node_selector": {"pool": "gpu"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "results": {"claim": "results", "path": "/results", "sub_path": "lmeval"},
        "claims": [{"claim": "models", "path": "/models", "read_only": True}],
        "run_as_user": 1000,
        "fs_group": 2000,
    }
    pod = manifest(settings=settings)
    spec = pod["spec"]
    assert base(pod)["resources"] == {
        "requests": {"amd.com/gpu": "2", "memory": "32Gi", "cpu": "4"},
        "limits": {"amd.com/gpu": "2", "memory": "32Gi"},
    }
    mounts = {each["mountPath"]: each for each in base(pod)["volumeMounts"]}
    assert mounts["/models"]["readOnly"] is True
    assert mounts["/results"]["subPath"] == "lmeval"
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    assert volumes[mounts["/dev/shm"]["name"]]["emptyDir"] == {"medium": "Memory", "sizeLimit": "8Gi"}
    assert volumes[mounts["/results"]["name"]]["persistentVolumeClaim"] == {"claimName": "results"}
    assert (spec["nodeSelector"], spec["tolerations"]) == ({"pool": "gpu"}, [{"key": "gpu", "operator": "Exists"}])
    assert (spec["securityContext"]["runAsUser"], spec["securityContext"]["fsGroup"]) == (1000, 2000)


def test_the_deadline_follows_the_time_limit() -> None:
    settings = PodSettings.parse({"startup_timeout": 100, "pull_timeout": 50})
    assert deadline_seconds(settings, 3600) == 3600 + 150 + 900
    assert deadline_seconds(settings, 1e9) == LONGEST_S
    assert deadline_seconds(PodSettings.parse({"active_deadline_seconds": 7}), 3600) == 7


def test_a_pods_name_follows_from_its_run_and_its_predecessor() -> None:
    first = pod_name(RUN, RUN)
    assert first == pod_name(RUN, RUN)
    assert first != pod_name(RUN, RUN, "uid-of-the-first")
    assert first != pod_name(RUN, run_id("training", "manual__1", "group.evaluate", -1, 3, "0" * 64))
    assert len(pod_name("A name that is rather long. " * 5, RUN)) <= 63


@pytest.mark.parametrize(
    ("evaluate", "tries", "expected"),
    [
        ({"batch_size": 16}, 0, {"batch_size": 16}),
        ({"batch_size": 16}, 2, {"batch_size": 4}),
        ({"batch_size": "16"}, 1, {"batch_size": 8}),
        ({"batch_size": 1}, 3, {"batch_size": 1}),
        ({"batch_size": "auto"}, 1, {"batch_size": "auto", "max_batch_size": 32}),
        ({"batch_size": "auto:4", "max_batch_size": 8}, 1, {"batch_size": "auto:4", "max_batch_size": 4}),
    ],
)
def test_after_running_out_of_memory_the_batch_is_halved(evaluate: dict, tries: int, expected: dict) -> None:
    assert smaller_batch(evaluate, tries) == expected


def test_configmaps_with_task_files_are_mounted_read_only() -> None:
    pod = manifest(config_maps={"/opt/lmeval-tasks/mine": "mine"})
    (volume,) = [each for each in pod["spec"]["volumes"] if each.get("configMap")]

    assert volume["configMap"] == {"name": "mine"}
    assert {"name": volume["name"], "mountPath": "/opt/lmeval-tasks/mine", "readOnly": True} in base(pod)[
        "volumeMounts"
    ]
    assert violations(pod) == []


def test_a_pod_that_runs_code_says_so_whatever_labels_it_is_given() -> None:
    assert EXECUTES_CODE not in manifest()["metadata"]["labels"]
    given = {"metadata": {"labels": {EXECUTES_CODE: "with-network"}}}
    shut = manifest(given, {"labels": {EXECUTES_CODE: "with-network"}}, executes_code=True)
    assert shut["metadata"]["labels"][EXECUTES_CODE] == "without-network"
    asked = manifest(executes_code=True, asks_network=True)
    assert asked["metadata"]["labels"][EXECUTES_CODE] == "with-network"
