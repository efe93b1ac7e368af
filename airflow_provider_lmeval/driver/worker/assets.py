"""Which files a model's arguments stand for on the Hub: what a warm-up fetches, and a run without network needs.

A repository often holds the same weights three times, in formats that nobody here reads. The rules are those by which
transformers, peft and vLLM choose: safetensors before pickles, the sharded set that an index names, nothing of other
frameworks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_lmeval.driver.worker.endpoint import endpoint_url
from airflow_provider_lmeval.wire import Request
from airflow_provider_lmeval.wire_offline import is_hub_name

TEXTS = (".json", ".jinja", ".model", ".txt", ".tiktoken")
"""Configuration, tokenizer, chat template."""
_WEIGHTS = (("model", ".safetensors"), ("adapter_model", ".safetensors"), ("", ".safetensors"))
_PICKLES = (("pytorch_model", ".bin"), ("adapter_model", ".bin"), ("", ".bin"))
_TRAINING = ("training_args", "optimizer", "scheduler", "rng_state", "consolidated")


@dataclass(frozen=True)
class Asset:
    """A repository of the Hub that a run loads something from.

    :param role: the model argument that names it. :param name: ``owner/name``. :param revision: branch, tag or commit.
    :param weights: weights are needed too, not only the tokenizer. :param folder: inside the repository.
    :param file: one file of weights that was named. :param code: Python files are needed.
    """

    role: str
    name: str
    revision: str | None = None
    weights: bool = True
    folder: str = ""
    file: str | None = None
    code: bool = False


def assets_of(request: Request) -> list[Asset]:
    """Return what the model arguments name on the Hub; directories of this machine are not among them."""
    served = endpoint_url(request.model, request.model_args) is not None
    given: dict[str, Any] = request.model_args
    code = bool(request.evaluate.get("trust_remote_code") or given.get("trust_remote_code"))
    found = []
    for role in ("tokenizer",) if served else ("pretrained", "peft", "delta", "tokenizer"):
        name = given.get(role)
        if not isinstance(name, str) or not is_hub_name(name):
            continue
        revision = given.get("revision") if role in ("pretrained", "tokenizer") else None
        asset = Asset(role, name, revision, weights=role != "tokenizer", code=code)
        if role == "pretrained":
            asset = replace(asset, folder=str(given.get("subfolder") or ""), file=given.get("gguf_file"))
        found.append(asset)
    return found


def choose(asset: Asset, there: Iterable[str]) -> list[str]:
    """Return the files to fetch.

    :param there: names of all files of the repository.
    """
    below = f"{asset.folder.strip('/')}/" if asset.folder else ""
    names = [name for name in there if name.startswith(below) and "/" not in name.removeprefix(below)]
    chosen = [name for name in names if name.endswith(TEXTS)]
    chosen += [name for name in there if name.startswith("additional_chat_templates/")]
    chosen += [name for name in there if asset.code and name.endswith(".py")]
    chosen += _weights(names, below, asset.file) if asset.weights else []
    if below:
        chosen += [name for name in there if "/" not in name and name.endswith(TEXTS)]
    return sorted(set(chosen))


def _weights(names: list[str], below: str, file: str | None) -> list[str]:
    if file:
        return [name for name in names if name.removeprefix(below) == file]
    for start, end in (*_WEIGHTS, *_PICKLES):
        found = [name for name in names if name.removeprefix(below).startswith(start) and name.endswith(end)]
        found = [name for name in found if not name.removeprefix(below).startswith(_TRAINING)]
        if found:
            return found
    return []
