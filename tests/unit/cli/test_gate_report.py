"""``gate --report``: a file beside the exit status, which stays the verdict's."""

from __future__ import annotations

import pytest

from airflow_provider_lmeval.__main__ import main
from tests.support.foreign import samples, write_output


@pytest.fixture
def evidence(tmp_path) -> str:
    write_output(tmp_path / "model", {"quiz": samples(400, wrong=200)})
    (tmp_path / "rules.yaml").write_text("rules: [{task: quiz, metric: acc, floor: 0.8}]")
    return str(tmp_path / "model")


@pytest.mark.parametrize(("name", "begins"), [("r.html", "<!doctype html>"), ("new/r.md", "# FAIL")])
def test_the_file_s_ending_decides_the_format(tmp_path, evidence, name, begins) -> None:
    rules = str(tmp_path / "rules.yaml")
    assert main(["gate", evidence, "--rules", rules, "--report", str(tmp_path / name)]) == 1
    assert (tmp_path / name).read_text(encoding="utf-8").lstrip().startswith(begins)


def test_another_format_is_a_usage_error_before_anything_is_read(tmp_path, evidence, capsys) -> None:
    assert main(["gate", evidence, "--report", str(tmp_path / "r.pdf")]) == 2
    assert ".html" in capsys.readouterr().err


def test_evidence_that_cannot_be_read_leaves_a_report(tmp_path) -> None:
    assert main(["gate", str(tmp_path / "missing"), "--report", str(tmp_path / "r.html")]) == 4
    assert "there is nothing at" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_a_report_that_cannot_be_written_changes_no_verdict(tmp_path, evidence, capsys) -> None:
    rules, blocked = str(tmp_path / "rules.yaml"), tmp_path / "rules.yaml" / "r.html"
    assert main(["gate", evidence, "--rules", rules, "--report", str(blocked)]) == 1
    assert "no report:" in capsys.readouterr().err
