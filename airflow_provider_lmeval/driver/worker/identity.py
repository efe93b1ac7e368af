"""Says which weights were evaluated, so that two checkpoints of the same path never pass for one model.

A local model is identified by the content of its weight files and ``config.json`` (tokenizers show in the prompts and
are hashed there), a Hub model by its commit. Hashing many gigabytes takes minutes, so it runs in a thread beside
everything else: ``hashlib`` lets go of the interpreter lock.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from airflow_provider_lmeval.wire_offline import is_hub_name

ROLES = ("pretrained", "model", "path", "peft", "delta")
"""Model arguments that may name weights, as lm-eval's model types call them."""
WEIGHTS = (".safetensors", ".bin", ".pt", ".gguf")
CONFIG = "config.json"
ADAPTER = "adapter_config.json"
TRAINING = frozenset({"training_args.bin", "optimizer.bin", "optimizer.pt", "scheduler.pt"})
"""What a trainer leaves beside the weights: no part of the model."""


def local_places(model_args: Mapping[str, Any]) -> dict[str, Path]:
    """Return the directories and files on this machine that the model is loaded from, by role."""
    named = {role: model_args[role] for role in ROLES if isinstance(model_args.get(role), str) and model_args[role]}
    if isinstance(below := model_args.get("subfolder"), str) and "pretrained" in named:
        named["pretrained"] = os.path.join(named["pretrained"], below)  # noqa: PTH118 - may be a name on the Hub
    return {role: Path(value) for role, value in named.items() if os.path.exists(value)}  # noqa: PTH110 - never raises


class LocalIdentity:
    """Digest of local weights, computed in the background.

    :param places: as :func:`local_places` returns them.
    """

    def __init__(self, places: Mapping[str, Path]) -> None:
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="identity")
        self._digests: dict[str, Future[str]] = {role: thread.submit(digest, place) for role, place in places.items()}
        thread.shutdown(wait=False)

    def wait(self) -> dict[str, str]:
        """Return ``sha256:…`` by role, when all is read.

        :raises OSError: a file cannot be read.
        """
        return {role: future.result() for role, future in self._digests.items()}


def digest(place: Path) -> str:
    """Return ``sha256:`` over names and contents of the weight files and the configuration.

    :param place: a model directory, whose sub-directories hold other checkpoints, or a single file of weights.
    """
    files = [path for path in place.iterdir() if _decides(path)] if place.is_dir() else [place]
    return combine({path.name: _file_digest(path) for path in files})


def _decides(path: Path) -> bool:
    """Tell whether a file of a model directory decides what the model answers."""
    return path.is_file() and path.name not in TRAINING and (path.suffix in WEIGHTS or path.name == CONFIG)


def combine(parts: Mapping[str, str]) -> str:
    """Return one digest for several, whatever their order."""
    return f"sha256:{hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()}"


def identity_of(lm: Any, local: Mapping[str, str], model_args: Mapping[str, Any]) -> str | None:
    """Return what identifies the loaded model, or None if nothing does (a served model).

    :param lm: lm-eval's model object. :param local: digests by role.
    """
    parts = dict(local)
    for role in ("pretrained", "peft", "delta"):
        if role in parts or not isinstance(model_args.get(role), str):
            continue
        if commit := _commit(lm, role) or _cached_commit(role, model_args):
            parts[role] = commit
    if not parts:
        return None
    return next(iter(parts.values())) if len(parts) == 1 else combine(parts)


def _commit(lm: Any, role: str) -> str | None:
    """Return the Hub commit that transformers or peft loaded from."""
    config = getattr(lm, "config", None)
    if role == "peft":
        config = next(iter(getattr(getattr(lm, "model", None), "peft_config", {}).values()), None)
    commit = getattr(config, "_commit_hash", None) if role != "delta" else None
    return commit if isinstance(commit, str) else None


def _cached_commit(role: str, model_args: Mapping[str, Any]) -> str | None:
    """Return the commit that a Hub model was just loaded from, told by the cache: transformers 5.23 keeps it nowhere."""
    name, revision = model_args[role], model_args.get("revision") if role == "pretrained" else None
    if not is_hub_name(name):
        return None
    from huggingface_hub import try_to_load_from_cache

    below = f"{model_args['subfolder']}/" if role == "pretrained" and model_args.get("subfolder") else ""
    found = try_to_load_from_cache(name, f"{below}{ADAPTER if role == 'peft' else CONFIG}", revision=revision)
    return found.partition("/snapshots/")[2].partition("/")[0] if isinstance(found, str) else None


def _file_digest(path: Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
