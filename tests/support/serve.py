"""``make airflow``: a full Airflow with this project's DAGs, to look at in a browser. Ctrl-C ends it.

Its home is ``build/airflow/`` and stays, so runs and results are there again next time.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading

from rich.console import Console

from tests.support.airflow_env import ROOT, USER, AirflowEnv


def main() -> None:
    """Start everything, print where it is, wait for Ctrl-C or SIGTERM, stop everything."""
    parser = argparse.ArgumentParser(description="Serve Airflow with the project's DAGs.")
    parser.add_argument("--port", type=int, help="port of the web server; default: a free one")
    port = parser.parse_args().port
    console, stop = Console(highlight=False), threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set() if stop.is_set() is False else sys.exit(1))
    console.print("Starting Airflow …")
    settings = {"AIRFLOW__LMEVAL__POLL_INTERVAL": "2"}
    with AirflowEnv(ROOT / "build" / "airflow", ROOT / "dags", settings=settings, login=True, port=port) as airflow:
        console.print(f"\n  {airflow.url}\n  user {USER}, password {airflow.password}\n\nCtrl-C stops it.")
        stop.wait()
        console.print("Stopping …")


if __name__ == "__main__":
    main()
