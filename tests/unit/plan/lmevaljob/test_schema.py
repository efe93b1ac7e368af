"""The schema that ships is the CRD's own, it is closed, and what is right is seen to be at a glance."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_lmeval.plan.lmevaljob.findings import Findings
from airflow_provider_lmeval.plan.lmevaljob.glance import glance
from airflow_provider_lmeval.plan.lmevaljob.schema import API_VERSION, KIND, _validator, check_schema, fits, schema
from tests.support.hostile_documents import NASTY, places, with_text
from tests.support.lmevaljob_schema import SHIPPED, reduced, text
from tests.support.lmevaljobs import DATA, documents, leaves, manifest

NAME = "lmevaljobs.crd.yaml"


def crd() -> Path | None:
    """Return the CRD itself, from ``LMEVALJOB_CRD`` or from a directory of shared data beside the checkout."""
    places = [Path(os.environ["LMEVALJOB_CRD"])] if "LMEVALJOB_CRD" in os.environ else []
    places += [parent / "shared" / "data" / NAME for parent in Path(__file__).parents]
    return next((place for place in places if place.is_file()), None)


def test_what_ships_was_made_from_the_crd() -> None:
    if (place := crd()) is None:
        pytest.skip(f"no {NAME}; LMEVALJOB_CRD names one")
    data = yaml.safe_load(place.read_text(encoding="utf-8"))
    assert SHIPPED.read_text(encoding="utf-8") == text(data)
    assert reduced(data)["x-lmevaljob"] == {
        "group": API_VERSION.partition("/")[0], "version": API_VERSION.partition("/")[2], "kind": KIND,
    }  # fmt: skip


def test_every_object_with_fields_refuses_others() -> None:
    left, seen = [schema()], 0
    while left:
        node = left.pop()
        if "properties" in node:
            assert node["additionalProperties"] is False
            seen += 1
        left += [*node.get("properties", {}).values(), *[node[key] for key in ("items",) if key in node]]
    assert seen > 100


def test_it_has_the_fields_the_documents_name() -> None:
    assert len(list(leaves())) > 500
    fields = set(schema()["properties"]["spec"]["properties"])
    assert {"model", "modelArgs", "taskList", "offline", "outputs", "suspend", "chatTemplate", "pod"} <= fields
    assert "$ref" not in json.dumps(schema()["properties"]["spec"]["properties"]["taskList"])


EVERYTHING = manifest("everything")
VALUES = st.sampled_from([True, 1, 1.0, 1.5, None, "", "a", "1Gi", "-1", "é" * 300, [], ["a"], {}, {"a": "b"}, *NASTY])


@given(st.sampled_from(list(places("everything", EVERYTHING))), VALUES)
@settings(max_examples=500)
def test_what_is_taken_at_a_glance_jsonschema_takes(place, value) -> None:
    changed = with_text(EVERYTHING, place, str(value) if place[2] else value)
    assert not fits()(changed) or not list(_validator().iter_errors(changed))


@pytest.mark.parametrize("name", sorted(path.stem for path in DATA.glob("*.yaml")))
def test_the_manifests_of_the_documents_are_right_at_a_glance_unless_they_are_of_the_first_design(name: str) -> None:
    assert all(fits()(document.data) is (name != "adr-example") for document in documents(name))


def test_what_is_wrong_is_explained() -> None:
    findings = Findings()
    check_schema({**EVERYTHING, "spec": {"model": 1}}, findings)
    assert len(findings.errors) >= 2


@pytest.mark.parametrize(
    "asked",
    [
        {"not": {"type": "string"}},
        {"items": {"type": "string"}},
        {"type": "string", "required": ["a"]},
        {"type": "object", "properties": {}},
    ],
)
def test_a_schema_with_other_words_takes_nothing_at_a_glance(asked: dict[str, object]) -> None:
    assert not any(glance(asked, 10)(value) for value in ({}, [], {"a": 1}, ["a"], "a", 1, None))
