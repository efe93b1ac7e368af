"""A cluster that knows LMEvalJob, with and without an operator that runs them."""

from __future__ import annotations

import pytest

from tests.kube import KubeServer
from tests.kube.custom import LMEVALJOBS
from tests.kube.trustyai import JobScript, TrustyAI
from tests.kube_backend.conftest import NAMESPACE, Airflow
from tests.kube_backend.lmevaljob.jobs import Shown, results, role


@pytest.fixture
def trusty(server: KubeServer, airflow: Airflow) -> TrustyAI:
    server.register(LMEVALJOBS)
    server.user("airflow", role())
    airflow.connect(backend="lmevaljob", namespace=NAMESPACE)
    operator = TrustyAI(server, JobScript(results=results()))
    operator.start()
    return operator


@pytest.fixture
def unattended(server: KubeServer, airflow: Airflow) -> KubeServer:
    """A cluster that knows LMEvalJob and whose operator is not there."""
    server.register(LMEVALJOBS)
    server.user("airflow", role())
    airflow.connect(backend="lmevaljob", namespace=NAMESPACE)
    return server


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Shown:
    return Shown(capsys)
