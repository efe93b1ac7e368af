"""A triggerer's question at the pod's own address, answered by a real driver, by none, and by something else."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Iterator

import pytest

from airflow_provider_lmeval.backends.kubernetes.api import Api
from airflow_provider_lmeval.backends.kubernetes.proxy import DriverProbe, Entrance, status_token
from airflow_provider_lmeval.backends.kubernetes.view import PodView
from airflow_provider_lmeval.errors import ClusterError
from airflow_provider_lmeval.wire import Status
from tests.support.loopback import Answer, Loopback
from tests.support.supervised import Run, end_of, wait_for

SECRET = "secret-of-the-connection"
VIEW = PodView(name="pod", namespace="ns", uid="1", run_id="run-1", nonce="nonce", ip="127.0.0.1", running=True)
NO_CLUSTER: Api = None  # type: ignore[assignment] - nothing is sent to one


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Port of a driver that waits."""
    digest = hashlib.sha256(status_token(SECRET, "run-1", "nonce").encode()).hexdigest()
    server = {"host": "127.0.0.1", "port": 0, "token_sha256": digest}
    run = Run(tmp_path_factory.mktemp("probe") / "run").request(status_server=server)
    process = run.start("waits")
    run.pids()
    wait_for((run.files.scratch / "server.json").exists)
    yield json.loads((run.files.scratch / "server.json").read_text())["port"]
    process.terminate()
    end_of(process)


def probe(port: int, secret: str = SECRET) -> DriverProbe:
    return DriverProbe(secret, direct=True, entrance=Entrance(port=port))


async def test_who_holds_the_secret_learns_the_status(port: int) -> None:
    status = await probe(port).status(NO_CLUSTER, VIEW)
    assert status is not None
    assert (status.run_id, status.phase) == ("run-1", "evaluating")


async def test_another_secret_is_refused_in_words_that_help(port: int) -> None:
    with pytest.raises(ClusterError, match="password of the LM Eval connection is another one"):
        await probe(port, "another").status(NO_CLUSTER, VIEW)


async def test_an_address_where_nobody_listens_is_no_answer_yet() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert await probe(unused.getsockname()[1]).status(NO_CLUSTER, VIEW) is None


@pytest.mark.parametrize("code", [200, 401])
async def test_what_is_not_a_driver_is_not_believed(code: int) -> None:
    status = Status(run_id="run-1", message="not by a driver").to_json()
    with Loopback(lambda _: Answer.json(status, code)) as other:
        assert await probe(port_of(other)).status(NO_CLUSTER, VIEW) is None
        assert len(other.asked) == 1


async def test_a_token_is_not_taken_elsewhere() -> None:
    with Loopback(lambda _: Answer()) as elsewhere:
        moved = Answer(307, headers={"Location": f"{elsewhere.url}/v1/status"})
        with Loopback(lambda _: moved) as other:
            assert await probe(port_of(other)).status(NO_CLUSTER, VIEW) is None
        assert elsewhere.asked == []


def port_of(server: Loopback) -> int:
    return int(server.host.rpartition(":")[2])
