"""Decodes what people write in files: YAML, or JSON, which is almost YAML.

The difference is in characters beyond the basic plane: JSON spells one with two escapes (RFC 8259, section 7), and a YAML
reader takes them for two characters, neither of which is valid. So what is JSON is read as JSON.
"""

from __future__ import annotations

import json
from typing import Any

import yaml


def json_or_yaml(text: str) -> Any:
    """Decode a text.

    :raises yaml.YAMLError, ValueError, RecursionError: it is neither.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return yaml.safe_load(text)
