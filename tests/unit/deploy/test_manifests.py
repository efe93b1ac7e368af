"""The manifests in docker/kubernetes are what Kubernetes takes, and open no more than they say."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from airflow_provider_lmeval.plan.pod import EXECUTES_CODE, MANAGED_BY, MANAGER
from airflow_provider_lmeval.spec.pod import PodSettings
from tests.kube.schema import ModelSchema
from tests.support.manifests import DIRECTORY, manifest

MODELS = {
    "Namespace": "V1Namespace",
    "Role": "V1Role",
    "RoleBinding": "V1RoleBinding",
    "ResourceQuota": "V1ResourceQuota",
    "NetworkPolicy": "V1NetworkPolicy",
    "PersistentVolumeClaim": "V1PersistentVolumeClaim",
}
KUSTOMIZATION = yaml.safe_load((DIRECTORY / "kustomization.yaml").read_text(encoding="utf-8"))
NAMES = [Path(each).stem for each in KUSTOMIZATION["resources"]]
CLAIM_RIGHTS = ["managed-claims/role", "managed-claims/rolebinding"]
POLICIES = [name for name in NAMES if name.startswith("networkpolicy")]


def rendered(directory: Path) -> list[dict[str, Any]]:
    done = subprocess.run(["kubectl", "kustomize", str(directory)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


@pytest.mark.parametrize("name", [*NAMES, *CLAIM_RIGHTS])
def test_a_manifest_has_kubernetes_fields_and_types(name: str) -> None:
    found = manifest(name)
    version = found["apiVersion"].rpartition("/")[2]
    assert ModelSchema(MODELS[found["kind"]]).decode(found["kind"], version, found)[1] == []


def test_every_file_is_in_the_kustomization() -> None:
    assert sorted(NAMES) == sorted(path.stem for path in DIRECTORY.glob("*.yaml") if path.stem != "kustomization")


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl, which renders kustomizations, is not installed")
def test_it_renders_to_the_files_objects(tmp_path: Path) -> None:
    def key(found: dict[str, Any]) -> str:
        return json.dumps(found, sort_keys=True)

    assert sorted(rendered(DIRECTORY), key=key) == sorted((manifest(name) for name in NAMES), key=key)
    shutil.copytree(DIRECTORY, tmp_path / "base")
    with (tmp_path / "base" / "kustomization.yaml").open("a") as file:
        file.write("components: [kueue, managed-claims]\n")
    made = {(found["kind"], found["metadata"]["name"]) for found in rendered(tmp_path / "base")}
    assert made >= {("LocalQueue", "evaluations"), ("Role", "lmeval-claims"), ("RoleBinding", "lmeval-claims")}


def test_everything_is_in_the_namespace_that_is_made() -> None:
    made = manifest("namespace")["metadata"]["name"]
    queue = yaml.safe_load((DIRECTORY / "kueue" / "local-queue.yaml").read_text(encoding="utf-8"))
    others = [*(manifest(name) for name in [*NAMES, *CLAIM_RIGHTS] if name != "namespace"), queue]
    assert {found["metadata"]["namespace"] for found in others} == {made}


def test_the_namespace_enforces_pod_security_restricted() -> None:
    labels = manifest("namespace")["metadata"]["labels"]
    modes = ("enforce", "audit", "warn")
    assert [labels[f"pod-security.kubernetes.io/{mode}"] for mode in modes] == ["restricted"] * 3


@pytest.mark.parametrize("place", ["", "managed-claims/"])
def test_a_binding_binds_its_role_to_the_charts_accounts(place: str) -> None:
    binding, bound = manifest(f"{place}rolebinding"), manifest(f"{place}role")
    assert (binding["roleRef"]["kind"], binding["roleRef"]["name"]) == ("Role", bound["metadata"]["name"])
    accounts = {(each["namespace"], each["name"]) for each in binding["subjects"]}
    assert accounts == {("airflow", "airflow-worker"), ("airflow", "airflow-triggerer")}


def test_no_wildcard_no_exec_and_nothing_beyond_the_core_group() -> None:
    for rule in [*manifest("role")["rules"], *manifest("managed-claims/role")["rules"]]:
        assert "*" not in [*rule["verbs"], *rule["resources"]]
        assert rule["apiGroups"] == [""]
        assert not {"pods/exec", "pods/attach", "secrets"} & set(rule["resources"])


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_is_about_evaluations(name: str) -> None:
    assert manifest(name)["spec"]["podSelector"]["matchLabels"][MANAGED_BY] == MANAGER


def test_offline_lets_nothing_out_and_only_status_requests_in() -> None:
    policy = manifest("networkpolicy-offline")["spec"]
    assert policy["podSelector"]["matchLabels"] == {MANAGED_BY: MANAGER}
    assert (sorted(policy["policyTypes"]), policy["egress"]) == (["Egress", "Ingress"], [])
    assert policy["ingress"] == [{"ports": [{"protocol": "TCP", "port": PodSettings().status_port}]}]


@pytest.mark.parametrize("name", [name for name in POLICIES if name != "networkpolicy-offline"])
def test_what_a_policy_opens_needs_a_label_of_its_own_and_has_an_address_and_a_port(name: str) -> None:
    policy = manifest(name)["spec"]
    assert len(policy["podSelector"]["matchLabels"]) == 2
    assert policy["policyTypes"] == ["Egress"]
    assert [rule for rule in policy["egress"] if not rule.get("to") or not rule.get("ports")] == []


@pytest.mark.parametrize("name", [name for name in POLICIES if name != "networkpolicy-offline"])
def test_no_policy_opens_anything_for_a_pod_that_runs_code_and_has_not_asked(name: str) -> None:
    (closed,) = manifest(name)["spec"]["podSelector"]["matchExpressions"]
    assert closed == {"key": EXECUTES_CODE, "operator": "NotIn", "values": ["without-network"]}
