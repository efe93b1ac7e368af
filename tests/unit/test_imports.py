"""DAG files are imported in every task process, many at once: what they import must stay light."""

from __future__ import annotations

import json
import subprocess
import sys

from airflow_provider_lmeval.get_provider_info import get_provider_info
from tests.support.public_modules import HEAVY, PACKAGES, public_modules

_LOADED = """
import importlib, json, sys
import airflow.sdk
modules, heavy = json.loads(sys.argv[1])
found = {}
for name in modules:
    before = set(sys.modules)
    importlib.import_module(name)
    found[name] = sorted({loaded.partition(".")[0] for loaded in set(sys.modules) - before} & set(heavy))
print(json.dumps(found))
"""

_ALONE = """
import sys
from airflow_provider_lmeval import errors, get_provider_info, wire
print(sorted({name.partition(".")[0] for name in sys.modules} & {"airflow", "pydantic", "fsspec", "yaml", "rich"}))
"""


def python(code: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_public_modules_load_nothing_heavy_on_top_of_airflow_sdk():
    found = json.loads(python(_LOADED, json.dumps([public_modules(), HEAVY])))
    assert {name: loaded for name, loaded in found.items() if loaded} == {}


def test_the_modules_that_airflow_is_told_about_are_public():
    info = get_provider_info()
    named = {module for package in PACKAGES for entry in info[package] for module in entry["python-modules"]}
    assert named <= set(public_modules())


def test_what_the_driver_shares_with_airflow_loads_only_the_standard_library():
    assert python(_ALONE).strip() == "[]"
