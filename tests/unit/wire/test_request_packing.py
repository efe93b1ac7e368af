"""A request on its way into a container: unchanged, in order, and nothing else accepted in its place."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lmeval.errors import ProtocolError
from airflow_provider_lmeval.wire import Request
from airflow_provider_lmeval.wire_pod import MAX_ENV_REQUEST, MAX_UNPACKED, pack_request, unpack_request

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


def request(**fields: Any) -> Request:
    return Request(**{"run_id": "run-1", "spec_hash": "0", "model": "hf", "model_args": {}, **fields})


def packed(raw: bytes) -> str:
    return base64.b64encode(zlib.compress(raw)).decode()


@given(arguments=st.dictionaries(texts, json_values), tasks=st.lists(texts))
def test_a_request_arrives_as_it_was_sent(arguments: dict[str, Any], tasks: list[str]) -> None:
    sent = request(model_args=arguments, tasks=tasks)
    text = pack_request(sent)

    assert text.isascii()
    assert not set(text) & set(" \n$(){}")  # nothing that a pod's $(VARIABLE) expansion or a shell would touch
    assert unpack_request(f"\n{text}\n") == sent


def test_the_order_of_keys_arrives_because_unitxt_gives_it_a_meaning() -> None:
    sent = request(unitxt=[{"task": "t", "recipe": {"z": 1, "a": {"y": 2, "b": 3}}}])

    arrived = unpack_request(pack_request(sent))
    assert json.dumps(arrived.unitxt) == json.dumps(sent.unitxt)


def test_hundreds_of_tasks_fit_into_the_environment() -> None:
    assert len(pack_request(request(tasks=[f"mmlu_subject_{n}" for n in range(2000)]))) < MAX_ENV_REQUEST


@pytest.mark.parametrize(
    "text",
    ["", "no base64 …", "aGVsbG8=", packed(b"{"), packed(b"[]"), packed(b"\xff"), packed(b"[" * 100_000), packed(b"{}") * 2],
)  # fmt: skip
def test_garbage_is_an_error_of_the_protocol(text: str) -> None:
    with pytest.raises(ProtocolError):
        unpack_request(text)


def test_a_request_that_was_cut_is_an_error() -> None:
    text = pack_request(request(tasks=["a", "b"]))
    with pytest.raises(ProtocolError, match="packed request"):
        unpack_request(text[: len(text) // 2 // 4 * 4])


def test_a_bomb_does_not_go_off() -> None:
    with pytest.raises(ProtocolError, match=str(MAX_UNPACKED)):
        unpack_request(packed(b" " * (MAX_UNPACKED + 1)))


def test_another_releases_request_is_refused_in_words_that_help() -> None:
    with pytest.raises(ProtocolError, match="same release"):
        unpack_request(packed(json.dumps({**request().to_json(), "protocol": 99}).encode()))
