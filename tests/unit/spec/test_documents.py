"""Text that nothing can carry further is refused in every document that people write, keys included, with its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_lmeval.errors import SpecError
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.spec.lmevaljob import LMEvalJobSettings
from airflow_provider_lmeval.spec.outputs import parse_outputs
from airflow_provider_lmeval.spec.pod import PodSettings

HF = {"model": {"type": "hf", "pretrained": "/m"}, "tasks": ["arc_easy"]}
DOCUMENTS: dict[str, Callable[[str], Any]] = {
    "a spec": lambda text: EvalSpec.parse(HF | {"metadata": {text: 1}}),
    "settings of a pod": lambda text: PodSettings.parse({"annotations": {text: "v"}}),
    "settings of a job": lambda text: LMEvalJobSettings.parse({"pod": {"env": [{"name": "A", text: "v"}]}}),
    "an output": lambda text: parse_outputs({"type": "mlflow", "conn_id": "c", "tags": {text: "v"}}),
}


@pytest.mark.parametrize("parse", DOCUMENTS.values(), ids=DOCUMENTS)
@pytest.mark.parametrize(("text", "words"), [("a\x00", "NUL"), ("a\ud800", "lone surrogate")])
def test_a_key_that_nothing_can_carry_is_refused(parse: Callable[[str], Any], text: str, words: str) -> None:
    parse("a")
    with pytest.raises(SpecError, match=words):
        parse(text)
