"""What every test session needs before anything is imported: an Airflow home of its own, and no network.

Airflow writes ``airflow.cfg`` and a database into ``AIRFLOW_HOME`` as soon as it is imported, and the Hugging Face libraries
read their environment once. So this happens at the top of the first file that pytest loads, not in a fixture; processes
that tests start inherit it.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

HOME = tempfile.mkdtemp(prefix="lmeval-tests-")
atexit.register(shutil.rmtree, HOME, ignore_errors=True)

os.environ.update(
    AIRFLOW_HOME=f"{HOME}/airflow",
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL="0",
    HF_HOME=f"{HOME}/huggingface",
    HF_HUB_OFFLINE="1",
    HF_DATASETS_OFFLINE="1",
    HF_EVALUATE_OFFLINE="1",
    TRANSFORMERS_OFFLINE="1",
    TOKENIZERS_PARALLELISM="false",
)
for name in [name for name in os.environ if name.startswith("AIRFLOW__LMEVAL__") or name == "LMEVAL_EVENTS_FD"]:
    del os.environ[name]

# The same examples every time: a red run can be repeated. Look for new ones with HYPOTHESIS_PROFILE=search.
settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=50, database=None)
settings.register_profile("search", deadline=None, max_examples=2000, database=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep together, for ``pytest -n``, what shares something costly: the tests of a file, and all those of one Airflow."""
    airflow = Path(__file__).parent / "airflow"
    for item in items:
        shared = airflow if airflow in item.path.parents else item.path
        item.add_marker(pytest.mark.xdist_group(str(shared)))
