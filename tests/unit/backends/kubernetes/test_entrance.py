"""Where a driver is asked, and what it is told about how."""

from __future__ import annotations

from airflow_provider_lmeval.backends.kubernetes.proxy import Entrance, status_server
from airflow_provider_lmeval.plan.pod import complete
from airflow_provider_lmeval.plan.pod_container import STATUS_TLS
from airflow_provider_lmeval.plan.pod_parts import PodRun
from airflow_provider_lmeval.spec.pod import PodSettings

RUN = PodRun(run_id="a-b-c", name="pod", namespace="ns", request="packed", image="image", spec_hash="0" * 64)


def test_the_port_is_that_of_lmevaljobs_driver_unless_set() -> None:
    assert status_server("secret", "run", "nonce")["port"] == 18080
    assert Entrance.of(PodSettings(status_port=8082)).server("digest") == {
        "host": "*", "port": 8082, "token_sha256": "digest",
    }  # fmt: skip


def test_tls_names_files_and_asks_for_certificates_only_if_airflow_has_one() -> None:
    settings = PodSettings(status_tls_secret="driver-tls")
    assert Entrance.of(settings).server("d")["tls"] == {
        "certificate": f"{STATUS_TLS}/tls.crt", "key": f"{STATUS_TLS}/tls.key",
    }  # fmt: skip
    assert Entrance.of(settings, "/etc/client").server("d")["tls"]["client_ca"] == f"{STATUS_TLS}/ca.crt"


def test_the_pod_has_the_secret_where_the_driver_looks_for_it() -> None:
    pod = complete(RUN, PodSettings(status_tls_secret="driver-tls", status_port=8082))
    (container,) = pod["spec"]["containers"]
    assert container["ports"][0]["containerPort"] == 8082
    (mount,) = [each for each in container["volumeMounts"] if each["mountPath"] == STATUS_TLS]
    assert mount["readOnly"]
    (volume,) = [each for each in pod["spec"]["volumes"] if each["name"] == mount["name"]]
    assert volume["secret"] == {"secretName": "driver-tls"}
    assert STATUS_TLS not in str(complete(RUN, PodSettings()))
