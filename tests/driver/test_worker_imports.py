"""Importing the worker costs nothing: heavy packages come later, in an order of its choice."""

import json
import subprocess
import sys

HEAVY = {"airflow", "pydantic", "lm_eval", "torch", "transformers", "datasets", "numpy", "scipy", "unitxt", "yaml"}
PROGRAM = """
import importlib, json, pkgutil, sys
from airflow_provider_lmeval.driver import worker
for module in pkgutil.iter_modules(worker.__path__):
    importlib.import_module(f"{worker.__name__}.{module.name}")
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def test_no_module_of_the_worker_loads_a_heavy_package():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)

    assert not HEAVY & set(json.loads(done.stdout))
