"""What a checkpoint's files say about it before a weight is read: its configuration, and how many numbers of which kind.

A safetensors file begins with a list of its tensors, a few kilobytes in front of gigabytes, and the Hub hands that beginning
out alone. Everything else is told less exactly: an index knows the sum of all bytes, a pickle its own size.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_provider_lmeval.driver.worker.assets import Asset, choose
from airflow_provider_lmeval.driver.worker.identity import CONFIG
from airflow_provider_lmeval.wire import Request
from airflow_provider_lmeval.wire_offline import is_hub_name

INDEX = "model.safetensors.index.json"
LONGEST_HEADER = 100 * 1024 * 1024
"""Bytes; what the format allows (safetensors: "Format")."""
DTYPE_BYTES = {
    "F64": 8.0, "I64": 8.0, "U64": 8.0, "F32": 4.0, "I32": 4.0, "U32": 4.0, "F16": 2.0, "BF16": 2.0, "I16": 2.0, "U16": 2.0,
    "F8_E4M3": 1.0, "F8_E5M2": 1.0, "F8_E8M0": 1.0, "I8": 1.0, "U8": 1.0, "BOOL": 1.0, "F4": 0.5,
}  # fmt: skip
"""Bytes of one number, by the names that safetensors has for kinds of numbers."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What is known of a checkpoint.

    :param config: its ``config.json``; of a model of several parts that of the one which makes text.
    :param numbers: count of numbers by safetensors' name for their kind; empty if nobody says.
    :param stored: bytes of its weights as they are stored, or None if nobody knows.
    """

    config: Mapping[str, Any]
    numbers: Mapping[str, int] = field(default_factory=dict)
    stored: int | None = None


def read_checkpoint(request: Request) -> Checkpoint | None:
    """Look at the files of the model that is to be loaded, on this machine or on the Hub; None if it is not such a model.

    :raises Exception: what the libraries raise if the Hub has no such model, or the cache lacks it.
    """
    name = request.model_args.get("pretrained")
    if not isinstance(name, str) or request.model_args.get("gguf_file"):
        return None
    below = str(request.model_args.get("subfolder") or "")
    place = Path(name) / below
    if not place.is_dir():
        if not is_hub_name(name):
            return None
        if (found := _from_hub(name, below, request.model_args.get("revision"))) is None:
            return None
        place = found
    return _read(place, request, name)


def _from_hub(name: str, below: str, revision: str | None) -> Path | None:
    """Return where the cache has the model's configuration; it is fetched if it may be. None: the model has none."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(name, "/".join(filter(None, (below, CONFIG))), revision=revision)).parent
    except LocalEntryNotFoundError:  # the cache lacks it, and nobody could be asked
        raise
    except EntryNotFoundError:
        return None


def _read(place: Path, request: Request, name: str) -> Checkpoint | None:
    config = _json(place / CONFIG)
    if config is None:
        return None
    inner = config.get("text_config")
    told = {**config, **inner} if isinstance(inner, dict) else config
    numbers, stored = _weights(place)
    if stored is None and request.allow_online and is_hub_name(name) and not request.model_args.get("subfolder"):
        numbers, stored = _remote(name, request.model_args.get("revision"))
    return Checkpoint(config=told, numbers=numbers, stored=stored)


def _weights(place: Path) -> tuple[dict[str, int], int | None]:
    """Return what the files of a directory hold, by the same choice of files as loads them."""
    texts = (".json", ".jinja", ".model", ".txt", ".tiktoken")
    there = [path.name for path in place.iterdir()]
    chosen = [name for name in choose(Asset("pretrained", ""), there) if not name.endswith(texts)]
    if chosen and all(each.endswith(".safetensors") for each in chosen):
        numbers: Counter[str] = Counter()
        for each in chosen:
            numbers.update(header(place / each))
        return dict(numbers), sum(int(count * DTYPE_BYTES.get(kind, 0)) for kind, count in numbers.items())
    if chosen:
        return {}, sum((place / each).stat().st_size for each in chosen)
    total = ((_json(place / INDEX) or {}).get("metadata") or {}).get("total_size")
    return {}, int(total) if isinstance(total, int | float) else None


def header(path: Path) -> dict[str, int]:
    """Return the count of numbers by kind in a safetensors file; only its beginning is read.

    :raises ValueError: it is no such file.
    """
    with open(path, "rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 0 < length <= LONGEST_HEADER:
            raise ValueError(f"{path} is no safetensors file: its header would have {length} bytes")
        tensors = json.loads(stream.read(length))
    found: Counter[str] = Counter()
    for name, tensor in tensors.items():
        if name != "__metadata__":
            found[tensor["dtype"]] += _product(tensor["shape"])
    return dict(found)


def _product(shape: list[int]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


def _remote(name: str, revision: str | None) -> tuple[dict[str, int], int | None]:
    """Ask the Hub for the beginnings of a model's files; a model without safetensors tells nothing."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import NotASafetensorsRepoError

    try:
        found = HfApi().get_safetensors_metadata(name, revision=revision)
    except NotASafetensorsRepoError:
        return {}, None
    numbers = {str(kind): int(count) for kind, count in found.parameter_count.items()}
    return numbers, sum(int(count * DTYPE_BYTES.get(kind, 0)) for kind, count in numbers.items())


def _json(path: Path) -> dict[str, Any] | None:
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) else None
