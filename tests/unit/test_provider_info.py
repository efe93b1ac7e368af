"""What Airflow is told about this package is true, and Airflow accepts it."""

from __future__ import annotations

import json
import re
from importlib import import_module
from importlib.metadata import distribution, entry_points
from pathlib import Path

import airflow
import jsonschema
import pytest

import airflow_provider_lmeval
from airflow_provider_lmeval.get_provider_info import get_provider_info

INFO = get_provider_info()
PACKAGE = Path(airflow_provider_lmeval.__file__).parent
COMPONENTS = ("operators", "sensors", "hooks", "triggers")


def modules(kind: str) -> list[str]:
    return [name for entry in INFO[kind] for name in entry["python-modules"]]


def test_airflow_s_own_schema_accepts_it():
    schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text())
    jsonschema.validate(INFO, schema)


def test_airflow_finds_it_through_the_entry_point_of_the_distribution_it_names():
    (entry,) = [
        e for e in entry_points(group="apache_airflow_provider") if e.dist and e.dist.name == INFO["package-name"]
    ]
    assert entry.load()() == INFO
    assert distribution(INFO["package-name"]).version == airflow_provider_lmeval.__version__


@pytest.mark.parametrize("kind", COMPONENTS)
def test_every_module_it_names_can_be_imported_and_none_is_missing(kind: str):
    classes = {"operators": "Operator", "sensors": "Sensor", "hooks": "Hook", "triggers": "Trigger"}
    found = {
        f"airflow_provider_lmeval.{kind}.{file.stem}"
        for file in (PACKAGE / kind).glob("[!_]*.py")
        if re.search(rf"^class LMEval\w*{classes[kind]}\(", file.read_text(), re.MULTILINE)
    }
    assert set(modules(kind)) == found
    for name in modules(kind):
        import_module(name)


def test_the_connection_s_hook_agrees_with_it():
    (connection,) = INFO["connection-types"]
    module, _, name = connection["hook-class-name"].rpartition(".")
    hook = getattr(import_module(module), name)
    assert (hook.conn_type, hook.hook_name) == (connection["connection-type"], connection["hook-name"])


def test_the_connection_form_offers_what_is_allowed_and_no_markup():
    from airflow_provider_lmeval.hooks.lmeval import BACKENDS

    fields = INFO["connection-types"][0]["conn-fields"]
    assert fields["backend"]["schema"]["enum"] == [*BACKENDS, None]
    assert not [name for name, field in fields.items() if set("`*") & set(field["description"])]


@pytest.mark.parametrize("option", sorted(INFO["config"]["lmeval"]["options"]))
def test_every_configuration_option_is_read_somewhere(option: str):
    from airflow_provider_lmeval.hooks.settings import Settings

    readers = [file for file in PACKAGE.rglob("*.py") if file.name not in ("get_provider_info.py", "settings.py")]
    assert option in Settings.model_fields
    assert any(re.search(rf"settings\.{option}(_settings)?\b|settings\.grants\b", file.read_text()) for file in readers)


@pytest.mark.parametrize("option", sorted(INFO["config"]["lmeval"]["options"]))
def test_the_documented_default_is_the_one_in_force(option: str):
    from airflow_provider_lmeval.hooks.settings import Settings

    documented = INFO["config"]["lmeval"]["options"][option]["default"]
    given = {} if documented == "" else {option: documented}
    assert getattr(Settings.model_validate(given), option) == getattr(Settings(), option)
