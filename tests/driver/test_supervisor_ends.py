"""How a run ends: the cause, the exit status, and the documents it leaves."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_lmeval.wire import EXIT_CODES, PROTOCOL
from tests.support.supervised import ROOT, Run, end_of, gone, wait_for


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "run")


def test_success_leaves_a_result_a_marker_and_a_status(run: Run) -> None:
    done = run.request(equivalent_command=["lm-eval", "run", "--tasks", "a b"]).finish("evaluates", "a", "b")

    assert done.returncode == 0, done.stderr
    assert (run.status["state"], run.status["reason"], run.status["cause"]) == ("Complete", "Succeeded", None)
    counts = {"done": 4, "total": 4, "tasks_done": 1, "tasks_total": 2}
    assert run.status["progress"].items() >= {**counts, "task": "b", "kind": "generate_until"}.items()
    result = run.result
    assert (result["schema_version"], result["run_id"], result["reason"]) == (1, "run-1", "Succeeded")
    assert set(result["tasks"]) == {"a", "b"}
    assert result["model"] == {"type": "hf", "args": {"pretrained": "tiny"}, "name": "tiny"}
    assert set(result["timings"]["phases"]) == {"preparing", "loading tasks", "loading model", "evaluating"}
    assert result["timings"]["seconds"] >= sum(result["timings"]["phases"].values())
    assert result["files"] == {"logs": ["logs/stderr.log", "logs/stdout.log"]}
    assert b"equivalent command: lm-eval run --tasks 'a b'" in done.stderr


def test_the_marker_holds_the_digest_of_every_kept_file(run: Run) -> None:
    run.request().finish("evaluates", "a")

    marker = json.loads(run.files.marker.read_bytes())
    assert (marker["protocol"], marker["run_id"]) == (PROTOCOL, "run-1")
    assert set(marker["files"]) == {
        "result.json", "tasks/a/result.json", "tasks/a/scores.jsonl.gz", "logs/stdout.log", "logs/stderr.log",
    }  # fmt: skip
    for name, expected in marker["files"].items():
        data = (run.root / name).read_bytes()
        assert expected == {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def test_a_reported_failure_keeps_its_cause_its_words_and_the_finished_tasks(run: Run) -> None:
    done = run.request().finish("ends", "failed", "dataset", "4")

    assert done.returncode == EXIT_CODES["dataset"]
    assert (run.result["state"], run.result["reason"], run.result["cause"]) == ("Complete", "Failed", "dataset")
    assert run.result["message"] == "KeyError: the exception's own words []"
    assert {name: task["alias"] for name, task in run.result["tasks"].items()} == {"first": "first"}
    assert run.files.marker.exists()
    assert "the last words" in run.log
    assert {key: run.status[key] for key in ("state", "reason", "cause", "message")} == {
        key: run.result[key] for key in ("state", "reason", "cause", "message")
    }


@pytest.mark.parametrize(
    ("arguments", "cause", "words"),
    [
        (("signal", "SIGKILL", "0"), "killed", "killed by SIGKILL"),
        (("signal", "SIGSEGV", "0"), "killed", "killed by SIGSEGV"),
        (("exit", "3"), "internal", "exited with status 3"),
        (("exit", "0"), "internal", "did not report to be finished"),
        (("failed", "no such cause", "1"), "internal", "the exception's own words"),
    ],
)
def test_an_early_end_says_how_and_quotes_stderr(run: Run, arguments: tuple[str, ...], cause: str, words: str) -> None:
    done = run.request().finish("ends", *arguments)

    assert done.returncode == EXIT_CODES[cause]
    assert run.result["cause"] == cause
    assert words in run.result["message"]
    if "failed" not in arguments:
        assert run.result["message"].endswith("the last words")  # the bar's last state, not its history


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_cancels_the_run_and_what_was_finished_is_kept(run: Run, number: signal.Signals) -> None:
    process = run.request().start("waits")
    pids = run.pids()
    assert run.status["state"] == "Running"
    process.send_signal(number)

    assert end_of(process).returncode == EXIT_CODES["cancelled"]
    assert (run.result["state"], run.result["reason"], run.result["cause"]) == ("Cancelled", "Cancelled", "cancelled")
    assert number.name in run.result["message"]
    assert "first" in run.result["tasks"]
    assert run.files.marker.exists()
    assert run.status["state"] == "Cancelled"
    assert all(map(gone, pids))


def test_a_child_that_ignores_sigterm_is_killed_after_the_grace_period(run: Run) -> None:
    process = run.request(grace_s=0.3).start("waits", "stubborn")
    pids = run.pids()
    process.terminate()

    assert end_of(process).returncode == EXIT_CODES["cancelled"]
    assert run.result["cause"] == "cancelled"
    assert all(map(gone, pids))


def test_the_deadline_ends_the_run(run: Run) -> None:
    done = run.request(timeout_s=0.8).finish("waits")

    assert done.returncode == EXIT_CODES["deadline"]
    assert run.result["cause"] == "deadline"
    assert "0.8 s" in run.result["message"]


def test_silence_ends_the_run_as_hung(run: Run) -> None:
    done = run.request(no_progress_s=2, timeout_s=60).finish("waits")

    assert done.returncode == EXIT_CODES["hung"]
    assert run.result["cause"] == "hung"
    assert "evaluating" in run.result["message"]


@pytest.mark.parametrize(("child", "cause"), [(("waits", "owing"), "endpoint"), (("waits",), "hung")])
def test_silence_is_a_served_models_fault_while_it_owes_answers(run: Run, child: tuple[str, ...], cause: str) -> None:
    run.request(no_progress_s=1.5, timeout_s=60, model_args={"base_url": "http://predictor/v1/completions"})

    assert run.finish(*child).returncode == EXIT_CODES[cause]
    assert run.result["cause"] == cause


def test_a_rerun_after_a_failure_replaces_the_result_and_keeps_finished_tasks(run: Run) -> None:
    run.request().finish("ends", "failed", "endpoint", "6")
    kept = (run.files.task("first") / "result.json").stat().st_mtime_ns
    done = run.finish("evaluates", "second")

    assert done.returncode == 0
    assert (run.result["cause"], run.status["cause"]) == (None, None)
    assert (run.files.task("first") / "result.json").stat().st_mtime_ns == kept
    assert "the last words" not in run.log


def test_a_rerun_after_success_does_nothing(run: Run) -> None:
    run.request().finish("evaluates", "a")
    before = {path: path.stat().st_mtime_ns for path in run.root.rglob("*.json")}
    done = run.finish("evaluates", "a")

    assert done.returncode == 0
    assert b"nothing to do" in done.stderr
    assert {path: path.stat().st_mtime_ns for path in run.root.rglob("*.json")} == before
    assert (run.files.scratch / "runs.txt").read_text() == "once\n"


def test_stale_evidence_of_an_earlier_attempt_is_no_success(run: Run) -> None:
    run.request().finish("evaluates", "a")
    run.files.marker.unlink()
    done = run.finish("ends", "exit", "0")

    assert done.returncode == EXIT_CODES["internal"]
    assert run.result["reason"] == "Failed"


def test_a_second_supervisor_refuses_and_changes_nothing(run: Run) -> None:
    first = run.request().start("waits")
    run.pids()
    second = run.finish("evaluates", "a")

    assert second.returncode == 1
    assert b"another driver is at work" in second.stderr
    assert run.status["state"] == "Running"
    first.terminate()
    assert end_of(first).returncode == EXIT_CODES["cancelled"]


def driver(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "airflow_provider_lmeval.driver", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is not JSON"),
        ("[]", "expected a JSON object"),
        ('{"protocol": 99}', "protocol 99 is not supported"),
        ('{"protocol": 1, "run_id": "x"}', "spec_hash"),
        (
            '{"protocol": 1, "run_id": "../x", "spec_hash": "", "model": "hf", "model_args": {}}',
            "request.run_id: found '../x'",
        ),
        (
            '{"protocol": 1, "run_id": "x", "spec_hash": "", "model": "hf", "model_args": {}, "grace_s": "1"}',
            "request.grace_s: expected float, found str",
        ),
        (
            '{"protocol": 1, "run_id": "x", "spec_hash": "", "model": "hf", "model_args": {}, "timeout_s": -1}',
            "request.timeout_s: found -1",
        ),
    ],
)
def test_a_request_that_cannot_be_right_is_refused_on_stderr_in_status_and_result(
    run: Run, content: str, words: str
) -> None:
    run.root.mkdir()
    run.files.request.write_text(content)
    done = driver(str(run.files.request))

    assert done.returncode == EXIT_CODES["bad_spec"]
    assert words in done.stderr
    assert (run.status["state"], run.status["cause"]) == ("Complete", "bad_spec")
    assert (run.result["reason"], run.result["cause"]) == ("Failed", "bad_spec")
    assert words in run.result["message"]


def test_a_missing_request_is_refused_without_making_a_directory(tmp_path: Path) -> None:
    done = driver(str(tmp_path / "nowhere" / "request.json"))

    assert done.returncode == EXIT_CODES["bad_spec"]
    assert "cannot read the request" in done.stderr
    assert not (tmp_path / "nowhere").exists()


def test_a_broken_request_does_not_overwrite_a_success(run: Run) -> None:
    run.request().finish("evaluates", "a")
    run.files.request.write_text("{")

    assert driver(str(run.files.request)).returncode == EXIT_CODES["bad_spec"]
    assert run.result["reason"] == "Succeeded"


def test_a_command_that_cannot_be_started_is_an_internal_failure(run: Run) -> None:
    code = (
        "import sys; from pathlib import Path; from airflow_provider_lmeval.wire import RunDir, Request;"
        "from airflow_provider_lmeval.driver.supervisor import supervise;"
        "request = Request(run_id='x', spec_hash='', model='hf', model_args={});"
        "sys.exit(supervise(request, RunDir(Path(sys.argv[1])), command=['/no/such/program']))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(run.root)], cwd=ROOT, capture_output=True, timeout=30)

    assert done.returncode == EXIT_CODES["internal"]
    assert "/no/such/program" in run.result["message"]


def test_the_status_is_always_a_whole_document_while_the_run_changes(run: Run) -> None:
    process = run.request().start("evaluates", *(f"task-{number}" for number in range(40)))
    seen = []
    while process.poll() is None:
        if run.files.status.exists():
            seen.append(run.status)  # raises for half a document
    assert end_of(process).returncode == 0
    assert {status["run_id"] for status in seen} == {"run-1"}
    assert all(status["host"] and status["pid"] == process.pid for status in seen)


def test_a_full_disk_is_a_storage_failure_and_leaves_nothing_half_written(run: Run) -> None:
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("this machine does not let the test mount a small file system")
    room = run.root.parent / "small"
    room.mkdir()
    run.root = room / "run"
    script = (
        'mount -t tmpfs -o size=512k tmpfs "$0" && mkdir "$0/run" && cp "$1" "$0/run/request.json" || exit 99\n'
        '"${@:3}"; code=$?\n'
        'ls -A "$0/run" > "$2"; cat "$0/run/status.json" > "$2.status"; exit $code'
    )
    request = Run(run.root.parent.parent / "elsewhere").request(equivalent_command=["x" * 300_000]).files.request
    listing = str(request.parent / "listing")
    prefix = ("unshare", "--mount", "bash", "-c", script, str(room), str(request), listing)
    done = run.finish("evaluates", "a", prefix=prefix)
    if done.returncode == 99:
        pytest.skip("this machine does not let the test mount a small file system")

    assert done.returncode == EXIT_CODES["storage"], done.stderr[-500:]
    left = Path(listing).read_text().split()
    assert not {"result.json", "_COMPLETE.json"} & set(left)
    assert not [name for name in left if name.endswith(".tmp")]
    assert json.loads(Path(f"{listing}.status").read_text())["cause"] == "storage"


def test_a_kill_for_memory_is_told_from_any_other(run: Run) -> None:
    group = Path("/sys/fs/cgroup/memory") / _own_memory_group() / f"lmeval-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(64 << 20))
    except OSError:
        pytest.skip("this machine does not let the test make a memory control group")
    try:
        enter = ("bash", "-c", 'echo $$ > "$0" && exec "$@"', str(group / "cgroup.procs"))
        done = run.request().finish("hoards", prefix=enter)

        assert done.returncode == EXIT_CODES["out_of_memory"], done.stderr
        assert run.result["cause"] == "out_of_memory"
        assert "out of memory" in run.result["message"]
    finally:
        wait_for(lambda: not (group / "cgroup.procs").read_text())
        group.rmdir()


def _own_memory_group() -> str:
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return path.lstrip("/")
    return ""
