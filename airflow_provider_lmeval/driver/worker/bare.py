"""lm-eval's model object without a model: its tokenizer and its way with chat templates, made by its own methods.

The constructor loads the weights before the tokenizer, so it is left out. What comes of a prompt here is what comes of it in
the evaluation, since no code of ours is in between.
"""

from __future__ import annotations

from typing import Any

from airflow_provider_lmeval.wire import Request

BY_TOKENIZER = frozenset({"hf", "hf-auto", "huggingface", "steered", "vllm", "sglang"})
"""Model types that take a tokenizer of transformers by the name or directory of the model."""
_SAME = ("trust_remote_code", "use_fast_tokenizer", "gguf_file", "add_bos_token", "subfolder")


def tokenizer_only(request: Request) -> Any:
    """Return an ``HFLM`` that has a tokenizer and nothing else.

    :param request: for one of the types in :data:`BY_TOKENIZER`.
    :raises Exception: what transformers raises if there is no tokenizer.
    """
    from lm_eval.models.huggingface import HFLM

    given = request.model_args
    lm = HFLM.__new__(HFLM)
    chosen = {name: given[name] for name in _SAME if given.get(name) is not None}
    if request.evaluate.get("trust_remote_code"):
        chosen["trust_remote_code"] = True
    revision = given.get("tokenizer_revision") or given.get("revision") or "main"
    lm._create_tokenizer(given["pretrained"], given.get("tokenizer"), revision=revision, **chosen)
    thinking = given.get("enable_thinking")
    lm.chat_template_args = {**(given.get("chat_template_args") or {})}
    lm.chat_template_args |= {} if thinking is None else {"enable_thinking": thinking}
    return lm
