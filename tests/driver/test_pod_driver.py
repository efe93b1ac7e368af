"""The driver as a container's main process: what goes in by the environment, what is left when the container is gone."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airflow_provider_lmeval.driver.pod import CONSOLE_BYTES, headline
from airflow_provider_lmeval.wire import DRIVER_HEADER, EXIT_CODES, TOKEN_HEADER
from airflow_provider_lmeval.wire_pod import GRACE_ENV, REQUEST_ENV, REQUEST_FILE_ENV, pack_request
from tests.support.contained import Container, document, request, tail_of_records
from tests.support.supervised import HERE, STATUS_SERVER, TOKEN, Run, end_of, gone, wait_for

ROTATED_AT = 10 * 1024 * 1024


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Container]]:
    made: list[Container] = []

    def container(**environ: str) -> Container:
        made.append(Container(tmp_path / f"container-{len(made)}", environ))
        return made[-1]

    yield container
    for one in made:
        one.end()


def test_a_successful_run_leaves_scores_in_the_message_and_its_document_in_the_log(
    make: Callable[..., Container],
) -> None:
    container = make()
    done = container.finish(request(), "evaluates", "a", "b")

    assert done.returncode == 0, done.stderr
    raw, told = container.run.result.read_bytes(), container.termination
    assert document(done.stdout) == raw
    assert told is not None
    assert (told.state, told.reason, told.cause, told.run_id) == ("Complete", "Succeeded", None, "run-1")
    assert told.metrics == {"a": {"acc,none": 0.5}, "b": {"acc,none": 0.5}}
    assert (told.truncated, told.tasks_done, told.location) == (False, 2, None)
    assert told.digest == hashlib.sha256(raw).hexdigest()
    assert told.records == tail_of_records(done.stdout) > 0


def test_a_large_request_comes_from_a_file(make: Callable[..., Container], tmp_path: Path) -> None:
    (tmp_path / "request").write_text(pack_request(request()) + "\n")
    container = make(**{REQUEST_FILE_ENV: str(tmp_path / "request")})
    assert container.finish(None, "evaluates", "a").returncode == 0
    assert container.run.result.exists()


def test_without_a_run_directory_it_works_below_the_temporary_one(make: Callable[..., Container]) -> None:
    container = make(LMEVAL_RUN_DIR="")
    assert container.finish(request(), "evaluates", "a").returncode == 0
    assert (container.root / "lmeval" / "run-1" / "result.json").exists()


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({REQUEST_ENV: "garbage"}, "packed request"),
        ({REQUEST_FILE_ENV: "/no/such/file"}, "/no/such/file"),
        ({REQUEST_ENV: pack_request(request(grace_s=-1))}, "grace_s"),
        ({}, REQUEST_ENV),
    ],
)
def test_a_request_that_cannot_be_read_is_a_bad_spec_and_says_so(
    make: Callable[..., Container], environ: dict[str, str], words: str
) -> None:
    container = make(**environ)
    done = container.finish(None, "evaluates")

    told = container.termination
    assert done.returncode == EXIT_CODES["bad_spec"]
    assert told is not None
    assert (told.state, told.reason, told.cause) == ("Complete", "Failed", "bad_spec")
    assert words in str(told.message)


def test_on_a_machine_nothing_of_this_happens(tmp_path: Path) -> None:
    run = Run(tmp_path / "run").request()
    command = [sys.executable, "-m", "airflow_provider_lmeval.driver", str(run.files.request)]
    environ = {"PYTHONPATH": str(HERE.parents[1]), "LMEVAL_TERMINATION_LOG": str(tmp_path / "message")}
    environ["LMEVAL_RUN_DIR"] = str(tmp_path / "elsewhere")
    run.files.request.write_bytes(run.files.request.read_bytes().replace(b'"hf"', b'"no such type"'))
    done = subprocess.run(command, env=environ, capture_output=True, timeout=60)

    assert run.result["reason"] == "Failed"
    assert b"LMEVAL-RECORD" not in done.stdout
    assert not (tmp_path / "message").exists()
    assert not (tmp_path / "elsewhere").exists()


def test_the_message_is_there_before_the_first_line_of_the_record(
    make: Callable[..., Container], tmp_path: Path
) -> None:
    """With nobody reading, the pipe is full before the record is out: what is known then was written before."""
    noise = random.Random(1).randbytes(100_000).hex()
    (tmp_path / "request").write_text(pack_request(request(equivalent_command=[noise])))
    container = make(**{REQUEST_FILE_ENV: str(tmp_path / "request")})
    process = container.start(None, "evaluates", "a")
    told = wait_for(lambda: (known := container.glimpse) and known.state == "Complete" and known)

    assert process.poll() is None
    assert (told.reason, told.digest) == ("Succeeded", hashlib.sha256(container.run.result.read_bytes()).hexdigest())
    done = end_of(process)
    assert document(done.stdout) == container.run.result.read_bytes()
    assert tail_of_records(done.stdout) == told.records > 5


def test_a_reader_of_stdout_that_is_gone_does_not_keep_the_container(make: Callable[..., Container]) -> None:
    container = make()
    process = container.start(request(), "evaluates", "a")
    assert process.stdout
    process.stdout.close()

    assert process.wait(30) == 0
    assert container.termination
    assert container.termination.reason == "Succeeded"


def test_sigkill_leaves_what_was_known_last(make: Callable[..., Container]) -> None:
    container = make()
    process = container.start(request(), "waits")
    wait_for(lambda: (known := container.glimpse) and known.tasks_done)
    process.kill()
    end_of(process)

    told = container.termination
    assert told is not None
    assert (told.state, told.reason, told.phase) == ("Running", "NoReason", "evaluating")
    assert (told.metrics, told.digest, told.records) == ({"first": {"acc,none": 0.5}}, None, 0)
    wait_for(lambda: gone(int((container.run.scratch / "pids.txt").read_text())))


@pytest.mark.parametrize("moment", [1, 7, 40, 150])
def test_whenever_sigkill_comes_the_message_is_whole(make: Callable[..., Container], moment: int) -> None:
    container = make()
    process = container.start(request(), "evaluates", *(f"task-{n}" for n in range(400)))
    wait_for(lambda: (known := container.glimpse) and known.tasks_done >= moment)
    process.kill()
    end_of(process)

    assert container.termination
    assert container.termination.tasks_done >= moment
    assert container.termination.state == "Running"


def test_a_failure_keeps_its_cause_and_what_was_finished(make: Callable[..., Container]) -> None:
    container = make()
    done = container.finish(request(), "ends", "signal", "SIGKILL", "0")

    told = container.termination
    assert done.returncode == EXIT_CODES["killed"]
    assert told is not None
    assert (told.cause, told.metrics) == ("killed", {"first": {"acc,none": 0.5}})
    assert "the last words" in str(told.message)
    assert json.loads(document(done.stdout) or b"{}")["cause"] == "killed"


def test_secrets_stay_out_of_message_and_log(make: Callable[..., Container]) -> None:
    container = make(TOKEN="s3cret-value")
    asked = request(model_args={"api_key": {"env": "TOKEN"}}, allowed_env=["TOKEN"])
    done = container.finish(asked, "ends", "failed", "endpoint", "6")

    assert b"s3cret-value" not in container.message.read_bytes() + done.stdout + done.stderr
    assert b"s3cret-value" not in (document(done.stdout) or b"s3cret-value")
    assert container.termination
    assert "***" in str(container.termination.message)


def test_a_talkative_evaluation_does_not_push_the_record_out_of_the_log(make: Callable[..., Container]) -> None:
    container = make()
    done = container.finish(request(), "prints")

    assert CONSOLE_BYTES * 0.9 < len(done.stdout) + len(done.stderr) < ROTATED_AT * 0.8
    assert b"this log is full" in done.stderr
    assert document(done.stdout) == container.run.result.read_bytes()


def test_the_process_ends_at_once_when_the_evaluation_has_ended(make: Callable[..., Container]) -> None:
    container = make()
    process = container.start(request(), "evaluates", "a")
    wait_for((container.run.scratch / "runs.txt").exists, 30)
    ended = time.monotonic()
    end_of(process)
    assert time.monotonic() - ended < 2


@pytest.mark.parametrize("kind", ["stubborn", "polite"])
def test_an_eviction_is_over_within_its_grace(make: Callable[..., Container], tmp_path: Path, kind: str) -> None:
    container = make(**{GRACE_ENV: "3"})
    store = tmp_path / "store"
    process = container.start(request(grace_s=60, store={"url": f"file://{store}"}), "waits", kind)
    wait_for((container.run.scratch / "pids.txt").exists)
    process.send_signal(signal.SIGTERM)
    started = time.monotonic()
    done = end_of(process)

    told = container.termination
    assert time.monotonic() - started < 3
    assert done.returncode == EXIT_CODES["cancelled"]
    assert told is not None
    assert (told.state, told.location) == ("Cancelled", f"file://{store}/run-1")
    assert (store / "run-1" / "tasks" / "first" / "result.json").exists()
    assert document(done.stdout) == (store / "run-1" / "result.json").read_bytes()


@contextlib.contextmanager
def silent_server() -> Iterator[str]:
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_an_eviction_does_not_wait_for_a_store_that_hangs(make: Callable[..., Container]) -> None:
    container = make(**{GRACE_ENV: "3"})
    container.finish(request(), "ends", "failed", "endpoint", "6")  # left a finished task: nothing to fetch
    with silent_server() as url:
        process = container.start(request(store={"url": url}), "waits")
        wait_for((container.run.scratch / "pids.txt").exists)
        process.send_signal(signal.SIGTERM)
        started = time.monotonic()
        done = end_of(process)

    assert time.monotonic() - started < 3
    assert container.termination
    assert (container.termination.state, container.termination.location) == ("Cancelled", None)
    assert b"storing the results failed: not done in the time" in done.stderr
    assert document(done.stdout) == container.run.result.read_bytes()


def test_an_eviction_while_finished_tasks_are_fetched_is_over_within_its_grace(make: Callable[..., Container]) -> None:
    container = make(**{GRACE_ENV: "3"})
    with silent_server() as url:
        process = container.start(request(store={"url": url}), "evaluates", "a")
        wait_for(lambda: (known := container.glimpse) and known.state == "New")
        status = container.run.status
        wait_for(lambda: status.exists() and "fetching" in status.read_text())
        process.send_signal(signal.SIGTERM)
        started = time.monotonic()
        done = end_of(process)

    assert time.monotonic() - started < 3
    assert done.returncode == EXIT_CODES["cancelled"]
    assert not (container.run.scratch / "runs.txt").exists()


def test_a_run_that_succeeded_before_is_told_again_and_not_repeated(make: Callable[..., Container]) -> None:
    container = make()
    first = container.finish(request(), "evaluates", "a")
    before = container.message.read_bytes()
    container.message.write_bytes(b"")  # the next container's file
    second = container.finish(request(), "evaluates", "a")

    assert second.returncode == 0
    assert container.message.read_bytes() == before
    assert document(second.stdout) == document(first.stdout)
    assert (container.run.scratch / "runs.txt").read_text() == "once\n"


def test_a_second_container_on_the_same_volume_says_that_the_first_is_at_work(make: Callable[..., Container]) -> None:
    first, second = make(), make()
    second.environ["LMEVAL_RUN_DIR"] = str(first.run.root)
    process = first.start(request(), "waits")
    wait_for((first.run.scratch / "pids.txt").exists)
    done = second.finish(request(), "evaluates", "a")

    assert done.returncode == EXIT_CODES["internal"]
    assert second.termination
    assert "another driver" in str(second.termination.message)
    process.terminate()
    end_of(process)


def test_the_status_is_served_on_all_interfaces_if_asked_for(make: Callable[..., Container]) -> None:
    import http.client

    container = make()
    process = container.start(request(status_server={**STATUS_SERVER, "host": "*"}), "waits")
    address = container.run.scratch / "server.json"
    wait_for(address.exists)
    own = ["127.0.0.1", "127.1.2.3", *(["::1"] if socket.has_dualstack_ipv6() and _has_ipv6() else [])]
    for host in own:
        connection = http.client.HTTPConnection(host, json.loads(address.read_text())["port"], timeout=10)
        connection.request("GET", "/v1/status", headers={TOKEN_HEADER: TOKEN})
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())["run_id"]) == (200, "run-1")
        assert answer.headers[DRIVER_HEADER]
        connection.close()
    process.terminate()
    end_of(process)


def _has_ipv6() -> bool:
    with contextlib.suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        return True
    return False


def test_groups_come_first_and_their_parts_last() -> None:
    score = {"metrics": {"acc,none": {"value": 0.5}}}
    tasks = {
        "a_part": {"kind": "task", **score},
        "b_alone": {"kind": "task", **score},
        "c_group": {"kind": "group", "subtasks": ["a_part", "d_inner"], **score},
        "d_inner": {"kind": "group", "subtasks": [], "metrics": {"acc,none": {"value": None}, "x": 3}},
    }
    assert list(headline(tasks)) == ["c_group", "b_alone", "d_inner", "a_part"]
    assert headline(tasks)["d_inner"] == {"acc,none": None}
