"""The operator's ConfigMap becomes settings: every key has its place or a reason."""

from __future__ import annotations

import pytest

from airflow_provider_lmeval.errors import ConfigError
from airflow_provider_lmeval.hooks.operator_config import KEYS, WITHOUT_EQUAL, import_config, seconds
from airflow_provider_lmeval.hooks.settings import Settings

DOCUMENTED = {
    "lmes-detect-device": "true",
    "lmes-pod-image": "quay.io/trustyai/ta-lmes-job:latest",
    "lmes-driver-image": "quay.io/trustyai/ta-lmes-driver:latest",
    "lmes-grpc-port": "8082",
    "lmes-grpc-service": "trustyai-service-operator-lmes-grpc",
    "lmes-image-pull-policy": "Always",
    "lmes-default-batch-size": "8",
    "lmes-max-batch-size": "24",
    "lmes-pod-checking-interval": "10s",
    "driver-report-interval": "10s",
    "lmes-grpc-server-secret": "server-tls",
    "lmes-grpc-client-secret": "client-tls",
    "lmes-allow-online": "true",
    "lmes-allow-code-execution": "false",
    "lmes-driver-port": "18080",
}
"""Every key of the design and of the operator, with its default."""
PLATFORM = {"eval.lmeval.permitOnline": "false", "eval.lmeval.permitCodeExecution": "true"}
"""What OpenShift AI makes of a DataScienceCluster, in a ConfigMap of its own."""


def test_the_platforms_permissions_take_the_place_of_the_operators() -> None:
    found = import_config(DOCUMENTED | PLATFORM)
    assert (found.options["allow_online"], found.options["allow_code_execution"]) == ("False", "True")
    assert "lmes-allow-online: eval.lmeval.permitOnline is taken instead" in found.notes
    with pytest.raises(ConfigError, match=r"^lmes-allow-online: "):
        import_config(DOCUMENTED | PLATFORM | {"lmes-allow-online": "maybe"})


@pytest.mark.parametrize(("value", "expected"), [("1", "True"), ("t", "True"), ("F", "False"), ("TRUE", "True")])
def test_yes_and_no_are_gos(value: str, expected: str) -> None:
    assert import_config({"lmes-allow-online": value}).options == {"allow_online": expected}


def test_every_documented_key_has_its_place_or_a_reason() -> None:
    assert set(DOCUMENTED) | set(PLATFORM) == set(KEYS) | set(WITHOUT_EQUAL)
    assert {option for option, _ in KEYS.values()} <= set(Settings.model_fields)


def test_the_operators_own_configuration_becomes_ours() -> None:
    found = import_config({"kind": "ConfigMap", "data": DOCUMENTED})
    assert found.options == {
        "detect_device": "True", "image": "quay.io/trustyai/ta-lmes-job:latest",
        "driver_image": "quay.io/trustyai/ta-lmes-driver:latest", "image_pull_policy": "Always",
        "default_batch_size": "8", "max_batch_size": "24", "poll_interval": "10", "report_interval": "10",
        "driver_tls_secret": "server-tls", "allow_online": "True", "allow_code_execution": "False", "driver_port": "18080",
    }  # fmt: skip
    settings = Settings.model_validate(found.options)
    assert (settings.batch.default, settings.batch.maximum, settings.grants.online) == (8, 24, True)
    assert settings.pod_settings().status_tls_secret == "server-tls"


def test_what_has_no_equal_says_so() -> None:
    notes = import_config(DOCUMENTED).notes
    assert any(note.startswith("lmes-grpc-service") and "does not call Airflow" in note for note in notes)
    assert any(note.startswith("lmes-grpc-client-secret") and "driver_client_tls" in note for note in notes)
    assert any(note.startswith("lmes-grpc-port: lmes-driver-port is taken") for note in notes)


def test_a_key_of_something_else_is_named_and_left_out() -> None:
    found = import_config({"trustyaiServiceImage": "x", "lmes-max-batch-size": "4"})
    assert found.options == {"max_batch_size": "4"}
    assert found.notes == ["trustyaiServiceImage: no setting of evaluations; left out"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("lmes-detect-device", "yes"), ("lmes-max-batch-size", "0"), ("lmes-max-batch-size", "many"),
        ("lmes-default-batch-size", "25"), ("lmes-pod-checking-interval", "10"), ("lmes-pod-checking-interval", "0s"),
        ("driver-report-interval", "-1s"), ("lmes-driver-port", "80"), ("lmes-image-pull-policy", "Sometimes"),
        ("lmes-pod-image", ""), ("lmes-allow-online", True), ("lmes-max-batch-size", 24),
    ],
)  # fmt: skip
def test_a_wrong_value_is_an_error_that_names_the_operators_key(key, value) -> None:
    with pytest.raises(ConfigError, match=f"^{key}: "):
        import_config(DOCUMENTED | {key: value})


@pytest.mark.parametrize("data", [None, {}, [], "text", {"data": None}, {"data": {}}])
def test_nothing_to_translate_is_an_error(data) -> None:
    with pytest.raises(ConfigError, match="has no data"):
        import_config(data)


@pytest.mark.parametrize(("text", "expected"), [("10s", "10"), ("1m30s", "90"), ("1.5h", "5400"), ("500ms", "0.5")])
def test_durations_are_gos(text, expected) -> None:
    assert seconds(text) == expected
