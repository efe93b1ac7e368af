"""The status server: for those who know the token, and for nobody else."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_lmeval.wire import DRIVER_HEADER, EXIT_CODES, TOKEN_HEADER, Status
from tests.support.supervised import STATUS_SERVER, TOKEN, Run, end_of, gone


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A run that waits, with its server."""
    run = Run(tmp_path_factory.mktemp("http") / "run").request(status_server=STATUS_SERVER)
    process = run.start("waits")
    run.pids()
    yield run
    process.terminate()
    end_of(process)


def test_the_status_is_that_of_the_file(waiting: Run) -> None:
    code, headers, body = waiting.ask("GET", "/v1/status")

    assert (code, headers["Content-Type"]) == (200, "application/json")
    status = Status.from_json(json.loads(body))
    assert (status.run_id, status.state, status.phase) == ("run-1", "Running", "evaluating")


@pytest.mark.parametrize(
    ("method", "path", "token", "code"),
    [
        ("GET", "/v1/status", None, 401),
        ("GET", "/v1/status", "wrong", 401),
        ("GET", "/v1/status", hashlib.sha256(TOKEN.encode()).hexdigest(), 401),  # what the run itself holds
        ("GET", "/v1/logs/stdout", "wrong", 401),
        ("GET", "/v1/nothing", "wrong", 401),
        ("POST", "/v1/cancel", "wrong", 401),
        ("GET", "/v1/nothing", TOKEN, 404),
        ("GET", "/v1/logs/../../request.json", TOKEN, 404),
        ("POST", "/v1/status", TOKEN, 404),
        ("GET", "/v1/results", TOKEN, 404),
        ("PUT", "/v1/status", TOKEN, 501),
    ],
)
def test_what_is_refused_is_refused_in_json_with_the_drivers_mark(
    waiting: Run, method: str, path: str, token: str | None, code: int
) -> None:
    found, headers, body = waiting.ask(method, path, token)

    assert found == code
    assert headers[DRIVER_HEADER] == "1"
    assert json.loads(body)["error"]
    assert waiting.status["state"] == "Running"


def test_logs_are_served_whole_and_in_one_glance(waiting: Run) -> None:
    code, headers, body = waiting.ask("GET", "/v1/logs/stderr")
    assert (code, headers["Content-Type"], body) == (200, "text/plain; charset=utf-8", b"")

    code, _, body = waiting.ask("GET", "/v1/logs")
    assert (code, json.loads(body)) == (200, {"stdout": "", "stderr": ""})


def test_headers_and_body_come_in_one_piece(waiting: Run) -> None:
    where = json.loads((waiting.files.scratch / "server.json").read_text())
    with socket.create_connection((where["host"], where["port"]), timeout=10) as connection:
        connection.sendall(f"GET /v1/status HTTP/1.1\r\nHost: x\r\n{TOKEN_HEADER}: {TOKEN}\r\n\r\n".encode())
        first = connection.recv(64 * 1024)
    head, _, body = first.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.")
    assert json.loads(body)["run_id"] == "run-1"


@pytest.mark.parametrize(
    ("request_bytes", "code"),
    [
        (f"POST /v1/cancel HTTP/1.1\r\n{TOKEN_HEADER}: {TOKEN}\r\nContent-Length: 99999999\r\n\r\n".encode(), b" 413 "),
        (f"POST /v1/cancel HTTP/1.1\r\n{TOKEN_HEADER}: {TOKEN}\r\nContent-Length: -1\r\n\r\n".encode(), b" 413 "),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", b" 414 "),
        (b"GET /v1/status HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", b" 431 "),
        (b"nonsense\r\n\r\n", b" 400 "),
    ],
)
def test_oversized_and_malformed_requests_are_answered_and_change_nothing(
    waiting: Run, request_bytes: bytes, code: bytes
) -> None:
    where = json.loads((waiting.files.scratch / "server.json").read_text())
    with socket.create_connection((where["host"], where["port"]), timeout=10) as connection:
        connection.sendall(request_bytes)
        answer = connection.recv(64 * 1024)
    assert code in answer.partition(b"\r\n")[0]
    assert waiting.ask("GET", "/v1/status")[0] == 200
    assert waiting.status["state"] == "Running"


def test_the_server_listens_on_loopback_unless_told_otherwise(waiting: Run) -> None:
    assert json.loads((waiting.files.scratch / "server.json").read_text())["host"] == "127.0.0.1"


def test_a_cancel_over_http_ends_the_run(tmp_path: Path) -> None:
    run = Run(tmp_path / "run").request(status_server=STATUS_SERVER)
    process = run.start("waits")
    pids = run.pids()
    code, _, body = run.ask("POST", "/v1/cancel")

    assert (code, json.loads(body)["cancelling"]) == (202, True)
    assert end_of(process).returncode == EXIT_CODES["cancelled"]
    assert (run.result["state"], run.result["cause"]) == ("Cancelled", "cancelled")
    assert "over HTTP" in run.result["message"]
    assert all(map(gone, pids))


def test_a_port_that_is_taken_costs_the_progress_and_not_the_run(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = {**STATUS_SERVER, "port": taken.getsockname()[1]}
        done = Run(tmp_path / "run").request(status_server=settings).finish("evaluates", "a")

    assert done.returncode == 0
    assert b"cannot serve the status" in done.stderr
