"""Fields of a spec that are code, each way once: nothing of this may get further than the checks without both switches."""

from __future__ import annotations

from typing import Any

HF = {"type": "hf", "pretrained": "/models/candidate"}
SERVED = {"type": "local-completions", "model": "m", "base_url": "http://h/v1/completions", "tokenizer": "/t"}


def _metric(**metric: Any) -> dict[str, Any]:
    return {"tasks": [{"task": "mine", "metric_list": [metric]}]}


def _card(**card: Any) -> dict[str, Any]:
    return {"unitxt": [{"card": {"__type__": "task_card", **card}}]}


CODE: dict[str, dict[str, Any]] = {
    "a task marked as unsafe": {"tasks": ["humaneval"]},
    "a tag of such tasks": {"tasks": ["humaneval*"]},
    "an inline task marked as unsafe": {"tasks": [{"task": "mine", "unsafe_code": True}]},
    "trust_remote_code of the model": {"model": HF | {"trust_remote_code": True}},
    "trust_remote_code of the tokenizer": {"model": SERVED | {"trust_remote_code": True}},
    "trust_remote_code of any model type": {
        "model": {"type": "sglang", "args": {"pretrained": "/m", "trust_remote_code": True}}
    },
    "trust_remote_code of a dataset": {"tasks": [{"task": "mine", "dataset_kwargs": {"trust_remote_code": True}}]},
    "a template with a dunder": {"tasks": [{"task": "mine", "doc_to_text": "{{ ''.__class__.__mro__ }}"}]},
    "a template with attr": {"tasks": [{"task": "mine", "doc_to_text": "{{ x | attr('y') }}"}]},
    "a metric of the evaluate library": _metric(metric="acc", hf_evaluate=True),
    "a metric that is a file": _metric(metric="/metrics/own.py"),
    "a unitxt operator": _card(preprocess_steps=[{"__type__": "execute_expression"}]),
    "a unitxt argument": _card(loader={"__type__": "load_csv", "filtering_lambda": "x"}),
    "a custom card": {"unitxt": [{"card": "cards.own"}], "artifacts": {"cards": {"cards.own": {"__type__": "apply"}}}},
    "a custom metric": {
        "unitxt": [{"card": "cards.x"}],
        "artifacts": {"metrics": {"metrics.own": {"__type__": "huggingface_metric"}}},
    },
    "a variable that allows code": {"env": {"HF_ALLOW_CODE_EVAL": "1"}},
    "a variable that trusts datasets": {"env": {"HF_DATASETS_TRUST_REMOTE_CODE": "1"}},
}
"""Fields by what they are."""
