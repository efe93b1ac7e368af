"""The kept logs: capped, readable at both ends, and never a reason for the child to wait."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from airflow_provider_lmeval.driver.logs import CappedFile, Console, Tee
from airflow_provider_lmeval.driver.redact import Redactor
from tests.support.supervised import ROOT, Run, end_of

LIMIT = 64 * 1024
NOTE = re.compile(rb"\n\[\.\.\. (\d+) bytes left out \.\.\.\]\n")


def test_a_line_of_ten_megabytes_and_a_progress_bar_end_up_capped_and_redacted(tmp_path: Path) -> None:
    run = Run(tmp_path / "run", {"HF_TOKEN": "cut-in-two-pieces"})
    run.request(log_limit_bytes=LIMIT, model_args={"t": {"env": "HF_TOKEN"}}, allowed_env=["HF_TOKEN"])
    done = run.finish("prints")

    assert done.returncode == 0, done.stderr[-500:]
    stdout = (run.files.logs / "stdout.log").read_bytes()
    stderr = (run.files.logs / "stderr.log").read_bytes()
    assert len(stdout) <= LIMIT
    assert stdout.startswith(b"head of stdout\nxxx")
    assert stdout.endswith(b"xxx\ntail of stdout\n")
    head, omitted, tail = NOTE.split(stdout)
    assert len(head) + int(omitted) + len(tail) == 10_000_000 + len(b"head of stdout\n\ntail of stdout\n")
    assert b"\rRunning: 99.9%" in stderr
    assert stderr.endswith(b"\n***\n")
    assert b"cut-in" not in stderr + done.stderr
    assert b"pieces" not in stderr + done.stderr


def test_a_container_log_that_nobody_reads_does_not_stall_the_run(tmp_path: Path) -> None:
    run = Run(tmp_path / "run").request(timeout_s=20)
    process = run.start("prints")  # its stdout and stderr are pipes that are full after 64 KiB
    process.wait(timeout=20)

    assert process.returncode == 0
    assert b"head of stdout" in end_of(process).stdout
    assert run.result["reason"] == "Succeeded"


def test_a_capped_file_keeps_both_ends_whatever_the_pieces(tmp_path: Path) -> None:
    for size in (1, 7, 1000, 5000):
        path = tmp_path / f"{size}.log"
        log = CappedFile(path, 1024)
        data = b"".join(f"{number:08d}\n".encode() for number in range(2000))
        for start in range(0, len(data), size):
            log.write(data[start : start + size])
            assert path.stat().st_size <= 1024 * 3 // 2 + 1024
        log.close()

        kept = path.read_bytes()
        head, omitted, tail = NOTE.split(kept)
        assert len(kept) <= 1024
        assert data.startswith(head)
        assert data.endswith(tail)
        assert min(len(head), len(tail)) >= (1024 - 80) // 2
        assert len(head) + int(omitted) + len(tail) == len(data)


def test_a_file_below_the_limit_is_kept_as_it_is(tmp_path: Path) -> None:
    log = CappedFile(tmp_path / "log", 1024)
    log.write(b"x" * 1024)
    log.close()
    assert (tmp_path / "log").read_bytes() == b"x" * 1024


def test_messages_quote_the_last_lines_and_the_last_state_of_a_bar(tmp_path: Path) -> None:
    with open("/dev/null", "wb") as nowhere:
        tee = Tee(CappedFile(tmp_path / "log", 1024), Console(Redactor()), nowhere.fileno())
        tee.feed(b"one\ntwo\n  \r\n10%\r20%\r30%\r\nthree\xff\n")
        tee.close()
    assert tee.last_lines(3) == "two\n30%\nthree\ufffd"
    assert tee.last_lines(1, width=3) == "ee\ufffd"


def test_our_own_lines_are_single_dated_and_redacted() -> None:
    code = (
        "from airflow_provider_lmeval.driver.logs import Console;"
        "from airflow_provider_lmeval.driver.redact import Redactor;"
        "c = Console(Redactor(['secret'])); c.forward(2, b'half a line'); c.say('a secret\\nb')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    half, ours, rest = done.stderr.split("\n")
    assert (half, rest) == ("half a line", "")
    assert ours.startswith("lmeval: 20")
    assert ours.endswith("Z a *** | b")
