"""What a warm-up leaves for runs without network: names, and the manifest that says what lies in a cache.

A run without network that lacks one file fails late and in the words of whichever library missed it first. So the run that
has network writes down what it fetched, with digests, and the one that has none looks first. The manifest belongs to the
directory, not to a run: several warm-ups fill one volume, each adding its models and tasks. Standard library only.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from airflow_provider_lmeval.errors import ProtocolError

MANIFEST_NAME = "lmeval-manifest.json"
"""In the cache's directory."""
MANIFEST_VERSION = 1
CACHE_ENV = "LMEVAL_CACHE"
"""Tells the evaluation which directory its models and data come from; set by the driver."""
CACHE_VARIABLES = ("HF_HOME", "HF_HUB_CACHE", "HF_DATASETS_CACHE", "TRANSFORMERS_CACHE")
"""All of them are set to the one directory: each version of the Hugging Face libraries reads another choice of them."""
WEIGHT_FILES = (".safetensors", ".bin", ".gguf", ".pt", ".pth", ".h5", ".msgpack", ".onnx")
"""Ends of names of files that a preflight has no use for: only what loads a model reads them."""
CHECKS = ("digests", "sizes", "none")
"""How closely a run without network looks at what the manifest lists."""

Files = dict[str, dict[str, Any]]
"""``{"sha256", "bytes"}`` by path below the cache."""


@dataclass(frozen=True)
class Manifest:
    """What lies in a cache.

    :param models: by :func:`model_key`: ``{"commit", "files"}``.
    :param tasks: by name of the task: ``{"dataset", "files"}``.
    :param names: the tasks behind each name that a spec may give: a task itself, a group, a tag, a wildcard.
    :param shared: files of metrics and tokenizers that no single task can be held to.
    :param versions: of the packages that wrote it, by name.
    """

    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    names: dict[str, list[str]] = field(default_factory=dict)
    shared: Files = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, cache: Path) -> Self | None:
        """Return a cache's manifest, or None if there is none.

        :raises ProtocolError: it cannot be read, or is of another version.
        """
        path = cache / MANIFEST_NAME
        try:
            data = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise ProtocolError(f"the manifest {path} cannot be read ({error}); warm the cache up again") from error
        if not isinstance(data, dict) or data.get("schema_version") != MANIFEST_VERSION:
            found = data.get("schema_version") if isinstance(data, dict) else type(data).__name__
            raise ProtocolError(f"the manifest {path} has version {found!r}, this release reads {MANIFEST_VERSION}")
        return cls(**{each.name: dict(data.get(each.name) or {}) for each in dataclasses.fields(cls)})

    def joined(self, newer: Manifest) -> Manifest:
        """Return both in one; what both have is the newer one's."""
        parts = {
            each.name: {**getattr(self, each.name), **getattr(newer, each.name)} for each in dataclasses.fields(self)
        }
        return Manifest(**parts)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {"schema_version": MANIFEST_VERSION, **dataclasses.asdict(self)}


def model_key(name: str, revision: str | None) -> str:
    """Return what a manifest calls a model of the Hub.

    :param name: ``owner/name``. :param revision: branch, tag or commit; None for ``main``.
    """
    return f"{name}@{revision or 'main'}"


def is_hub_name(value: str) -> bool:
    """Tell whether a model argument names a repository of the Hub and no directory of this machine."""
    return bool(value) and not value.startswith(("/", ".", "~")) and value.count("/") <= 1 and not Path(value).exists()
