"""What a pod mounts is looked at before anything starts, and what is missing is named."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_lmeval.driver.mounts import CA_VARIABLES, prepare
from airflow_provider_lmeval.errors import RunFailedError
from airflow_provider_lmeval.wire import Cause
from airflow_provider_lmeval.wire_pod import CA_FILES_ENV, ENV_FROM_FILES_ENV, MOUNTED_ENV

CERTIFICATE = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


def mounted(path: Path, *, writable: bool = False) -> dict[str, str]:
    return {MOUNTED_ENV: json.dumps([{"path": str(path), "origin": "key 'k' of Secret 's'", "writable": writable}])}


def failure(environ: dict[str, str], scratch: Path) -> RunFailedError:
    with pytest.raises(RunFailedError) as caught:
        prepare(environ, scratch)
    return caught.value


def test_a_pod_without_mounts_is_left_alone(tmp_path: Path) -> None:
    environ: dict[str, Any] = {"HOME": "/lmeval"}
    prepare(environ, tmp_path)
    assert environ == {"HOME": "/lmeval"}


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.touch(), lambda path: path.mkdir()])
def test_what_is_missing_or_empty_is_named(tmp_path: Path, make: Any) -> None:
    make(tmp_path / "k")
    error = failure(mounted(tmp_path / "k"), tmp_path)
    assert error.cause == Cause.BAD_SPEC
    assert "key 'k' of Secret 's'" in str(error)


def test_what_is_there_is_fine(tmp_path: Path) -> None:
    (tmp_path / "k").write_text("v")
    prepare(mounted(tmp_path / "k"), tmp_path)
    prepare(mounted(tmp_path, writable=True), tmp_path)


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_volume_that_may_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir(mode=0o500)
    error = failure(mounted(tmp_path / "results", writable=True), tmp_path)
    assert error.cause == Cause.STORAGE
    assert "fs_group" in str(error)


def test_a_volume_that_is_read_only_for_everybody(tmp_path: Path) -> None:
    error = failure(mounted(Path("/proc/sys/kernel/absent"), writable=True), tmp_path)
    assert error.cause == Cause.STORAGE


def test_a_token_becomes_a_variable(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("eyJ0\n")
    environ = {ENV_FROM_FILES_ENV: json.dumps({"ENDPOINT": str(tmp_path / "token")})}
    prepare(environ, tmp_path)
    assert environ["ENDPOINT"] == "eyJ0"


def test_certificates_are_added_to_those_of_the_image(tmp_path: Path) -> None:
    (tmp_path / "image.crt").write_text(CERTIFICATE.replace("AAAA", "IMAGE"))
    (tmp_path / "ours.crt").write_text(CERTIFICATE)
    environ = {"SSL_CERT_FILE": str(tmp_path / "image.crt"), CA_FILES_ENV: json.dumps([str(tmp_path / "ours.crt")])}
    prepare(environ, tmp_path)
    bundle = Path(environ["SSL_CERT_FILE"]).read_text()
    assert "IMAGE" in bundle
    assert "AAAA" in bundle
    assert {environ[name] for name in CA_VARIABLES} == {environ["SSL_CERT_FILE"]}


def test_a_bundle_without_certificates(tmp_path: Path) -> None:
    (tmp_path / "ours.crt").write_text("nothing")
    assert "no certificate" in str(failure({CA_FILES_ENV: json.dumps([str(tmp_path / "ours.crt")])}, tmp_path))
