"""The schema that ships is the CRD's own, and it is closed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml

from airflow_provider_lmeval.plan.lmevaljob.schema import API_VERSION, KIND, schema
from tests.support.lmevaljob_schema import SHIPPED, reduced, text
from tests.support.lmevaljobs import leaves

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
