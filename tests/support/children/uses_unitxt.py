"""Uses unitxt the way a worker does, in a process of its own: prepares requests and builds artifacts under the guard.

Reads one JSON document from stdin, ``{"request", "place", "build": [artifact or text, …]}``, and prints one: the first row
of each recipe's data as ``rows``, and for each of ``build`` what became of it as ``built``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from airflow_provider_lmeval.driver.worker import unitxt as ours
from airflow_provider_lmeval.errors import RunFailedError
from airflow_provider_lmeval.wire import Request
from airflow_provider_lmeval.wire_unitxt import SAFE_TYPES, WHY_NOT


def main() -> None:
    asked = json.load(sys.stdin)
    [tasks] = ours.prepare(Request.from_json(asked["request"]), Path(asked["place"]))
    answer = {
        "rows": [first_row(path) for path in sorted(Path(tasks).iterdir())],
        "built": [build(it) for it in asked["build"]],
    }
    print(json.dumps({**answer, "unknown": unknown_types()}))


def first_row(path: Path) -> dict[str, Any]:
    import yaml
    from unitxt import load_dataset

    row = load_dataset(yaml.safe_load(path.read_text())["recipe"], use_cache=True)["test"][0]
    return {"source": row["source"], "target": row["target"]}


def build(artifact: Any) -> str:
    """Build an artifact by text, as unitxt does with what it finds in data, or call a serializer with a database."""
    from unitxt.artifact import fetch_artifact
    from unitxt.serializers import SQLDatabaseAsSchemaSerializer

    try:
        if isinstance(artifact, str):
            fetch_artifact(artifact)
        elif "db_type" in artifact:
            SQLDatabaseAsSchemaSerializer().serialize(artifact, {})
        else:
            fetch_artifact(json.dumps(artifact))
    except RunFailedError as error:
        return str(error.cause)
    except Exception as error:  # the test asks which
        return type(error).__name__
    return "built"


def unknown_types() -> list[str]:
    """Return the types our lists name and unitxt does not have."""
    from unitxt.artifact import Artifact

    return sorted({*SAFE_TYPES, *WHY_NOT} - set(Artifact._class_register))


main()
