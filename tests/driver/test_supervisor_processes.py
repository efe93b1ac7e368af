"""Processes: nothing outlives its run, nothing waits for what will not come, nothing takes too much."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_lmeval.wire import EXIT_CODES
from tests.support.supervised import STATUS_SERVER, Run, end_of, gone, wait_for

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs prctl(2) and /proc")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "run")


@linux
def test_descendants_that_left_the_group_and_ignore_sigterm_are_gone_too(run: Run) -> None:
    process = run.request(grace_s=0.2).start("waits", "family")
    pids = run.pids()
    assert len(pids) == 3
    process.terminate()

    assert end_of(process).returncode == EXIT_CODES["cancelled"]
    assert all(map(gone, pids))


@linux
def test_killing_the_supervisor_ends_the_evaluation(run: Run) -> None:
    process = run.request().start("waits", "stubborn")
    (child,) = run.pids()
    process.kill()
    process.wait(timeout=10)

    wait_for(lambda: gone(child))
    assert not run.files.result.exists()
    end_of(process)


@linux
def test_a_run_whose_supervisor_was_killed_can_be_run_again(run: Run) -> None:
    process = run.request().start("waits")
    run.pids()
    process.kill()
    end_of(process)

    assert run.finish("evaluates", "second").returncode == 0
    assert run.result["reason"] == "Succeeded"


@linux
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_as_pid_1_it_hears_signals_and_leaves_no_zombie(run: Run, number: signal.Signals) -> None:
    namespace = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    if subprocess.run([*namespace, "true"], capture_output=True).returncode:
        pytest.skip("this machine does not let the test make a PID namespace")
    process = run.request(grace_s=0.2).start("waits", "family", prefix=namespace)
    run.pids()
    supervisor = run_pid_outside(process.pid)
    assert run.status["pid"] == 1
    os.kill(supervisor, number)

    assert end_of(process).returncode == EXIT_CODES["cancelled"]
    assert run.result["cause"] == "cancelled"
    assert gone(supervisor)


def run_pid_outside(unshare: int) -> int:
    """The supervisor's id in our namespace: it is the only child of ``unshare``."""
    return int(Path(f"/proc/{unshare}/task/{unshare}/children").read_text())


@linux
def test_orphans_of_a_running_evaluation_are_reaped_meanwhile(run: Run, tmp_path: Path) -> None:
    child = tmp_path / "orphans.py"
    child.write_text(
        "import os, sys, time, subprocess\n"
        "sys.stdin.read()\n"
        "script = 'import os; os.fork() and os._exit(0); print(os.getpid(), flush=True)'\n"
        "orphan = int(subprocess.run([sys.executable, '-c', script], capture_output=True).stdout)\n"
        "end = time.monotonic() + 10\n"
        "while os.path.exists(f'/proc/{orphan}') and time.monotonic() < end: time.sleep(0.01)\n"
        "sys.exit(41 if os.path.exists(f'/proc/{orphan}') else 42)\n"
    )
    run.request().finish(str(child.with_suffix("")))
    assert "status 42" in run.result["message"]


def test_three_supervisors_and_one_place_run_one_after_the_other(tmp_path: Path) -> None:
    slots = {"directory": str(tmp_path / "slots"), "count": 1}
    runs = [Run(tmp_path / f"run-{number}").request(slots=slots, status_server=STATUS_SERVER) for number in range(3)]
    first = runs[0].start("waits")
    runs[0].pids()
    waiting = [run.start("evaluates", "a") for run in runs[1:]]
    for run in runs[1:]:
        wait_for(lambda run=run: run.files.status.exists() and run.status["message"])
        assert run.status["state"] == "New"
        assert "waiting for one of 1 places" in run.status["message"]
        assert b'"New"' in run.ask("GET", "/v1/status")[2]

    first.terminate()
    end_of(first)
    assert [end_of(process).returncode for process in waiting] == [0, 0]


def test_a_run_that_waits_for_a_place_can_be_cancelled(tmp_path: Path) -> None:
    slots = {"directory": str(tmp_path / "slots"), "count": 1}
    holder, waiter = (Run(tmp_path / name).request(slots=slots) for name in ("holder", "waiter"))
    held = holder.start("waits")
    holder.pids()
    process = waiter.start("evaluates", "a")
    wait_for(lambda: waiter.files.status.exists() and waiter.status["message"])
    process.terminate()

    assert end_of(process).returncode == EXIT_CODES["cancelled"]
    assert waiter.result["state"] == "Cancelled"
    assert not (waiter.files.scratch / "runs.txt").exists()
    held.terminate()
    end_of(held)


def test_the_place_of_a_killed_supervisor_is_free(tmp_path: Path) -> None:
    slots = {"directory": str(tmp_path / "slots"), "count": 1}
    holder, next_one = (Run(tmp_path / name).request(slots=slots) for name in ("holder", "next"))
    held = holder.start("waits")
    holder.pids()
    held.kill()
    end_of(held)

    assert next_one.finish("evaluates", "a").returncode == 0


@linux
def test_the_supervisor_stays_below_40_mb(run: Run) -> None:
    process = run.request(status_server=STATUS_SERVER, slots={"directory": str(run.root / "slots"), "count": 1}).start(
        "waits", "family"
    )
    run.pids()
    for path in ("/v1/status", "/v1/logs", "/v1/results"):
        run.ask("GET", path)
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
    process.terminate()
    end_of(process)

    assert peak
    assert int(peak[1]) < 40_000


def test_the_supervisor_imports_nothing_heavy() -> None:
    code = (
        "import sys, airflow_provider_lmeval.driver.__main__\n"
        "print([name for name in ('airflow', 'pydantic', 'torch', 'lm_eval', 'fsspec', 'yaml') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
