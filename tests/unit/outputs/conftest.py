"""A stored run, and where it is published."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_lmeval.outputs import StoredRun
from airflow_provider_lmeval.store import Store
from tests.support.evidence import document, write_run


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return Store(tmp_path / "store").put_run(write_run(tmp_path / "run", document()))


@pytest.fixture
def run(uri: str) -> StoredRun:
    return StoredRun(uri)
