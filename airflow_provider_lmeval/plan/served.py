"""What can be said against a served model before anybody asks the server.

lm-eval takes several settings that silently mean something else for a served model. What only the server can tell is asked
in the run (``driver/worker/endpoint.py``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from airflow_provider_lmeval.spec import EvalSpec

KEY = "OPENAI_API_KEY"


class Finding(NamedTuple):
    """What ``plan.checks`` makes a problem of: id of the rule, level, message."""

    id: str
    level: Literal["error", "warning"]
    message: str


def check_served(spec: EvalSpec) -> Iterator[Finding]:
    """Yield what is wrong or doubtful, if the model is served.

    :param spec: a valid spec.
    """
    if not spec.model.api:
        return
    yield from _tokenizer(spec)
    yield from _credentials(spec)
    if spec.use_cache and not getattr(spec.model, "digest", None):
        yield Finding(
            "cache-identity",
            "error",
            "use_cache: nothing tells when other weights are served under this address, and their answers would come from "
            "the cache of the old ones; declare the weights as model.digest, or leave use_cache out.",
        )
    if not getattr(spec.model, "verify_certificate", True):
        yield Finding(
            "certificate-unverified",
            "warning",
            "model.verify_certificate: false, so anybody on the way can answer for the model; trust the server's CA with "
            "model.ca_cert_path instead.",
        )


def _tokenizer(spec: EvalSpec) -> Iterator[Finding]:
    if spec.model.type != "local-completions":
        return
    tokenizer, served = getattr(spec.model, "tokenizer", None), spec.model.name
    if not tokenizer and getattr(spec.model, "tokenizer_backend", None) in (None, "huggingface"):
        yield Finding(
            "tokenizer",
            "warning",
            "model.tokenizer: not set, so lm-eval looks for a tokenizer under the served name; give the model's Hub id.",
        )
    elif tokenizer == served and "/" not in served:
        yield Finding(
            "tokenizer",
            "warning",
            f"model.tokenizer: {tokenizer!r} is the served name; give the model's Hub id (owner/name) or a directory.",
        )


def _credentials(spec: EvalSpec) -> Iterator[Finding]:
    if KEY in spec.env and getattr(spec.model, "header", None):
        yield Finding(
            "header-replaces-key",
            "warning",
            f"model.header: lm-eval sends it instead of the key in {KEY}; put Authorization into it as well, or drop one.",
        )
