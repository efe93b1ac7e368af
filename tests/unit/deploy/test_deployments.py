"""The Compose file and the Helm values: valid, consistent with the provider, and without secrets."""

from __future__ import annotations

import base64
import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from airflow_provider_lmeval import __version__
from airflow_provider_lmeval.get_provider_info import get_provider_info
from airflow_provider_lmeval.hooks.lmeval import LMEvalHook
from airflow_provider_lmeval.hooks.settings import Settings
from tests.support.manifests import manifest

ROOT = Path(__file__).parents[3]
COMPOSE = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
HELM = yaml.safe_load((ROOT / "docker" / "helm-values.yaml").read_text(encoding="utf-8"))
CHART = json.loads((ROOT / "tests" / "data" / "deploy" / "airflow-chart.json").read_text(encoding="utf-8"))
AIRFLOW = {name: service for name, service in SERVICES.items() if name != "postgres"}


def shell(service: dict[str, Any]) -> str:
    return str(service["command"][-1])


def test_the_compose_file_has_the_specifications_schema() -> None:
    vendored = pytest.importorskip(
        "check_jsonschema", reason="check-jsonschema, which has the schema, is not installed"
    )
    schema = json.loads(files(vendored).joinpath("builtin_schemas/vendor/compose-spec.json").read_text("utf-8"))
    jsonschema.validate(COMPOSE, schema)


def test_worker_and_triggerer_share_a_container_and_every_part_of_airflow_is_there() -> None:
    together = shell(SERVICES["worker-and-triggerer"])
    assert "airflow scheduler" in together
    assert "airflow triggerer" in together
    assert COMPOSE["x-airflow"]["environment"]["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    others = {tuple(service["command"]) for name, service in AIRFLOW.items() if name in ("api-server", "dag-processor")}
    assert others == {("api-server",), ("dag-processor",)}


def test_nothing_starts_before_the_database_is_there() -> None:
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    for name in AIRFLOW.keys() - {"migrate"}:
        assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


def test_secrets_come_from_outside_and_the_ui_is_for_this_machine_only() -> None:
    environment = {**SERVICES["postgres"]["environment"], **COMPOSE["x-airflow"]["environment"]}
    secret = [name for name in environment if re.search(r"PASSWORD|SECRET|FERNET|SQL_ALCHEMY", name)]
    assert len(secret) == 5
    assert [name for name in secret if not re.search(r"\$\{[A-Z_]+:\?", environment[name])] == []
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_compose_runs_the_image_of_this_version_with_the_dags_and_what_runs_leave() -> None:
    common = COMPOSE["x-airflow"]
    assert f":{__version__}-" in common["image"]
    assert (ROOT / "docker" / common["volumes"][0].split(":")[0] / "post_training_gate.py").exists()
    kept = {volume.split(":")[1] for volume in common["volumes"]}
    assert {"/opt/airflow/logs", "/opt/airflow/lmeval"} <= kept
    assert set(COMPOSE["volumes"]) == {"postgres", "logs", "lmeval"}


def test_the_gpu_pool_counts_deferred_tasks() -> None:
    assert "airflow pools set gpu" in shell(SERVICES["migrate"])
    assert "--include-deferred" in shell(SERVICES["migrate"])


def lmeval_settings() -> list[str]:
    prefix = "AIRFLOW__LMEVAL__"
    found = [name for name in COMPOSE["x-airflow"]["environment"] if name.startswith(prefix)]
    return [*(name.removeprefix(prefix).lower() for name in found), *HELM["config"]["lmeval"]]


@pytest.mark.parametrize("name", lmeval_settings())
def test_every_lmeval_setting_is_an_option_of_the_provider(name: str) -> None:
    assert name in get_provider_info()["config"]["lmeval"]["options"]


def test_the_helm_values_are_values_of_the_chart() -> None:
    jsonschema.validate(HELM, CHART)


def test_the_helm_values_lead_to_the_namespace_of_the_manifests() -> None:
    settings = Settings.model_validate(HELM["config"]["lmeval"])
    namespace = manifest("namespace")["metadata"]["name"]
    (connection,) = (json.loads(each["value"]) for each in HELM["env"])
    assert (settings.backend, settings.namespace, connection["extra"]["namespace"]) == ("kubernetes", *[namespace] * 2)
    assert HELM["env"][0]["name"] == f"AIRFLOW_CONN_{settings.kubernetes_conn_id.upper()}"
    assert "@sha256:" in settings.image


def test_the_helm_values_name_a_secret_and_hold_none() -> None:
    (secret,) = HELM["secret"]
    assert secret["envName"] == f"AIRFLOW_CONN_{LMEvalHook.default_conn_name.upper()}"
    text = json.dumps(HELM)
    assert not re.search(r"password|token", text, re.IGNORECASE)
    assert base64.b64encode(b"password").decode() not in text
