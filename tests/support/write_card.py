"""Writes a stored run into a model card of a Hub, in a process of its own.

The Hub's client reads once whether it is offline, and the tests are. It reads its task as JSON from stdin and prints what
came of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from tests.support.card_hub import TOKEN


def write_card(uri: str, hub: str, *, token: str = TOKEN, **output: Any) -> dict[str, Any]:
    """Write the card and return ``{where}`` or ``{error, transient}``.

    :param uri: of the run. :param hub: URL of the Hub. :param output: fields of ``HuggingFaceCard``.
    """
    task = json.dumps({"uri": uri, "hub": hub, "token": token, "output": output})
    environment = {name: value for name, value in os.environ.items() if "OFFLINE" not in name}
    command = [sys.executable, "-m", "tests.support.write_card"]
    done = subprocess.run(command, input=task, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Do what stdin asks for."""
    from airflow_provider_lmeval.errors import OutputError
    from airflow_provider_lmeval.outputs import Credentials, StoredRun
    from airflow_provider_lmeval.outputs.model_card import write
    from airflow_provider_lmeval.spec.outputs import HuggingFaceCard

    task = json.load(sys.stdin)
    output = HuggingFaceCard(conn_id="hub", **task["output"])
    try:
        where = write(StoredRun(task["uri"]), output, Credentials(host=task["hub"], password=task["token"]))
        print(json.dumps({"where": where}))
    except OutputError as error:
        print(json.dumps({"error": str(error), "transient": error.transient}))


if __name__ == "__main__":
    main()
