"""The status over HTTPS: a real driver, asked by the probe that a triggerer uses."""

from __future__ import annotations

import hashlib
import http.client
import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from airflow_provider_lmeval.backends.kubernetes.api import Api
from airflow_provider_lmeval.backends.kubernetes.proxy import DriverProbe, Entrance, status_token
from airflow_provider_lmeval.backends.kubernetes.view import PodView
from airflow_provider_lmeval.errors import ClusterError
from airflow_provider_lmeval.wire import TOKEN_HEADER
from tests.support.certificates import Authority
from tests.support.supervised import Run, end_of, wait_for

SECRET, NONCE = "secret-of-the-connection", "nonce"
TOKEN = status_token(SECRET, "run-1", NONCE)
VIEW = PodView(name="pod", namespace="ns", uid="1", run_id="run-1", nonce=NONCE, ip="127.0.0.1", running=True)
NO_CLUSTER: Api = None  # type: ignore[assignment] - nothing is sent to one


@dataclass
class Driver:
    """A driver that waits, its port, and the directories of both sides' certificates."""

    port: int
    own: Path
    place: Path
    authority: Authority

    def probe(self, client_tls: Path | None) -> DriverProbe:
        entrance = Entrance(port=self.port, tls=True, client_tls=str(client_tls))
        return DriverProbe(SECRET, direct=True, entrance=entrance)


@pytest.fixture(scope="module", params=[False, True], ids=["https", "mutual"])
def driver(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    place, authority = tmp_path_factory.mktemp("https"), Authority()
    own = authority.write(place / "driver", "driver")
    tls = {"certificate": str(own / "tls.crt"), "key": str(own / "tls.key")}
    tls |= {"client_ca": str(own / "ca.crt")} if request.param else {}
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    run = Run(place / "run").request(status_server={"host": "127.0.0.1", "port": 0, "token_sha256": digest, "tls": tls})
    process = run.start("waits")
    run.pids()
    server = run.files.scratch / "server.json"
    wait_for(server.exists)
    yield Driver(json.loads(server.read_text())["port"], own, place, authority)
    process.terminate()
    end_of(process)


async def test_who_shows_a_certificate_of_the_authority_learns_the_status(driver: Driver, tmp_path: Path) -> None:
    client = driver.authority.write(tmp_path / "airflow", "airflow")
    status = await driver.probe(client).status(NO_CLUSTER, VIEW)
    assert status is not None
    assert (status.run_id, status.phase) == ("run-1", "evaluating")


async def test_a_driver_that_another_authority_has_signed_is_not_asked(driver: Driver, tmp_path: Path) -> None:
    strange = Authority("another").write(tmp_path / "strange", "airflow")
    assert await driver.probe(strange).status(NO_CLUSTER, VIEW) is None


async def test_a_missing_certificate_is_named(driver: Driver, tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="driver_client_tls"):
        await driver.probe(tmp_path / "nothing").status(NO_CLUSTER, VIEW)


def test_without_a_certificate_the_api_servers_proxy_gets_in_unless_tls_is_mutual(
    driver: Driver, request: pytest.FixtureRequest
) -> None:
    unchecked = ssl._create_unverified_context()  # as the API server's proxy does it
    connection = http.client.HTTPSConnection("127.0.0.1", driver.port, context=unchecked, timeout=10)
    try:
        connection.request("GET", "/v1/status", headers={TOKEN_HEADER: TOKEN})
        answered = connection.getresponse().status == 200
    except (ssl.SSLError, ConnectionError):
        answered = False
    finally:
        connection.close()
    assert answered is (request.node.callspec.id == "https")


def test_plain_http_is_not_answered(driver: Driver) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", driver.port, timeout=10)
    connection.request("GET", "/v1/status", headers={TOKEN_HEADER: TOKEN})
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        connection.getresponse()
    connection.close()
