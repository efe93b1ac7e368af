"""unitxt recipes over a file of one's own: what tests of the driver's unitxt part start from."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from airflow_provider_lmeval.wire import Request

TASK = {
    "__type__": "task",
    "input_fields": {"thing": "str"},
    "reference_fields": {"colour": "str"},
    "prediction_type": "str",
    "metrics": ["metrics.accuracy"],
}
TEMPLATE = {
    "__type__": "input_output_template",
    "input_format": "Q: What colour is the {thing}?",
    "output_format": "{colour}",
    "target_prefix": "A:",
    "postprocessors": ["processors.to_string_stripped"],
}


def write_rows(path: Path, rows: dict[str, str]) -> Path:
    """Write things and their colours as JSON lines."""
    path.write_text("".join(json.dumps({"thing": thing, "colour": colour}) + "\n" for thing, colour in rows.items()))
    return path


def card(data: Path, *steps: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a card over a file of JSON lines.

    :param steps: its preprocessing. :param changes: other fields of the card.
    """
    loader = {"__type__": "load_json_file", "files": {"test": str(data)}, "lines": True}
    return {"__type__": "task_card", "loader": loader, "preprocess_steps": list(steps), "task": TASK, **changes}


def entry(card: str | dict[str, Any], task: str = "colours", /, **recipe: Any) -> dict[str, Any]:
    """Return a recipe as ``plan`` puts it into a request; ``artifacts`` are taken out of the keywords."""
    artifacts = recipe.pop("artifacts", {})
    return {"task": task, "recipe": {"card": card, "template": TEMPLATE, **recipe}, "artifacts": artifacts}


def request(*entries: dict[str, Any], **changes: Any) -> Request:
    """Return a request for recipes and nothing else."""
    defaults = {"run_id": "test", "spec_hash": "0" * 64, "model": "hf", "model_args": {}, "data_roots": [gettempdir()]}
    return Request(**{**defaults, "unitxt": list(entries), **changes})
