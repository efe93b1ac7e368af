"""Where models and data come from without network, as a spec says it and as the driver hears it."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_lmeval.errors import EvaluationPermissionError, SpecError
from airflow_provider_lmeval.plan import Grants, Placement, check, plan_request, raise_errors
from airflow_provider_lmeval.spec import EvalSpec

S3 = {
    "bucket": {"env": "S3_BUCKET"},
    "path": "models/candidate/",
    "endpoint": "https://minio.example.com",
    "region": "eu-1",
    "access_key_id": {"env": "S3_KEY"},
    "secret_access_key": {"env": "S3_SECRET"},
}


def spec(**offline: Any) -> EvalSpec:
    return EvalSpec.parse({"model": {"type": "hf", "pretrained": "/m"}, "tasks": ["arc_easy"], "offline": offline})


def test_the_driver_gets_s3fs_own_words_and_references_instead_of_keys() -> None:
    found = plan_request(spec(cache="/models", s3=S3), "run", Grants(), Placement()).offline
    assert found == {
        "cache": "/models",
        "check": "digests",
        "source": {
            "protocol": "s3",
            "place": [{"env": "S3_BUCKET"}, "models/candidate"],
            "options": {
                "key": {"env": "S3_KEY"},
                "secret": {"env": "S3_SECRET"},
                "endpoint_url": "https://minio.example.com",
                "client_kwargs": {"region_name": "eu-1"},
            },
        },
    }


@pytest.mark.parametrize(
    ("setting", "verify"), [({"verify_ssl": False}, False), ({"ca_bundle": "/etc/ca.crt"}, "/etc/ca.crt")]
)
def test_certificates_are_checked_as_the_spec_says(setting: dict[str, Any], verify: object) -> None:
    found = plan_request(spec(s3=S3 | setting), "run", Grants(), Placement()).offline
    assert found["source"]["options"]["client_kwargs"]["verify"] == verify


def test_the_administrator_has_to_allow_every_variable_that_the_bucket_needs() -> None:
    problems = check(spec(s3=S3), Grants(env=frozenset({"S3_KEY", "S3_BUCKET"})))
    with pytest.raises(EvaluationPermissionError, match="S3_SECRET"):
        raise_errors(problems)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"s3": S3 | {"secret_access_key": "literal"}}, "secret_access_key"),
        ({"s3": S3 | {"path": "../other"}}, "leads out"),
        ({"s3": S3 | {"verify_ssl": False, "ca_bundle": "/ca"}}, "ca_bundle would not be used"),
        ({"cache": "relative"}, "cache"),
        ({"check": "often"}, "check"),
    ],
)
def test_what_cannot_be_meant_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecError, match=says):
        spec(**change)


def test_a_warm_up_without_network_is_refused() -> None:
    with pytest.raises(SpecError, match="set allow_online: true"):
        EvalSpec.parse({"model": {"type": "hf", "pretrained": "o/m"}, "tasks": ["arc_easy"], "warm_up": True})
