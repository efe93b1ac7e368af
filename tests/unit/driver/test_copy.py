"""The driver copies itself, as an init container does it for an image that only has lm-eval."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from airflow_provider_lmeval.backends import driver_files
from airflow_provider_lmeval.driver import copy


def python(*arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environ = {"PYTHONPATH": str(path)} if path else {}
    command = [sys.executable, "-S", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environ, cwd="/", check=False)


def test_the_copy_is_the_driver_and_all_of_it(tmp_path: Path) -> None:
    assert copy.main([str(tmp_path)]) == 0
    found = {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert found == driver_files.driver_files()


def test_it_runs_where_nothing_else_is_installed(tmp_path: Path) -> None:
    copy.main([str(tmp_path)])
    done = python("-m", "airflow_provider_lmeval.driver", "--help", path=tmp_path)
    assert done.returncode == 0, done.stderr
    assert python("-m", "airflow_provider_lmeval.driver", "--help").returncode != 0


def test_a_copy_can_be_copied_and_anybody_may_read_it(tmp_path: Path) -> None:
    copy.main([str(tmp_path / "first")])
    done = python("-m", "airflow_provider_lmeval.driver.copy", str(tmp_path / "second"), path=tmp_path / "first")
    assert done.returncode == 0, done.stderr
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "second" / "airflow_provider_lmeval").rglob("*")}
    assert modes == {0o755, 0o644}


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, capsys) -> None:
    (tmp_path / "file").write_text("")
    assert copy.main([str(tmp_path / "file")]) == 1
    assert str(tmp_path / "file") in capsys.readouterr().err
