"""Starts the supervisor with a scripted child: ``python supervise.py RUN_DIR CHILD.py [ARGUMENT …]``."""

from __future__ import annotations

import sys
from pathlib import Path

from airflow_provider_lmeval.driver.intake import load_request
from airflow_provider_lmeval.driver.supervisor import supervise
from airflow_provider_lmeval.wire import RunDir

run = RunDir(Path(sys.argv[1]))
sys.exit(supervise(load_request(run.request), run, command=[sys.executable, *sys.argv[2:]]))
