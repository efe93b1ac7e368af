"""Copying models and data into a cache: what comes, what is left alone, what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_lmeval.driver.assets import Assets
from airflow_provider_lmeval.errors import LMEvalError
from airflow_provider_lmeval.spec import S3Assets
from airflow_provider_lmeval.wire import Request, RunDir, dump
from tests.support.certificates import Authority

ROOT = Path(__file__).parents[3]
KEYS = {"S3_KEY": "AKIAEXAMPLE", "S3_SECRET": "very-secret-words"}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "bucket"
    for name, text in (
        ("candidate/config.json", "{}"),
        ("candidate/model.safetensors", "weights"),
        ("other.txt", "no"),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def assets(place: Path, target: Path) -> Assets:
    return Assets({"protocol": "file", "place": [str(place)], "options": {}}, target, target.with_suffix(".ledger"))


def test_what_came_before_is_not_copied_again_unless_it_changed(source, tmp_path) -> None:
    target = tmp_path / "cache"
    assert assets(source, target).copy() == (3, 11)
    assert assets(source, target).copy() == (0, 0)
    (source / "other.txt").write_text("changed")
    (target / "candidate" / "config.json").unlink()
    assert assets(source, target).copy() == (2, 9)
    assert (target / "other.txt").read_text() == "changed"


def test_a_preflight_leaves_the_weights_where_they_are(source, tmp_path) -> None:
    where = {"protocol": "file", "place": [str(source)], "options": {}}
    assert Assets(where, tmp_path / "cache", tmp_path / "ledger", weights=False).copy() == (2, 4)
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


def test_a_copy_that_breaks_off_leaves_no_half_file(source, tmp_path) -> None:
    (source / "candidate" / "model.safetensors").unlink()
    (source / "candidate" / "model.safetensors").symlink_to("/proc/self/mem")  # can be listed and opened, not read
    with pytest.raises(OSError, match=r"mem|error"):
        assets(source, tmp_path / "cache").copy()
    assert not [path for path in (tmp_path / "cache").rglob("*") if "model" in path.name]


def test_an_empty_place_is_an_error(tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="nothing at"):
        assets(tmp_path / "empty", tmp_path / "cache").copy()


def test_more_than_the_volume_can_take_is_not_begun(source, tmp_path) -> None:
    os.truncate(source / "other.txt", 1 << 62 if os.name == "nt" else 1 << 42)  # sparse
    with pytest.raises(LMEvalError, match=r"free; give the cache a larger volume"):
        assets(source, tmp_path / "cache").copy()
    assert not list((tmp_path / "cache").rglob("*.json"))


def test_a_name_that_leads_out_of_the_cache_is_refused(source, tmp_path) -> None:
    with pytest.raises(LMEvalError, match="leads out of the cache"):
        assets(source, tmp_path / "cache")._name(f"{source}/../../etc/passwd")


def bring(place: Path, s3: dict[str, Any], **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the program as the supervisor does, for a run whose spec says where."""
    run = RunDir(place / "run")
    run.scratch.mkdir(parents=True, exist_ok=True)
    keys = {"access_key_id": {"env": "S3_KEY"}, "secret_access_key": {"env": "S3_SECRET"}}
    offline = {"cache": str(place / "cache"), "source": S3Assets.model_validate(s3 | keys).to_source()}
    request = Request(run_id="run", spec_hash="0", model="hf", model_args={}, offline=offline, allowed_env=sorted(KEYS))
    run.request.write_bytes(dump(request.to_json()))
    command = [sys.executable, "-P", "-m", "airflow_provider_lmeval.driver.assets", str(run.root)]
    given = {
        "PATH": os.environ["PATH"],
        "HOME": str(place),
        "HF_HOME": str(place),
        "PYTHONPATH": str(ROOT),
        **KEYS,
        **environ,
    }
    return subprocess.run(command, env=given, capture_output=True, text=True, timeout=60)


def test_a_bucket_is_copied_over_tls_with_the_ca_that_the_spec_names(source, tmp_path) -> None:
    pytest.importorskip("s3fs", reason="needs s3fs")
    from tests.support.s3 import Bucket

    files = Authority().write(tmp_path / "tls", "bucket")
    tls = (files / "tls.crt", files / "tls.key")
    bucket = Bucket(source, name="models", key=KEYS["S3_KEY"], secret=KEYS["S3_SECRET"], region="eu-1", certificate=tls)
    with bucket:
        s3 = {"bucket": "models", "path": "candidate", "endpoint": bucket.url, "region": "eu-1"}
        unknown = bring(tmp_path, s3, AWS_MAX_ATTEMPTS="1")
        assert (unknown.returncode, bucket.got) == (1, [])
        assert "certificate" in unknown.stderr.lower()
        done = bring(tmp_path, s3 | {"ca_bundle": str(files / "ca.crt")})
        assert done.returncode == 0, done.stderr
    assert sorted(bucket.got) == ["candidate/config.json", "candidate/model.safetensors"]
    assert (tmp_path / "cache" / "model.safetensors").read_text() == "weights"
    assert KEYS["S3_SECRET"] not in done.stderr + json.dumps(RunDir(tmp_path / "run").request.read_text())


@pytest.mark.parametrize(
    ("change", "environ"),
    [({}, {"S3_SECRET": "wrong-secret-words"}), ({"region": "us-9"}, {}), ({"bucket": "none"}, {})],
)
def test_what_the_service_refuses_is_an_error_and_no_empty_cache(change, environ, source, tmp_path) -> None:
    pytest.importorskip("s3fs", reason="needs s3fs")
    from tests.support.s3 import Bucket

    with Bucket(source, name="models", key=KEYS["S3_KEY"], secret=KEYS["S3_SECRET"], region="eu-1") as bucket:
        s3 = {"bucket": "models", "path": "candidate", "endpoint": bucket.url, "region": "eu-1"} | change
        refused = bring(tmp_path, s3, **environ)
    assert refused.returncode == 1, refused.stderr
    (line,) = refused.stderr.splitlines()
    assert "Error: " in line
    assert not (tmp_path / "cache").exists()
