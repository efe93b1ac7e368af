"""A converted job is what the backend lmevaljob takes without further settings or permissions."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_lmeval.backends.lmevaljob.backend import LMEvalJobBackend
from airflow_provider_lmeval.errors import EvaluationPermissionError
from airflow_provider_lmeval.plan import Grants
from airflow_provider_lmeval.plan.lmevaljob import read_lmevaljob
from airflow_provider_lmeval.plan.lmevaljob.storage import VARIABLES
from airflow_provider_lmeval.spec.lmevaljob import LMEvalJobRun
from tests.support.lmevaljobs import minimal


def test_a_converted_jobs_batch_sizes_are_the_operators_own(tmp_path: Path) -> None:
    found = read_lmevaljob(minimal())
    backend = LMEvalJobBackend(results_uri=str(tmp_path), settings=LMEvalJobRun.parse(found.job.to_data()))
    assert {problem.level for problem in backend.check(found.spec, Grants())} <= {"warning"}


def test_a_converted_bucket_needs_no_further_permission(tmp_path: Path) -> None:
    s3 = {name: {"name": "minio", "key": name} for name in VARIABLES} | {"path": "models"}
    found = read_lmevaljob(minimal(offline={"storage": {"s3": s3}}))
    backend = LMEvalJobBackend(results_uri=str(tmp_path), settings=LMEvalJobRun.parse(found.job.to_data()))
    assert {problem.level for problem in backend.check(found.spec, Grants())} <= {"warning"}

    bare = LMEvalJobBackend(results_uri=str(tmp_path), settings=LMEvalJobRun())
    with pytest.raises(EvaluationPermissionError, match="AWS_S3_BUCKET"):
        bare.check(found.spec, Grants())
