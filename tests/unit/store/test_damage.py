"""No damage to a stored run is ever read as a result: every truncation, every flipped bit."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_lmeval.errors import DamagedResultError
from airflow_provider_lmeval.results import EvalResult
from airflow_provider_lmeval.store import open_result
from tests.support.evidence import document, write_run

TRUTH = EvalResult.parse(document())


@pytest.fixture(scope="module")
def prefix(tmp_path_factory) -> Path:
    return write_run(tmp_path_factory.mktemp("store") / "candidate-1", document()).root


@pytest.fixture(scope="module")
def sound(prefix) -> dict[str, bytes]:
    return {name: (prefix / name).read_bytes() for name in ("result.json", "_COMPLETE.json")}


@given(data=st.data())
@settings(max_examples=300)
def test_a_damaged_result_is_never_read(prefix, sound, data):
    for name, raw in sound.items():
        (prefix / name).write_bytes(raw)
    (prefix / "result.json").write_bytes(data.draw(damage(sound["result.json"])))
    with pytest.raises(DamagedResultError):
        open_result(str(prefix))


@given(data=st.data())
@settings(max_examples=300)
def test_a_damaged_marker_never_lets_another_result_through(prefix, sound, data):
    """A flip in the digest of some other file leaves the result as it is; that file is then refused when it is read."""
    for name, raw in sound.items():
        (prefix / name).write_bytes(raw)
    (prefix / "_COMPLETE.json").write_bytes(data.draw(damage(sound["_COMPLETE.json"])))
    with suppress(DamagedResultError):
        assert open_result(str(prefix)) == TRUTH


@given(data=st.data())
def test_a_truncated_marker_is_never_a_marker(prefix, sound, data):
    (prefix / "result.json").write_bytes(sound["result.json"])
    length = data.draw(st.integers(0, len(sound["_COMPLETE.json"]) - 1))
    (prefix / "_COMPLETE.json").write_bytes(sound["_COMPLETE.json"][:length])
    with pytest.raises(DamagedResultError):
        open_result(str(prefix))


def damage(raw: bytes) -> st.SearchStrategy[bytes]:
    truncated = st.integers(0, len(raw) - 1).map(lambda length: raw[:length])
    flipped = st.builds(lambda at, bit: _flip(raw, at, bit), st.integers(0, len(raw) - 1), st.integers(0, 7))
    longer = st.binary(min_size=1, max_size=8).map(lambda tail: raw + tail)
    return truncated | flipped | longer


def _flip(raw: bytes, at: int, bit: int) -> bytes:
    damaged = bytearray(raw)
    damaged[at] ^= 1 << bit
    return bytes(damaged)
