"""Starts the driver as a container's main process, with a scripted child: ``python contain.py CHILD.py [ARGUMENT …]``."""

from __future__ import annotations

import sys

from airflow_provider_lmeval.driver.__main__ import main

sys.exit(main([], command=[sys.executable, *sys.argv[1:]]))
