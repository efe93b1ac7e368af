from __future__ import annotations

from airflow_provider_lmeval.spec.form import form_params
from tests.support.tiny import tiny_model, tiny_tasks

DRAWN = {"string", "integer", "number", "boolean", "array", "object", "null"}


def test_the_trigger_form_has_every_field_of_the_spec_and_only_what_it_can_draw(airflow):
    fields = airflow.api.call("GET", "dags/evaluate_on_demand/details")["params"]

    assert set(form_params()) <= set(fields)
    for name, field in fields.items():
        schema = field["schema"]
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        assert set(types) <= DRAWN, name
        assert len([t for t in types if t != "null"]) == 1, f"{name}: the form draws one type"
        assert not {"anyOf", "oneOf", "$ref"} & set(schema), name
        assert field["description"] or schema.get("description"), f"{name} has no help text"


def test_a_filled_in_form_is_evaluated_and_gated(airflow):
    api = airflow.api
    form = {
        "model_pretrained": str(tiny_model()),
        "tasks": ["tiny_mc"],
        "include_paths": [str(tiny_tasks())],
        "device": "cpu",
        "gate_metric": "acc",
        "gate_floor": 0.8,
    }
    run = api.trigger("evaluate_on_demand", form)

    assert api.wait_run("evaluate_on_demand", run) == "success"
    assert api.xcom("evaluate_on_demand", run, "gate")["outcome"] == "PASS"
